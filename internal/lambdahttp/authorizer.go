package lambdahttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"github.com/parqueue/parqueue/internal/fault"
)

// errUnauthorized is the one text that API Gateway turns into a 401; it turns
// every other error of an authorizer into a 500.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
var errUnauthorized = errors.New("Unauthorized")

// authorizer answers whether a key is good, and for whom.
type authorizer func(context.Context, events.APIGatewayCustomAuthorizerRequestTypeRequest) (events.APIGatewayCustomAuthorizerResponse, error)

func newAuthorizer(authenticate Authenticate, log *slog.Logger) authorizer {
	return func(ctx context.Context, event events.APIGatewayCustomAuthorizerRequestTypeRequest) (events.APIGatewayCustomAuthorizerResponse, error) {
		principal, err := authenticate(ctx, authorizationHeader(event))
		if fault.Is(err, fault.CodeUnauthorized) {
			return events.APIGatewayCustomAuthorizerResponse{}, errUnauthorized
		}
		if err != nil {
			log.ErrorContext(ctx, "checking a key", "error", err)
			return events.APIGatewayCustomAuthorizerResponse{}, errors.New("the key could not be checked")
		}
		api, err := wholeAPI(event.MethodArn)
		if err != nil {
			return events.APIGatewayCustomAuthorizerResponse{}, err
		}
		return events.APIGatewayCustomAuthorizerResponse{
			PrincipalID:    principal.KeyID,
			PolicyDocument: allow(api),
			Context:        principalContext(principal),
		}, nil
	}
}

// authorizationHeader is the value of the request's only Authorization header,
// or "" when there is none or several.
func authorizationHeader(event events.APIGatewayCustomAuthorizerRequestTypeRequest) string {
	var values []string
	for name, v := range event.MultiValueHeaders {
		if strings.EqualFold(name, "Authorization") {
			values = append(values, v...)
		}
	}
	if event.MultiValueHeaders == nil {
		for name, v := range event.Headers {
			if strings.EqualFold(name, "Authorization") {
				values = append(values, v)
			}
		}
	}
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// wholeAPI widens the ARN of one method to all of its stage. API Gateway caches
// a policy by key and not by route, so that a narrower one would refuse the
// next request of the same key to another route.
func wholeAPI(methodARN string) (string, error) {
	// arn:aws:execute-api:us-east-1:123456789012:api-id/stage/GET/route
	parts := strings.SplitN(methodARN, "/", 3)
	if len(parts) < 3 || !strings.HasPrefix(parts[0], "arn:") {
		return "", fmt.Errorf("the event's methodArn is not that of a REST API's method: %q", methodARN)
	}
	return parts[0] + "/" + parts[1] + "/*", nil
}

func allow(resource string) events.APIGatewayCustomAuthorizerPolicy {
	return events.APIGatewayCustomAuthorizerPolicy{
		Version: "2012-10-17",
		Statement: []events.IAMPolicyStatement{
			{Action: []string{"execute-api:Invoke"}, Effect: "Allow", Resource: []string{resource}},
		},
	}
}
