package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// network carries requests to the stores and does to some of them what AWS's
// network and services do now and then.
type network struct {
	next   http.RoundTripper
	dice   *dice
	rate   float64       // of the calls that are hurt
	slow   time.Duration // the longest of slow answers
	faults []networkFault

	mu    sync.Mutex
	calls int
	hurt  map[string]int // by fault
}

// networkFault is a way to hurt a call.
type networkFault struct {
	name string
	own  bool                     // of one operation
	hits func(*http.Request) bool // the calls that it can happen to
	do   func(*network, *http.Request) (*http.Response, error)
}

func newNetwork(d *dice, rate float64, slow time.Duration) *network {
	return &network{next: newTransport(), dice: d, rate: rate, slow: slow, faults: networkFaults(), hurt: map[string]int{}}
}

// The services and operations as they look on the wire.
func anyCall(*http.Request) bool    { return true }
func toDynamo(r *http.Request) bool { return r.Header.Get("X-Amz-Target") != "" }
func toS3(r *http.Request) bool     { return !toDynamo(r) }
func isTransaction(r *http.Request) bool {
	return strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".TransactWriteItems")
}
func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// networkFaults are what the network and the stores do. An answer that comes
// "after" one was applied hides that it was.
func networkFaults() []networkFault {
	return []networkFault{
		{"reset before", false, anyCall, func(*network, *http.Request) (*http.Response, error) { return nil, errReset }},
		{"reset after", false, anyCall, func(n *network, r *http.Request) (*http.Response, error) {
			return nil, errors.Join(n.applied(r), errReset)
		}},
		{"slow answer", false, anyCall, func(n *network, r *http.Request) (*http.Response, error) {
			response, err := n.next.RoundTrip(r)
			pause(r.Context(), n.dice.upTo(n.slow))
			return response, err
		}},
		{"sent twice", false, anyCall, func(n *network, r *http.Request) (*http.Response, error) {
			if err := n.applied(r); err != nil {
				return nil, err
			}
			return n.next.RoundTrip(r)
		}},
		{"dynamo 500 before", false, toDynamo, dynamoAnswer(500, "InternalServerError")},
		{"dynamo 500 after", false, toDynamo, after(dynamoAnswer(500, "InternalServerError"))},
		{"dynamo throttles the account", false, toDynamo, dynamoAnswer(400, "ThrottlingException")},
		{"dynamo throttles the table", false, toDynamo, dynamoAnswer(400, "ProvisionedThroughputExceededException")},
		{"transaction conflicts", true, isTransaction, canceled("TransactionConflict")},
		{"transaction throttled", true, isTransaction, canceled("ThrottlingError")},
		{"transaction in progress", true, isTransaction, after(dynamoAnswer(400, "TransactionInProgressException"))},
		{"transaction arrives late", true, isTransaction, func(n *network, r *http.Request) (*http.Response, error) {
			late := r.Clone(context.WithoutCancel(r.Context()))
			go func() {
				time.Sleep(n.dice.upTo(n.slow + time.Millisecond))
				_ = n.applied(late)
			}()
			return nil, errReset
		}},
		{"s3 500 before", false, toS3, s3Answer(500, "InternalError")},
		{"s3 500 after", false, toS3, after(s3Answer(500, "InternalError"))},
		{"s3 slow down", false, toS3, s3Answer(503, "SlowDown")},
		{"complete 200 with an error before", true, isComplete, s3Answer(200, "InternalError")},
		{"complete 200 with an error after", true, isComplete, after(s3Answer(200, "InternalError"))},
	}
}

var errReset = errors.New("read: connection reset by peer")

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	r, err := held(r)
	if err != nil {
		return nil, err
	}
	if err := spend(r.Context()); err != nil {
		return nil, err
	}
	if lost := tableOf(r.Context()); lost != nil && toDynamo(r) {
		if lost.Load() {
			return nil, errReset
		}
		if isTransaction(r) {
			lost.Store(true)
			return nil, errors.Join(n.applied(r), errReset)
		}
	}
	if f := n.draw(r); f != nil {
		return f.do(n, r)
	}
	return n.next.RoundTrip(r)
}

// draw decides what happens to a call. Half of what happens to an operation that
// has faults of its own is one of them.
func (n *network) draw(r *http.Request) *networkFault {
	hit, own := n.dice.hits(n.rate), n.dice.hits(0.5)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls++
	if !hit {
		return nil
	}
	var possible, special []*networkFault
	for i := range n.faults {
		f := &n.faults[i]
		if !f.hits(r) {
			continue
		}
		if possible = append(possible, f); f.own {
			special = append(special, f)
		}
	}
	if own && len(special) > 0 {
		possible = special
	}
	f := possible[n.dice.below(len(possible))]
	n.hurt[f.name]++
	return f
}

// counts says how many calls were made, and what was done to them.
func (n *network) counts() (calls, hurt int, each map[string]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.hurt {
		hurt += c
	}
	return n.calls, hurt, maps.Clone(n.hurt)
}

// held reads a request's body, so that it can be sent more than once.
func held(r *http.Request) (*http.Request, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	r = r.Clone(r.Context())
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	return r, nil
}

// applied sends a request and throws the answer away; the body is there again.
func (n *network) applied(r *http.Request) error {
	response, err := n.next.RoundTrip(r)
	if err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	if r.GetBody != nil {
		r.Body, _ = r.GetBody()
	}
	return err
}

// after has a request applied before its answer is made up.
func after(do func(*network, *http.Request) (*http.Response, error)) func(*network, *http.Request) (*http.Response, error) {
	return func(n *network, r *http.Request) (*http.Response, error) {
		if err := n.applied(r); err != nil {
			return nil, err
		}
		return do(n, r)
	}
}

func dynamoAnswer(status int, code string) func(*network, *http.Request) (*http.Response, error) {
	return func(_ *network, r *http.Request) (*http.Response, error) {
		body := object{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": "injected"}
		return madeUp(r, status, "application/x-amz-json-1.0", body), nil
	}
}

// canceled refuses a transaction for what came in the way of one of its actions.
func canceled(reason string) func(*network, *http.Request) (*http.Response, error) {
	return func(n *network, r *http.Request) (*http.Response, error) {
		var sent struct{ TransactItems []any }
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			return nil, err
		}
		reasons := slices.Repeat([]object{{"Code": "None"}}, len(sent.TransactItems))
		reasons[n.dice.below(len(reasons))] = object{"Code": reason, "Message": "injected"}
		return madeUp(r, http.StatusBadRequest, "application/x-amz-json-1.0", object{
			"__type":  "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
			"Message": "injected", "CancellationReasons": reasons,
		}), nil
	}
}

func s3Answer(status int, code string) func(*network, *http.Request) (*http.Response, error) {
	return func(_ *network, r *http.Request) (*http.Response, error) {
		return madeUp(r, status, "application/xml", fmt.Sprintf("<Error><Code>%s</Code><Message>injected</Message></Error>", code)), nil
	}
}

// madeUp is a response that no server gave; body is XML, or to be JSON.
func madeUp(r *http.Request, status int, contentType string, body any) *http.Response {
	text, ok := body.(string)
	if !ok {
		encoded, _ := json.Marshal(body) // texts and lists of them
		text = string(encoded)
	}
	if r.Method == http.MethodHead {
		text = ""
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprint(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
	}
}

// pause waits, but not for longer than anybody else does.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
