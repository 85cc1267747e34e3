package lambdahttp

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// RequestID is the id that API Gateway gave a request, which the caller sees in
// the header x-amzn-RequestId, or "".
func RequestID(r *http.Request) string {
	gateway, _ := gatewayContext(r.Context())
	return gateway.RequestID
}

// LogHandler adds to each record the id of the invocation that it was logged
// in, which Lambda's own lines carry too.
func LogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		record.AddAttrs(slog.String("invocation_id", invocation.AwsRequestID))
	}
	return h.Handler.Handle(ctx, record)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name)}
}
