package dynamo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// throttling are the errors after which nothing changed and a repetition may
// succeed.
var throttling = map[string]error{
	"conflict on the head":   canceled("TransactionConflict", "None", "None", "None"),
	"conflict on a name":     canceled("None", "None", "None", "TransactionConflict"),
	"throttled action":       canceled("None", "ThrottlingError", "None", "None"),
	"throughput of an item":  canceled("ProvisionedThroughputExceeded", "None", "None", "None"),
	"throttled request":      answered(400, &smithy.GenericAPIError{Code: "ThrottlingException"}),
	"throughput of a table":  answered(400, &types.ProvisionedThroughputExceededException{}),
	"limit of the account":   answered(400, &types.RequestLimitExceeded{}),
	"transaction in process": answered(400, &types.TransactionInProgressException{}),
}

func TestAppendRetriesWhatPasses(t *testing.T) {
	for name, cause := range throttling {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.spy.transact = func(n int, send func() error) error {
				if n < 3 {
					return cause
				}
				return send()
			}
			done, err := b.Append(t.Context(), b.request("a"))
			if err != nil || done.Files[0].Position != 0 {
				t.Fatalf("got %+v, %v", done, err)
			}
			for _, token := range b.spy.tokens {
				if token == "" || token != b.spy.tokens[0] {
					t.Fatalf("one transaction was sent with the tokens %q", b.spy.tokens)
				}
			}
			b.wantNames(t, "a")
		})
	}
}

// A run of files that lost a race is not sent again while others are at work, since
// each try takes as much of the table's time as theirs; but it does not wait for ever.
func TestRunLetsOthersPass(t *testing.T) {
	for name, tc := range map[string]struct{ others, looks int }{
		"who end":   {3, 4},
		"who don't": {100, 13},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			patient := dynamo.New(b.spy, b.table, dynamo.WithTries(50, 5*time.Millisecond))
			b.spy.transact = func(n int, send func() error) error {
				if n == 0 {
					b.byAnother(t, "first")
				}
				return send()
			}
			b.spy.get = func(n int) {
				if n > 0 && n <= tc.others {
					b.byAnother(t, fmt.Sprint("other-", n))
				}
			}
			if _, err := patient.Append(t.Context(), b.request("a", "b")); err != nil {
				t.Fatal(err)
			}
			b.spy.wantCalls(t, map[string]int{"GetItem": 1 + tc.looks, "TransactWriteItems": 2})
		})
	}
}

func TestAppendGivesUp(t *testing.T) {
	for name, cause := range throttling {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.spy.transact = func(int, func() error) error { return cause }
			_, err := b.Append(t.Context(), b.request("a"))
			want := fault.CodeConflict
			if name == "transaction in process" { // it may still succeed
				want = fault.CodeInternal
			}
			if !fault.Is(err, want) || !errors.Is(err, cause) {
				t.Fatalf("got %v, want %s because of %v", err, want, cause)
			}
			if got := b.spy.calls["TransactWriteItems"]; got < 2 || got > 6 {
				t.Errorf("tried %d times", got)
			}
			b.wantNames(t)
		})
	}
}

func TestAppendEndsWithItsContext(t *testing.T) {
	b := newBench(t)
	slow := &bench{Catalog: dynamo.New(b.spy, b.table, dynamo.WithTries(1000, time.Hour)), spy: b.spy, dataset: b.dataset}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow.spy.transact = func(int, func() error) error {
		time.AfterFunc(100*time.Millisecond, cancel)
		return throttling["conflict on the head"]
	}
	began := time.Now()
	_, err := slow.Append(ctx, slow.request("a"))
	if !fault.Is(err, fault.CodeConflict) || time.Since(began) > 5*time.Second {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
}

// A refusal that a repetition would get again is not repeated.
func TestAppendDoesNotRetryItsOwnMistakes(t *testing.T) {
	for _, cause := range []error{
		answered(400, &smithy.GenericAPIError{Code: "ValidationException"}),
		answered(400, &smithy.GenericAPIError{Code: "AccessDeniedException"}),
		answered(400, &types.ResourceNotFoundException{}),
		answered(400, &types.IdempotentParameterMismatchException{}),
		canceled("ValidationError", "None", "None", "None"),
	} {
		b := newBench(t)
		b.spy.transact = func(int, func() error) error { return cause }
		_, err := b.Append(t.Context(), b.request("a"))
		if !fault.Is(err, fault.CodeInternal) {
			t.Errorf("%v became %v", cause, err)
		}
		b.spy.wantCalls(t, map[string]int{"GetItem": 1, "TransactWriteItems": 1})
	}
}

// lost are the ways in which the answer to a transaction that was applied does
// not arrive.
var lost = map[string]error{"timeout": errTimeout, "internal": errInternal, "canceled": context.Canceled}

func TestAppendWhoseAnswerIsLost(t *testing.T) {
	for name, cause := range lost {
		for _, idempotencyKey := range []string{"", "k"} {
			for _, others := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, key %q, others %v", name, idempotencyKey, others), func(t *testing.T) {
					t.Parallel()
					b := newBench(t)
					b.spy.transact = func(n int, send func() error) error {
						err := send()
						if n > 0 {
							return err
						}
						if others {
							b.byAnother(t, "x", "y")
						}
						return cause
					}
					a := b.request("a", "b")
					if idempotencyKey != "" {
						a.Idempotency = dataset.Idempotency{Key: idempotencyKey, Fingerprint: "f"}
					}
					done, err := b.Append(t.Context(), a)
					if err != nil || done.Replayed || len(done.Files) != 2 || done.Files[0].Position != 0 || done.Files[1].Position != 1 || !a.SameFiles(done.Files) {
						t.Fatalf("got %+v, %v", done, err)
					}
					if others {
						b.wantNames(t, "a", "b", "x", "y")
					} else {
						b.wantNames(t, "a", "b")
					}
				})
			}
		}
	}
}

// The answer is lost and so is DynamoDB's memory of the token, as after 10
// minutes: the conditions alone must tell.
func TestAppendWhoseAnswerAndTokenAreLost(t *testing.T) {
	b := newBench(t)
	a := b.request("a", "b")
	b.spy.transact = func(_ int, send func() error) error { return errors.Join(send(), errTimeout) }
	_, err := b.Append(t.Context(), a)
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		t.Fatalf("an unknown outcome became %v", err)
	}
	b.spy.transact = nil
	b.byAnother(t, "x")
	for range 2 {
		done, err := b.Append(t.Context(), a)
		if err != nil || done.Replayed || done.Files[0].Position != 0 || done.Files[1].Position != 1 {
			t.Fatalf("repeated: %+v, %v", done, err)
		}
	}
	b.wantNames(t, "a", "b", "x")
}

// DynamoDB may stop looking at conditions once one has failed. The repeated
// append of two files sends the head, an entry, a name, an entry, a name and two records.
func TestAppendIsRecognisedByAnyOneCondition(t *testing.T) {
	for _, c := range []struct {
		told   []int
		others bool // append just before the repetition, so that the head fails too
	}{
		{told: []int{2}}, {told: []int{4}}, {told: []int{2, 4}}, {told: []int{5}}, {told: []int{6}}, {told: []int{0, 5}, others: true},
		{told: []int{0}, others: true}, {told: []int{0, 4}, others: true}, {told: []int{2}, others: true},
	} {
		b := newBench(t)
		a := b.request("a", "b")
		if _, err := b.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		b.spy.reset()
		want := []string{"a", "b"}
		b.spy.transact = func(n int, send func() error) error {
			if n > 0 {
				return send()
			}
			if c.others {
				b.byAnother(t, "x")
				want = append(want, "x")
			}
			return keepReasons(send(), c.told)
		}
		done, err := b.Append(t.Context(), a)
		if err != nil || !a.SameFiles(done.Files) || done.Files[1].Position != 1 {
			t.Errorf("%+v: %+v, %v", c, done, err)
		}
		b.wantNames(t, want...)
	}
}

// keepReasons hides all reasons of a refusal but those of some actions.
func keepReasons(err error, actions []int) error {
	var refusal *types.TransactionCanceledException
	if errors.As(err, &refusal) {
		for i := range refusal.CancellationReasons {
			if !slices.Contains(actions, i) {
				refusal.CancellationReasons[i] = types.CancellationReason{Code: aws.String("None")}
			}
		}
	}
	return err
}

// An append that lost a race was told the new head, and goes on at once. After
// the second race in a row it has waited, so it reads the head.
func TestAppendThatLostRaces(t *testing.T) {
	for lost, want := range []map[string]int{
		{"GetItem": 1, "TransactWriteItems": 1},
		{"GetItem": 1, "TransactWriteItems": 2},
		{"GetItem": 2, "TransactWriteItems": 3},
		{"GetItem": 2, "TransactWriteItems": 4},
	} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			names := []string{"first"}
			b.byAnother(t, "first")
			b.spy.transact = func(n int, send func() error) error {
				if n < lost {
					names = append(names, fmt.Sprint("x", n))
					b.byAnother(t, names[len(names)-1])
				}
				return send()
			}
			done, err := b.Append(t.Context(), b.request("a"))
			if err != nil || done.Files[0].Position != int64(len(names)) {
				t.Fatalf("got %+v, %v", done, err)
			}
			b.spy.wantCalls(t, want)
			if slices.Sort(b.spy.tokens); len(slices.Compact(b.spy.tokens)) != lost+1 {
				t.Errorf("different transactions were sent with the tokens %q", b.spy.tokens)
			}
			b.wantNames(t, append(names, "a")...)
		})
	}
}

// A conflict means that another writer is about to win: the head is read anew
// instead of losing to it as well.
func TestAppendReadsTheHeadAfterAConflict(t *testing.T) {
	b := newBench(t)
	b.spy.transact = func(n int, send func() error) error {
		if n == 0 {
			b.byAnother(t, "x")
			return throttling["conflict on the head"]
		}
		return send()
	}
	done, err := b.Append(t.Context(), b.request("a"))
	if err != nil || done.Files[0].Position != 1 {
		t.Fatalf("got %+v, %v", done, err)
	}
	b.spy.wantCalls(t, map[string]int{"GetItem": 2, "TransactWriteItems": 2})
}

func TestAppendThatLostARaceForTheSchema(t *testing.T) {
	for name, files := range map[string]string{"other name": "x", "same name": "a"} {
		b := newBench(t)
		b.spy.transact = func(n int, send func() error) error {
			if n == 0 {
				b.byAnother(t, files)
			}
			return send()
		}
		a := b.request("a")
		a.Schema = schema.Schema{Fields: []schema.Field{{Name: "b", Type: "bool"}}}
		_, err := b.Append(t.Context(), a)
		if !fault.Is(err, fault.CodeSchemaMismatch) {
			t.Fatalf("%s: got %v", name, err)
		}
		b.wantNames(t, files)
	}
}

func TestAppendThatLostARaceForANameDoesNotWait(t *testing.T) {
	b := newBench(t)
	b.spy.transact = func(n int, send func() error) error {
		if n == 0 {
			b.byAnother(t, "a")
		}
		return send()
	}
	_, err := b.Append(t.Context(), b.request("a"))
	if !fault.Is(err, fault.CodeFileExists) {
		t.Fatalf("got %v", err)
	}
	b.spy.wantCalls(t, map[string]int{"GetItem": 1, "TransactWriteItems": 1})
}

func TestCreateWhoseAnswerIsLost(t *testing.T) {
	for name, cause := range lost {
		for _, idempotencyKey := range []string{"", "k"} {
			b := newBench(t)
			b.spy.transact = func(n int, send func() error) error {
				if err := send(); err != nil || n > 0 {
					return err
				}
				return cause
			}
			idem := dataset.Idempotency{Key: idempotencyKey, Fingerprint: "f"}
			d := dataset.Dataset{ID: "dataset-2", Name: "n", CreatedAt: time.Now()}
			if got, err := b.CreateDataset(t.Context(), tenant, d, idem); err != nil || got.ID != d.ID || got.Name != "n" {
				t.Errorf("%s, key %q: %+v, %v", name, idempotencyKey, got, err)
			}
		}
	}
}

func TestCreateRetriesWhatPasses(t *testing.T) {
	b := newBench(t)
	b.spy.transact = func(n int, send func() error) error {
		if n < 2 {
			return canceled("None", "None", "TransactionConflict")
		}
		return send()
	}
	_, err := b.CreateDataset(t.Context(), tenant, dataset.Dataset{ID: "dataset-2", CreatedAt: time.Now()}, dataset.Idempotency{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
}

// lossy is a transport that loses answers after the server has acted, so that
// the SDK repeats the request by itself.
type lossy struct {
	next http.RoundTripper
	left atomic.Int64
	fail func(*http.Response) (*http.Response, error)
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), "TransactWriteItems") || l.left.Add(-1) < 0 {
		return response, err
	}
	defer response.Body.Close() //nolint:errcheck // its answer is what gets lost
	_, _ = io.Copy(io.Discard, response.Body)
	return l.fail(response)
}

func TestSDKRepeatsATransactionThatWasApplied(t *testing.T) {
	ways := map[string]func(*http.Response) (*http.Response, error){
		"500": func(r *http.Response) (*http.Response, error) {
			body := `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"no"}`
			return &http.Response{StatusCode: 500, Header: http.Header{}, Request: r.Request, Body: io.NopCloser(strings.NewReader(body))}, nil
		},
		"broken connection": func(*http.Response) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"half an answer": func(r *http.Response) (*http.Response, error) {
			r.Body = io.NopCloser(bytes.NewReader([]byte("{")))
			return r, nil
		},
	}
	endpoint := dynamotest.Endpoint(t)
	table := dynamotest.CreateTable(t, dynamotest.Client(endpoint))
	for name, fail := range ways {
		t.Run(name, func(t *testing.T) {
			transport := &lossy{next: http.DefaultTransport, fail: fail}
			c := dynamo.New(dynamotest.Client(endpoint, func(o *dynamodb.Options) {
				o.HTTPClient = &http.Client{Transport: transport}
				o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) { r.MaxBackoff = 5 * time.Millisecond })
			}), table)
			b := &bench{Catalog: c, other: c}
			d, err := c.CreateDataset(t.Context(), tenant, dataset.Dataset{ID: "dataset-" + strings.ReplaceAll(name, " ", "-"), CreatedAt: time.Now()}, dataset.Idempotency{})
			if err != nil {
				t.Fatal(err)
			}
			b.dataset = d
			for i, times := range []int64{1, 2, 3} { // the SDK tries three times, the catalog again
				transport.left.Store(times)
				if done, err := c.Append(t.Context(), b.request(fmt.Sprint(i))); err != nil || done.Replayed || done.Files[0].Position != int64(i) {
					t.Fatalf("lost %d times: %+v, %v", times, done, err)
				}
			}
			b.wantNames(t, "0", "1", "2")
		})
	}
}
