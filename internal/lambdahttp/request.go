package lambdahttp

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
)

// This is the only file that imports aws-lambda-go-api-proxy, which is archived
// upstream: to replace it is to rewrite newRequest and gatewayContext.

// newRequest turns an event into the request that the caller sent to API
// Gateway: body decoded, every value of every header and query parameter kept.
func newRequest(ctx context.Context, event gatewayEvent) (*http.Request, error) {
	event.Path = routePath(event.APIGatewayProxyRequest)
	var accessor core.RequestAccessor
	request, err := accessor.EventToRequestWithContext(ctx, event.APIGatewayProxyRequest)
	if err != nil {
		return nil, err
	}
	if event.taken != nil {
		request.Body = io.NopCloser(bytes.NewReader(event.taken))
		request.ContentLength = int64(len(event.taken))
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
		request.Header.Del("Host")
	}
	return request, nil
}

// gatewayContext is what API Gateway itself says of a request, as opposed to
// what the caller says.
func gatewayContext(ctx context.Context) (events.APIGatewayProxyRequestContext, bool) {
	return core.GetAPIGatewayContextFromContext(ctx)
}

// routePath is the path without what the deployment put before it: behind a
// custom domain the event's path begins with the domain's base path, which the
// resource, the route as the template declares it, never does. (The stage is
// in neither.)
func routePath(event events.APIGatewayProxyRequest) string {
	if event.Resource != "" && !strings.Contains(event.Resource, "{") && strings.HasSuffix(event.Path, event.Resource) {
		return event.Resource
	}
	return event.Path
}
