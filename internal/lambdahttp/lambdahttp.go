// Package lambdahttp runs an http.Handler as an AWS Lambda function behind a
// regional REST API of API Gateway, and a key check as the API's authorizer.
// It is the only package that knows Lambda's events; a handler cannot tell
// whether it was called through this package or by a plain HTTP server.
//
// The package needs no IAM actions.
package lambdahttp

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/parqueue/parqueue/internal/keys"
)

// Start serves a handler until Lambda stops the process. It does not return.
func Start(handler http.Handler, log *slog.Logger) {
	lambda.Start(newAdapter(handler, log))
}

// StartStreaming is Start for a function whose answers API Gateway streams: the
// template says so for each of its routes (ResponseTransferMode). Its answers
// mean nothing to a gateway that does not, such as `sam local`.
func StartStreaming(handler http.Handler, log *slog.Logger) {
	lambda.Start(newAdapter(handler, log).stream)
}

// StartAuthorizer answers an API's questions about keys until Lambda stops the
// process. It does not return.
func StartAuthorizer(authenticate Authenticate, log *slog.Logger) {
	lambda.Start(newAuthorizer(authenticate, log))
}

// Authenticate says who the value of an Authorization header belongs to.
// fault.CodeUnauthorized means nobody; any other error means that it could not
// be found out.
type Authenticate func(ctx context.Context, authorization string) (keys.Principal, error)
