// Package client speaks Parqueue's HTTP API. Every call is bounded in what it
// reads, ends with its context, and is tried again when that is safe: reads
// always, and writes because each of them either carries an Idempotency-Key or is
// documented to have no second effect.
//
// Whatever the API refuses comes back as the *fault.Error that the server made,
// with its code, sentence, hint and details. What never reached the API, or came
// back as something else, is CodeUnavailable.
//
// The package needs no IAM actions.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/fault"
)

// Bounds of one call.
const (
	answerLimit = 8 << 20          // bytes of an answer; API Gateway's own bound is 6 MB
	listLimit   = 64 << 20         // bytes of a page of a listing, which a local server doesn't bound
	callTime    = 90 * time.Second // of one try, so that a lost answer is noticed
)

// Config says which server a client speaks to, and as whom.
type Config struct {
	URL       string // such as https://….amazonaws.com/Prod or http://127.0.0.1:8080
	Key       string // the API key
	AllowHTTP bool   // send the key over plain HTTP to another machine

	// Retry is how failures are tried again; the zero value is the usual way.
	Retry Retry
	// Transport carries the requests; nil is one of NewTransport.
	Transport http.RoundTripper
}

// Client calls one server with one key. It is safe for concurrent use.
type Client struct {
	base  string
	key   string
	retry Retry
	http  *http.Client
}

// New checks a configuration.
// Errors: CodeInvalidRequest for a URL that can't be one, or that would show the
// key to the network; CodeUnauthorized without a key.
func New(c Config) (*Client, error) {
	base, err := CheckURL(c.URL, c.AllowHTTP)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(c.Key) == "" {
		return nil, fault.New(fault.CodeUnauthorized, "There is no API key.", "Sign in with `parqueue auth login`, or set PARQUEUE_API_KEY.")
	}
	if strings.ContainsFunc(c.Key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, fault.New(fault.CodeUnauthorized, "The API key has characters that no key has.", "Copy the key again: it begins with pq_live_ and is one word.")
	}
	transport := c.Transport
	if transport == nil {
		transport = NewTransport()
	}
	return &Client{base: base, key: c.Key, retry: c.Retry.withDefaults(), http: &http.Client{
		Transport: transport,
		// A redirect of the API would take the key elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// NewTransport is what carries requests. Clients may share one. It keeps as many connections as a transfer makes calls at once.
func NewTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	t.MaxConnsPerHost = 64
	t.ResponseHeaderTimeout = callTime
	return t
}

// CheckURL returns a server's base URL in the one form that it is kept and
// compared in. Plain HTTP is for this machine, unless it is allowed.
// Errors: CodeInvalidRequest.
func CheckURL(text string, allowHTTP bool) (string, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fault.Newf(fault.CodeInvalidRequest, "Give it as https://host/path; `sam list stack-outputs` shows a deployment's, and `parqueue serve` prints its own.",
			"%q is not the URL of a server.", text)
	}
	if u.Scheme == "http" && !allowHTTP && !local(u.Hostname()) {
		return "", fault.Newf(fault.CodeInvalidRequest, "Use https. Where the network between is your own, sign in with `parqueue auth login --allow-http`.",
			"The key would be sent to %s in the clear.", u.Host)
	}
	u.Host = strings.ToLower(u.Host)
	return strings.TrimRight(u.String(), "/"), nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// URL is the server's base URL.
func (c *Client) URL() string { return c.base }

// call is one request of the API.
type call struct {
	endpoint string
	body     any    // encoded as JSON; nil sends {}
	get      bool   // GET without a body
	key      string // Idempotency-Key, or ""
	ifMatch  string // an ETag, or ""
	limit    int64  // bytes of the answer; 0 is answerLimit
}

// NewKey makes an Idempotency-Key.
func NewKey() string { return uuid.NewString() }

// do sends a call until it is answered for good, and decodes the answer.
func (c *Client) do(ctx context.Context, what call, answer any) error {
	return c.ask(ctx, what, func(text []byte) error { return json.Unmarshal(text, answer) })
}

// ask sends a call until it is answered for good, and hands the answer's body to read.
func (c *Client) ask(ctx context.Context, what call, read func(text []byte) error) error {
	body := []byte("{}")
	if what.body != nil {
		var err error
		if body, err = json.Marshal(what.body); err != nil {
			return fmt.Errorf("encoding a request of %s: %w", what.endpoint, err)
		}
	}
	return c.retry.Do(ctx, func(ctx context.Context) error {
		text, err := c.try(ctx, what, body)
		if err != nil {
			return err
		}
		if err := read(text); err != nil {
			return unreadable(c.base, text, fmt.Errorf("%s: %w", what.endpoint, err))
		}
		return nil
	})
}

// try sends a call once and returns the body of a good answer.
func (c *Client) try(ctx context.Context, what call, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	method, content := http.MethodPost, io.Reader(bytes.NewReader(body))
	if what.get {
		method, content = http.MethodGet, nil
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+"/"+what.endpoint, content)
	if err != nil {
		return nil, fmt.Errorf("making a request of %s: %w", what.endpoint, err)
	}
	r.Header.Set("Authorization", "Key "+c.key)
	r.Header.Set("User-Agent", "parqueue")
	if !what.get {
		r.Header.Set("Content-Type", "application/json")
	}
	if what.key != "" {
		r.Header.Set("Idempotency-Key", what.key)
	}
	if what.ifMatch != "" {
		r.Header.Set("If-Match", what.ifMatch)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, Again(errUnreachable(c.base, err))
	}
	defer resp.Body.Close()
	text, err := readAtMost(resp.Body, max(what.limit, answerLimit))
	switch {
	case errors.Is(err, errTooLong):
		return nil, errNoAnswer(c.base, err)
	case err != nil:
		return nil, Again(errUnreachable(c.base, err))
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(c.base, resp, text)
	}
	return text, nil
}

var errTooLong = errors.New("the answer is too long")

func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = errTooLong
	}
	return text, err
}
