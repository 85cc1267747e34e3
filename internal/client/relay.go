package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/parqueue/parqueue/internal/fault"
)

// Answer is the API's own answer to a request that was passed on.
type Answer struct {
	Status int
	Header http.Header
	Body   io.ReadCloser
}

// relayed are the headers that go with a request that is passed on.
func relayed() []string { return []string{"If-Match", "Idempotency-Key"} }

// Relay passes a request on as it is, with the client's key, and returns the
// answer, whatever it is. What may pass is tried again meanwhile: a request without
// an Idempotency-Key gets one.
// Errors: CodeInvalidRequest for what is no endpoint; CodeUnavailable when the
// server can't be reached.
func (c *Client) Relay(ctx context.Context, endpoint string, body []byte, header http.Header) (*Answer, error) {
	if !validEndpoint(endpoint) {
		return nil, fault.Newf(fault.CodeRouteNotFound, "The README of Parqueue lists the endpoints.", "%.64q is no endpoint.", endpoint)
	}
	key := NewKey()
	var last *Answer
	err := c.retry.Do(ctx, func(ctx context.Context) error {
		last = nil
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/"+endpoint, bytes.NewReader(body))
		if err != nil {
			return err
		}
		if endpoint == "try-authentication" || endpoint == "get-quotas" {
			r.Method, r.Body, r.ContentLength = http.MethodGet, nil, 0
		}
		r.Header.Set("Authorization", "Key "+c.key)
		r.Header.Set("User-Agent", "parqueue")
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
		for _, name := range relayed() {
			if value := header.Get(name); value != "" {
				r.Header.Set(name, value)
			}
		}
		resp, err := c.http.Do(r)
		if err != nil {
			return Again(errUnreachable(c.base, err))
		}
		last = &Answer{resp.StatusCode, resp.Header, resp.Body}
		if resp.StatusCode < http.StatusBadRequest {
			return nil
		}
		defer resp.Body.Close()
		text, err := readAtMost(resp.Body, answerLimit)
		if err != nil {
			last = nil
			return Again(errUnreachable(c.base, err))
		}
		last.Body = io.NopCloser(bytes.NewReader(text))
		return refusal(c.base, resp, text)
	})
	if last != nil && ctx.Err() == nil {
		return last, nil
	}
	return nil, errors.Join(err, context.Cause(ctx))
}

func validEndpoint(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}
