package lambdahttp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
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
	var event events.APIGatewayProxyRequest
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, fmt.Errorf("reading the event: %w", err)
	}
	if event.HTTPMethod == "" {
		return nil, fmt.Errorf("the event is not a request of a REST API: it has no httpMethod")
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
	}
	return encode(a.answer(ctx, event))
}

// answer runs the handler on an event.
func (a *adapter) answer(ctx context.Context, event events.APIGatewayProxyRequest) events.APIGatewayProxyResponse {
	log := a.log.With("request_id", event.RequestContext.RequestID)
	request, err := newRequest(ctx, event)
	if err != nil {
		log.WarnContext(ctx, "unreadable event", "error", err)
		return errorAnswer(http.StatusBadRequest, fault.New(fault.CodeInvalidRequest,
			"The request cannot be read.", "Check the path and the encoding of the body."))
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
		return errorAnswer(http.StatusInternalServerError, fault.Internal("serving a request", err))
	}
	return w.event()
}

// serve calls the handler and reports a panic, or a body that ended before its
// promised length, as an error.
func (a *adapter) serve(w *response, r *http.Request) (err error) {
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
	if !w.complete() {
		return fmt.Errorf("the body ended after %d of %s bytes", w.body.Len(), w.sent.Get("Content-Length"))
	}
	return nil
}

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
