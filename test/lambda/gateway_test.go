package lambda_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/api"
)

// API Gateway's and Lambda's limits, and what they say at them.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	gatewayBody   = 10 << 20
	gatewayWaits  = 29 * time.Second
	lambdaPayload = 6 << 20 // of an event, and of an answer that isn't streamed
)

// gateway is what API Gateway is to those who call a deployment: the routes of the
// template, the authorizer, whose answers are kept for a while, and the limits.
// Answers that are streamed come whole, as the emulator gives them.
type gateway struct {
	*deployment
	t       *testing.T
	routes  map[string]string // function, by method and path
	streams map[string]bool   // by function
	known   sync.Map          // what the authorizer said, by header
	calls   atomic.Int64
	largest atomic.Int64 // bytes of an event or an answer
	refused atomic.Int64 // requests that got none of the function's answers
}

// serveGateway starts it, until the end of the test.
func serveGateway(t *testing.T, d *deployment) (g *gateway, url string) {
	t.Helper()
	g = &gateway{deployment: d, t: t, routes: map[string]string{}, streams: map[string]bool{}}
	for _, endpoint := range api.Endpoints() {
		events, _ := functions(t)[endpoint.Name]["Events"].(object)
		for _, e := range events {
			method, _ := at(e, "Properties", "Method").(string)
			path, _ := at(e, "Properties", "Path").(string)
			g.routes[strings.ToUpper(method)+" "+path] = endpoint.Name
		}
		g.streams[endpoint.Name] = streams(t, endpoint.Name)
	}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return g, server.URL
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := g.answer(r)
	var own gatewayError
	switch {
	case errors.As(err, &own):
		a = answer{StatusCode: own.status, MultiValueHeaders: http.Header{"Content-Type": {"application/json"}}, Body: fmt.Sprintf(`{"message":%q}`, own.message)}
	case err != nil:
		g.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		panic(http.ErrAbortHandler)
	}
	body := []byte(a.Body)
	if a.IsBase64Encoded {
		body, _ = base64.StdEncoding.DecodeString(a.Body)
	}
	for name, values := range a.MultiValueHeaders {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.StatusCode)
	_, _ = w.Write(body)
}

// gatewayError is an answer of API Gateway's own.
type gatewayError struct {
	status  int
	message string
}

// Error implements error.
func (e gatewayError) Error() string { return e.message }

// Every so many requests, of those that write, one is answered too late though it
// was carried out, and one is not carried out.
const (
	tooLateEvery   = 11
	throttledEvery = 13
)

func (g *gateway) answer(r *http.Request) (a answer, err error) {
	function, ok := g.routes[r.Method+" "+r.URL.Path]
	if !ok {
		return a, gatewayError{http.StatusForbidden, "Missing Authentication Token"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, gatewayBody+1))
	if err != nil {
		return a, err
	}
	if len(body) > gatewayBody {
		return a, gatewayError{http.StatusRequestEntityTooLarge, "Request Too Long"}
	}
	who, err := g.who(r)
	if err != nil {
		return a, err
	}
	call := g.calls.Add(1)
	if call%throttledEvery == 0 {
		g.refused.Add(1)
		return a, gatewayError{http.StatusTooManyRequests, "Too Many Requests"}
	}
	e := eventOf(r)
	e["body"], e["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
	e["requestContext"].(object)["authorizer"] = who
	a, err = g.invoke(function, e)
	if err == nil && call%tooLateEvery == 0 {
		g.refused.Add(1)
		return a, gatewayError{http.StatusGatewayTimeout, "Endpoint request timed out"}
	}
	return a, err
}

// who asks the authorizer, once for each key.
func (g *gateway) who(r *http.Request) (object, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, gatewayError{http.StatusUnauthorized, "Unauthorized"}
	}
	if known, ok := g.known.Load(header); ok {
		return known.(object), nil
	}
	e := eventOf(r)
	e["type"], e["methodArn"] = "REQUEST", "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/v1/"+r.Method+r.URL.Path
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	text, err := g.functions[authorizerName].post(r.Context(), payload)
	if err != nil {
		return nil, err
	}
	var policy struct {
		Context      object
		ErrorMessage string
	}
	if err := json.Unmarshal(text, &policy); err != nil {
		return nil, fmt.Errorf("the authorizer answered %s: %w", text, err)
	}
	if policy.ErrorMessage != "" {
		return nil, gatewayError{http.StatusUnauthorized, "Unauthorized"}
	}
	g.known.Store(header, policy.Context)
	return policy.Context, nil
}

// eventOf is a request without its body, as API Gateway tells a function of it.
func eventOf(r *http.Request) event {
	headers, all := object{}, object{}
	for name, values := range r.Header {
		headers[name], all[name] = values[len(values)-1], values
	}
	return event{
		"resource": r.URL.Path, "path": r.URL.Path, "httpMethod": r.Method, "headers": headers, "multiValueHeaders": all,
		"requestContext": object{"requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "httpMethod": r.Method, "resourcePath": r.URL.Path, "stage": "v1", "path": "/v1" + r.URL.Path},
	}
}

// invoke runs a function, to whom it means nothing that the client goes away.
func (g *gateway) invoke(function string, e event) (a answer, err error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return a, err
	}
	g.seen(len(payload))
	if len(payload) > lambdaPayload {
		return a, gatewayError{http.StatusRequestEntityTooLarge, "Request Too Long"}
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	text, err := g.functions[function].post(ctx, payload)
	switch {
	case err != nil:
		return a, err
	case g.streams[function]:
		stream := bytes.NewReader(text)
		if err := a.decodeHeader(stream); err != nil {
			return a, err
		}
		rest, err := io.ReadAll(stream)
		a.Body = string(rest)
		return a, err
	}
	g.seen(len(text))
	if err := json.Unmarshal(text, &a); err != nil || a.ErrorMessage != "" || a.StatusCode == 0 {
		g.t.Errorf("%s answered %.500s", function, text)
		return a, gatewayError{http.StatusBadGateway, "Internal server error"}
	}
	if time.Since(began) > gatewayWaits || len(text) > lambdaPayload {
		g.t.Errorf("%s took %v for %d bytes", function, time.Since(began), len(text))
	}
	return a, nil
}

// seen keeps the size of the largest payload.
func (g *gateway) seen(bytes int) {
	for {
		largest := g.largest.Load()
		if int64(bytes) <= largest || g.largest.CompareAndSwap(largest, int64(bytes)) {
			return
		}
	}
}
