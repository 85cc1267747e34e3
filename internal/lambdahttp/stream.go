package lambdahttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/aws/aws-lambda-go/events"
)

// MaxStream is the largest body of a streamed answer. Lambda streams 200 MB, of
// which the header of the answer takes some.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const MaxStream = 199_900_000

// FullSpeed is how much of a streamed answer travels as fast as it can; what
// comes after it is slowed down to 2 MB a second. (API Gateway slows down after
// 10 MB only.)
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
const FullSpeed = 6_000_000

// stream runs the handler on an event and gives out its answer while the handler
// writes it: the status and headers first, which aws-lambda-go writes as
// API Gateway wants them, and then the body.
//
// The handler runs until the answer has been read to its end or is closed, as
// aws-lambda-go does in the end, and reads ctx meanwhile. When it fails midway
// the answer ends in an error, on which Lambda and API Gateway cut the connection.
func (a *adapter) stream(ctx context.Context, event events.APIGatewayProxyRequest) (*events.APIGatewayProxyStreamingResponse, error) {
	if event.HTTPMethod == "" {
		return nil, errNoRequest
	}
	ctx, cancel := beforeDeadline(ctx)
	log := a.log.With("request_id", event.RequestContext.RequestID)
	request, err := newRequest(ctx, gatewayEvent{APIGatewayProxyRequest: event})
	if err != nil {
		cancel()
		log.WarnContext(ctx, "unreadable event", "error", err)
		return streamed(errorAnswer(http.StatusBadRequest, errUnreadable())), nil
	}
	reader, writer := io.Pipe()
	w := &streamWriter{header: make(http.Header), body: writer, began: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := a.serve(w, request)
		if err != nil {
			log.ErrorContext(ctx, "the handler failed", "path", request.URL.Path, "error", err)
		}
		w.end(err)
	}()
	<-w.began
	if w.failed != nil {
		cancel()
		return streamed(errorAnswer(http.StatusInternalServerError, errFailed(w.failed))), nil
	}
	return &events.APIGatewayProxyStreamingResponse{
		StatusCode: w.status, MultiValueHeaders: w.sent,
		Body: &streamedBody{reader, func() {
			cancel()
			<-ended // nothing of a request runs on into the next one
		}},
	}, nil
}

// streamed is an answer that there is already, in the form of a streamed one.
func streamed(answer events.APIGatewayProxyResponse) *events.APIGatewayProxyStreamingResponse {
	return &events.APIGatewayProxyStreamingResponse{
		StatusCode: answer.StatusCode, MultiValueHeaders: answer.MultiValueHeaders,
		Body: strings.NewReader(answer.Body),
	}
}

// streamedBody is what the handler writes.
type streamedBody struct {
	*io.PipeReader
	stop func()
}

// Close makes the handler's writes fail and waits for its end.
func (b *streamedBody) Close() error {
	err := b.PipeReader.Close()
	b.stop()
	return err
}

// errBrokenOff is what Lambda is told of an answer that ended too soon. Why it did
// is in the log.
var errBrokenOff = errors.New("the answer broke off")

// streamWriter passes an answer on while it is written.
type streamWriter struct {
	header http.Header // as the handler changes it
	body   *io.PipeWriter

	began  chan struct{} // closed when the fields below are final
	once   sync.Once
	sent   http.Header // the header as it was when the status was written
	status int
	failed error // the handler failed before that

	written int64
}

// Header implements http.ResponseWriter.
func (w *streamWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. The first final status counts, and
// headers set after it do not.
func (w *streamWriter) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		return
	}
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		// API Gateway sets these itself. A Content-Length stays: nobody but the
		// handler knows it before the end.
		for _, name := range []string{"Connection", "Date", "Transfer-Encoding"} {
			w.sent.Del(name)
		}
		close(w.began)
	})
}

// Write implements http.ResponseWriter.
func (w *streamWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	n, err := w.body.Write(p)
	w.written += int64(n)
	return n, err
}

// Flush implements http.Flusher. Everything is on its way already.
func (w *streamWriter) Flush() { w.WriteHeader(http.StatusOK) }

// missing says how much of the promised body was not written, or nil.
func (w *streamWriter) missing() error { return missing(w.sent, w.written) }

// end says that the handler is done, and whether it failed.
func (w *streamWriter) end(err error) {
	w.once.Do(func() {
		w.failed = err
		close(w.began)
	})
	if err != nil {
		err = errBrokenOff
	}
	w.body.CloseWithError(err) // io.EOF when it is nil
}
