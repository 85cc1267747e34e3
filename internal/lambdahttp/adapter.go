package lambdahttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/parqueue/parqueue/internal/fault"
)

// answerMargin is how long before Lambda kills the invocation the request's
// context ends, so that the handler can still say so itself.
const answerMargin = 500 * time.Millisecond

// adapter is a lambda.Handler around an http.Handler.
type adapter struct {
	handler http.Handler
	log     *slog.Logger
}

func newAdapter(handler http.Handler, log *slog.Logger) *adapter {
	return &adapter{handler: handler, log: log}
}

// Invoke implements lambda.Handler: an event in, an answer out, both as JSON.
// It returns an error only for a payload that API Gateway did not make.
func (a *adapter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	event, err := readEvent(payload)
	if err != nil {
		return nil, err
	}
	ctx, cancel := beforeDeadline(ctx)
	defer cancel()
	return encode(a.answer(ctx, event))
}

// beforeDeadline ends a context some time before Lambda ends the invocation.
func beforeDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-answerMargin))
	}
	return context.WithCancel(ctx)
}

// answer runs the handler on an event.
func (a *adapter) answer(ctx context.Context, event gatewayEvent) events.APIGatewayProxyResponse {
	log := a.log.With("request_id", event.RequestContext.RequestID)
	request, err := newRequest(ctx, event)
	if err != nil {
		log.WarnContext(ctx, "unreadable event", "error", err)
		return errorAnswer(http.StatusBadRequest, errUnreadable())
	}
	w := newResponse(request.Method)
	err = a.serve(w, request)
	switch {
	case w.over:
		log.ErrorContext(ctx, "the answer is too large", "path", request.URL.Path, "limit", MaxBody)
		return errorAnswer(http.StatusInternalServerError, fault.New(fault.CodeInternal,
			"The answer is larger than AWS Lambda carries.", "Ask for less at once, for example for pages of a list."))
	case err != nil:
		log.ErrorContext(ctx, "the handler failed", "path", request.URL.Path, "error", err)
		return errorAnswer(http.StatusInternalServerError, errFailed(err))
	}
	return w.event()
}

// answerWriter takes a handler's answer.
type answerWriter interface {
	http.ResponseWriter
	missing() error // nil when the body has the length that its header promises
}

// serve calls the handler and reports a panic, or a body that ended before its
// promised length, as an error.
func (a *adapter) serve(w answerWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	a.handler.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	return w.missing()
}

// missing is an error for a body that has another length than its header
// promises: an answer that broke off midway must never look like a whole one.
func missing(header http.Header, length int64) error {
	promised := header.Get("Content-Length")
	if promised == "" || promised == strconv.FormatInt(length, 10) {
		return nil
	}
	return fmt.Errorf("the body ended after %d of %s bytes", length, promised)
}

// errNoRequest is answered to payloads that API Gateway did not make.
var errNoRequest = errors.New("the event is not a request of a REST API: it has no httpMethod")

func errUnreadable() *fault.Error {
	return fault.New(fault.CodeInvalidRequest, "The request cannot be read.", "Check the path and the encoding of the body.")
}

func errFailed(err error) *fault.Error { return fault.Internal("serving a request", err) }

// errorAnswer renders an error in the shape that every endpoint uses.
func errorAnswer(status int, e *fault.Error) events.APIGatewayProxyResponse {
	body, err := encode(map[string]any{
		"error": e.Message, "message": e.Message, "code": e.Code, "hint": e.Hint,
	})
	if err != nil {
		panic(err) // four strings always encode
	}
	return events.APIGatewayProxyResponse{
		StatusCode:        status,
		MultiValueHeaders: map[string][]string{"Content-Type": {"application/json"}},
		Body:              string(body),
	}
}

// encode is json.Marshal without the escaping that only HTML needs, which
// would make lists of files larger.
func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return buffer.Bytes(), err
}
