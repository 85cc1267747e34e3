package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
)

// errUnreachable is a request that got no whole answer.
func errUnreachable(base string, cause error) error {
	if errors.Is(cause, context.Canceled) {
		return cause
	}
	return fault.Newf(fault.CodeUnavailable, "Check the network, and the URL with `parqueue auth status`.", "The server at %s can't be reached.", base).Because(cause)
}

// errNoAnswer is an answer that Parqueue would not give.
func errNoAnswer(base string, cause error) error {
	return fault.Newf(fault.CodeUnavailable, "Check the URL with `parqueue auth status`: something else may be listening there, or an older server.",
		"What answers at %s is not a Parqueue server that this client knows.", base).Because(cause)
}

// unreadable is an answer that can't be read. One that begins as an answer of
// Parqueue's lost its end on the way, to a proxy that passes on as whole what was
// broken off: it is asked for again.
func unreadable(base string, text []byte, cause error) error {
	err := errNoAnswer(base, cause)
	if begun := bytes.TrimSpace(text); (len(begun) == 0 || begun[0] == '{') && !json.Valid(begun) {
		return AgainFew(err, internalTries)
	}
	return err
}

// refusal rebuilds the error that the server made, and says whether the call may
// be tried again.
func refusal(base string, resp *http.Response, text []byte) error {
	var body map[string]any
	var err error
	code, message := "", ""
	if json.Unmarshal(text, &body) == nil {
		code, _ = body["code"].(string)
		message, _ = body["error"].(string)
	}
	if code == "" || message == "" {
		// API Gateway and proxies have their own words.
		err = errStatus(base, resp.StatusCode)
	} else {
		hint, _ := body["hint"].(string)
		f := fault.New(fault.Code(code), message, hint)
		for _, known := range []string{"code", "error", "message", "hint"} {
			delete(body, known)
		}
		f.Details = body
		if id := resp.Header.Get("X-Request-Id"); id != "" && f.Code == fault.CodeInternal {
			f = f.Because(fmt.Errorf("request id %s", id))
		}
		err = f
	}
	switch {
	case fault.Code(code) == fault.CodeInternal:
		return AgainFew(err, internalTries)
	case mayPass(resp.StatusCode, fault.Code(code)):
		return AgainAfter(err, RetryAfter(resp.Header))
	}
	return err
}

// internalTries is how often a call is made that meets a defect of the server, or
// an outage behind it.
const internalTries = 5

func errStatus(base string, status int) error {
	cause := fmt.Errorf("HTTP status %d", status)
	switch status {
	case http.StatusUnauthorized:
		return fault.New(fault.CodeUnauthorized, "The server doesn't take the API key.", "Sign in again with `parqueue auth login`.").Because(cause)
	case http.StatusForbidden:
		return fault.New(fault.CodeForbidden, "The server doesn't let the API key do that.", "Use a key with the right scope, and check the URL with `parqueue auth status`.").Because(cause)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInternalServerError:
		return fault.Newf(fault.CodeUnavailable, "Try again in a minute.", "The server at %s is overloaded or down.", base).Because(cause)
	}
	return errNoAnswer(base, cause)
}

// mayPass reports a failure that the same call may not meet again. A conflict of
// writers is one; every other refusal with a code would be the same next time.
func mayPass(status int, code fault.Code) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return code == fault.CodeConflict || code == fault.CodeIncompleteBody
}

// longestWait bounds what a server's Retry-After may ask for.
const longestWait = time.Minute

// RetryAfter reads the seconds of the header of that name, up to a minute; S3, API Gateway and Parqueue send no dates.
func RetryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, longestWait)
}
