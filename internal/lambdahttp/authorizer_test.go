package lambdahttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

const methodARN = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/Prod/POST/list-datasets"

func authorize(t *testing.T, authenticate Authenticate, event string) (events.APIGatewayCustomAuthorizerResponse, string, error) {
	t.Helper()
	var request events.APIGatewayCustomAuthorizerRequestTypeRequest
	if err := json.Unmarshal([]byte(event), &request); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	answer, err := newAuthorizer(authenticate, slog.New(slog.NewJSONHandler(&log, nil)))(t.Context(), request)
	return answer, log.String(), err
}

func TestAuthorizerReadsOneHeader(t *testing.T) {
	tests := map[string]struct{ event, want string }{
		"multi":             {`{"multiValueHeaders":{"Authorization":["Key k"]},"headers":{"Authorization":"other"}}`, "Key k"},
		"lower case":        {`{"multiValueHeaders":{"authorization":["Key k"]}}`, "Key k"},
		"single":            {`{"headers":{"AUTHORIZATION":"Key k"}}`, "Key k"},
		"twice":             {`{"multiValueHeaders":{"Authorization":["Key k","Key l"]}}`, ""},
		"twice by its case": {`{"multiValueHeaders":{"Authorization":["Key k"],"authorization":["Key l"]}}`, ""},
		"none":              {`{"multiValueHeaders":{"Accept":["*/*"]}}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := "not called"
			_, log, err := authorize(t, func(_ context.Context, value string) (keys.Principal, error) {
				got = value
				return keys.Principal{}, fault.New(fault.CodeUnauthorized, "no", "")
			}, test.event)
			if got != test.want {
				t.Errorf("authenticated %q, want %q", got, test.want)
			}
			// API Gateway answers 401 for exactly this text.
			if err == nil || err.Error() != "Unauthorized" {
				t.Errorf("error %v", err)
			}
			if log != "" {
				t.Errorf("logged %s", log)
			}
		})
	}
}

func TestAuthorizerAllowsTheWholeAPI(t *testing.T) {
	answer, _, err := authorize(t, func(context.Context, string) (keys.Principal, error) {
		return keys.Principal{Tenant: "acme", KeyID: "key-1", Scopes: []keys.Scope{keys.ScopeRead, keys.ScopeWrite}}, nil
	}, `{"methodArn":"`+methodARN+`","headers":{"Authorization":"Key k"}}`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"principalId":"key-1","policyDocument":{"Version":"2012-10-17","Statement":[{"Action":["execute-api:Invoke"],` +
		`"Effect":"Allow","Resource":["arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/Prod/*"]}]},` +
		`"context":{"datasets":"*","key_id":"key-1","scopes":"read write","tenant":"acme"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAuthorizerOutage(t *testing.T) {
	_, log, err := authorize(t, func(context.Context, string) (keys.Principal, error) {
		return keys.Principal{}, errors.New("the table is away")
	}, `{"methodArn":"`+methodARN+`","headers":{"Authorization":"Key secret-key"}}`)
	if err == nil || err.Error() == "Unauthorized" || strings.Contains(err.Error(), "table") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(log, "the table is away") || strings.Contains(log, "secret-key") {
		t.Errorf("log %s", log)
	}
}

func TestAuthorizerRefusesAnotherARN(t *testing.T) {
	for _, arn := range []string{"", "*", "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234", "arn:aws:execute-api:x/Prod"} {
		_, _, err := authorize(t, func(context.Context, string) (keys.Principal, error) {
			return keys.Principal{Tenant: "acme", KeyID: "key-1"}, nil
		}, `{"methodArn":"`+arn+`"}`)
		if err == nil {
			t.Errorf("%q gave a policy", arn)
		}
	}
}

// A principal survives the way from the authorizer through API Gateway to a
// function.
func TestPrincipal(t *testing.T) {
	for _, want := range []keys.Principal{
		{Tenant: "acme", KeyID: "key-1", Scopes: []keys.Scope{keys.ScopeRead}},
		{Tenant: "acme", KeyID: "key-1", Scopes: []keys.Scope{keys.ScopeRead, keys.ScopeAdmin}, Datasets: []string{"dataset-1", "dataset-2"}},
	} {
		got, err := principalBehind(t, principalContext(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestNoPrincipal(t *testing.T) {
	whole := map[string]any{"tenant": "acme", "key_id": "key-1", "scopes": "admin", "datasets": "*"}
	for name := range whole {
		for _, value := range []any{nil, "", 1.0, " "} {
			context := map[string]any{}
			for k, v := range whole {
				context[k] = v
			}
			context[name] = value
			got, err := principalBehind(t, context)
			if !fault.Is(err, fault.CodeUnauthorized) {
				t.Errorf("%s = %v gave %+v, %v", name, value, got, err)
			}
		}
	}
	if _, err := Principal(&http.Request{Header: http.Header{"X-Golambdaproxy-Apigw-Context": {`{"authorizer":{"tenant":"acme"}}`}}}); !fault.Is(err, fault.CodeUnauthorized) {
		t.Errorf("a header made a principal: %v", err)
	}
}

func principalBehind(t *testing.T, authorizer map[string]any) (p keys.Principal, err error) {
	t.Helper()
	invoke(t, func(w http.ResponseWriter, r *http.Request) { p, err = Principal(r) }, map[string]any{
		"httpMethod": "POST", "path": "/x", "requestContext": map[string]any{"authorizer": authorizer},
	})
	return p, err
}
