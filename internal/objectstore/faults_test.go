package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// S3's operations as they look on the wire.
func isPut(r *http.Request) bool  { return r.Method == http.MethodPut && !r.URL.Query().Has("uploadId") }
func isPart(r *http.Request) bool { return r.Method == http.MethodPut && r.URL.Query().Has("uploadId") }
func isCreate(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploads")
}
func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// send passes a request on.
type send func(*http.Request) (*http.Response, error)

// network is a network that does something to the first requests of a kind.
type network struct {
	hits  func(*http.Request) bool
	times int // how many are hit; below 0 means all
	do    func(*http.Request, send) (*http.Response, error)

	mu   sync.Mutex
	seen int
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if n.hits(r) && n.hit() {
		return n.do(r, http.DefaultTransport.RoundTrip)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (n *network) hit() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen++
	return n.times < 0 || n.seen <= n.times
}

// answer makes a response without asking the store.
func answer(r *http.Request, status int, code string) *http.Response {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	body := fmt.Sprintf("<Error><Code>%s</Code><Message>injected</Message></Error>", code)
	return &http.Response{
		StatusCode: status, Status: fmt.Sprint(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
	}
}

func answering(status int, code string) func(*http.Request, send) (*http.Response, error) {
	return func(r *http.Request, _ send) (*http.Response, error) { return answer(r, status, code), nil }
}

// answeringAfter lets the store do the work and hides its answer.
func answeringAfter(status int, code string) func(*http.Request, send) (*http.Response, error) {
	return func(r *http.Request, pass send) (*http.Response, error) {
		response, err := pass(r)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return answer(&http.Request{}, status, code), nil
	}
}

var errReset = errors.New("connection reset by peer")

// losingAnswer lets the store do the work and then breaks the connection.
func losingAnswer(r *http.Request, pass send) (*http.Response, error) {
	response, err := pass(r)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	return nil, errReset
}

// resetMidway breaks the connection in the middle of the body.
func resetMidway(r *http.Request, pass send) (*http.Response, error) {
	cut := r.Clone(r.Context())
	cut.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), failing{}), r.Body}
	if _, err := pass(cut); err == nil {
		return nil, errors.New("half a body was accepted")
	}
	return nil, errReset
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errReset }

// flippingBit changes the body on its way.
func flippingBit(r *http.Request, pass send) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body[len(body)/2] ^= 4
	changed := r.Clone(r.Context())
	changed.Body = io.NopCloser(bytes.NewReader(body))
	return pass(changed)
}

// through is a store that is reached over a network, by an SDK that waits less
// between its tries than it does by default.
func through(s *embeddeds3test.Store, n *network) *objectstore.Store {
	cfg := s.Config()
	cfg.HTTPClient = &http.Client{Transport: n}
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxBackoff = 20 * time.Millisecond
			o.RateLimiter = noLimit{}
		})
	}
	return objectstore.New(objectstore.NewClient(cfg, s.Endpoint), s.Bucket)
}

// noLimit lets the SDK retry as often as its count of attempts says.
type noLimit struct{}

func (noLimit) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (noLimit) AddTokens(uint) error { return nil }

func TestPutThroughABadNetwork(t *testing.T) {
	t.Parallel()
	const small, large = 1000, 20 * mib
	s3store := embeddeds3test.Start(t)
	for _, tc := range []struct {
		name string
		size int
		net  *network
		want fault.Code // "" when Put must succeed
	}{
		{"put applied, answered 500 once", small, &network{hits: isPut, times: 1, do: answeringAfter(500, "InternalError")}, ""},
		{"put applied, always answered 500", small, &network{hits: isPut, times: -1, do: answeringAfter(500, "InternalError")}, ""},
		{"put not applied, answered 500 once", small, &network{hits: isPut, times: 1, do: answering(500, "InternalError")}, ""},
		{"put not applied, always answered 500", small, &network{hits: isPut, times: -1, do: answering(500, "InternalError")}, fault.CodeInternal},
		{"put applied, answer lost", small, &network{hits: isPut, times: 1, do: losingAnswer}, ""},
		{"put applied, answers always lost", small, &network{hits: isPut, times: -1, do: losingAnswer}, ""},
		{"put reset midway once", small, &network{hits: isPut, times: 1, do: resetMidway}, ""},
		{"put always reset midway", small, &network{hits: isPut, times: -1, do: resetMidway}, fault.CodeInternal},
		{"slow down twice", small, &network{hits: isPut, times: 2, do: answering(503, "SlowDown")}, ""},
		{"slow down always", small, &network{hits: isPut, times: -1, do: answering(503, "SlowDown")}, fault.CodeUnavailable},
		{"full", small, &network{hits: isPut, times: -1, do: answering(507, "InsufficientStorage")}, fault.CodeStorageFull},
		{"forbidden", small, &network{hits: isPut, times: -1, do: answering(403, "AccessDenied")}, fault.CodeInternal},
		{"conflict", small, &network{hits: isPut, times: -1, do: answering(409, "ConditionalRequestConflict")}, fault.CodeConflict},
		{"bit flipped", small, &network{hits: isPut, times: -1, do: flippingBit}, fault.CodeInternal},

		{"create answered 500 once", large, &network{hits: isCreate, times: 1, do: answering(500, "InternalError")}, ""},
		{"create always 503", large, &network{hits: isCreate, times: -1, do: answering(503, "SlowDown")}, fault.CodeUnavailable},
		{"part applied, answered 500 once", large, &network{hits: isPart, times: 1, do: answeringAfter(500, "InternalError")}, ""},
		{"part reset midway once", large, &network{hits: isPart, times: 1, do: resetMidway}, ""},
		{"parts always reset midway", large, &network{hits: isPart, times: -1, do: resetMidway}, fault.CodeInternal},
		{"parts slow down always", large, &network{hits: isPart, times: -1, do: answering(503, "SlowDown")}, fault.CodeUnavailable},
		{"full at a part", large, &network{hits: isPart, times: -1, do: answering(507, "InsufficientStorage")}, fault.CodeStorageFull},
		{"bit flipped in a part", large, &network{hits: isPart, times: 1, do: flippingBit}, fault.CodeInternal},
		{"complete not applied, 200 with an error once", large, &network{hits: isComplete, times: 1, do: answering(200, "InternalError")}, ""},
		{"complete not applied, always 200 with an error", large, &network{hits: isComplete, times: -1, do: answering(200, "InternalError")}, fault.CodeInternal},
		{"complete applied, 200 with an error once", large, &network{hits: isComplete, times: 1, do: answeringAfter(200, "InternalError")}, ""},
		{"complete applied, always 200 with an error", large, &network{hits: isComplete, times: -1, do: answeringAfter(200, "InternalError")}, ""},
		{"complete applied, answer lost", large, &network{hits: isComplete, times: 1, do: losingAnswer}, ""},
		{"complete applied, answers always lost", large, &network{hits: isComplete, times: -1, do: losingAnswer}, ""},
		{"complete conflicts", large, &network{hits: isComplete, times: -1, do: answering(409, "ConditionalRequestConflict")}, fault.CodeConflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			store := through(s3store, tc.net)
			want := random(tc.size)
			stored, err := store.Put(t.Context(), tc.name, unseekable(bytes.NewReader(want)), -1)
			if got := fault.CodeOf(err); got != tc.want {
				t.Fatalf("Put gave %v, want code %q", err, tc.want)
			}
			if tc.want != "" {
				requireEmpty(t, s3store, tc.name)
				return
			}
			if stored.CRC64NVME != sum(want) || stored.SizeBytes != int64(tc.size) {
				t.Errorf("Put = %+v", stored)
			}
			clean := objectstore.New(s3store.Client, s3store.Bucket)
			if got := get(t, clean, tc.name, dataset.Range{}); !bytes.Equal(got, want) {
				t.Error("the stored bytes differ")
			}
		})
	}
}

// A lost answer must not make the object of another Put pass for one's own.
func TestPutToATakenKeyThroughABadNetwork(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	want := random(1000)
	clean := objectstore.New(s3store.Client, s3store.Bucket)
	if _, err := clean.Put(t.Context(), "key", bytes.NewReader(want), -1); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(*http.Request, send) (*http.Response, error){
		"answer lost": losingAnswer, "500": answeringAfter(500, "InternalError"),
	} {
		for _, size := range []int{1000, 9 * mib} {
			store := through(s3store, &network{hits: func(r *http.Request) bool { return isPut(r) || isComplete(r) }, times: 1, do: do})
			// The same bytes, even: the Put before this one must keep its object.
			_, err := store.Put(t.Context(), "key", bytes.NewReader(random(size)), -1)
			if !fault.Is(err, fault.CodeConflict) {
				t.Errorf("%s, %d bytes: %v, want %s", name, size, err, fault.CodeConflict)
			}
			if got := get(t, clean, "key", dataset.Range{}); !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes: the first object is gone", name, size)
			}
		}
	}
}

// The end of the context during the last request must not leave an object that
// nobody knows of.
func TestPutCancelledDuringTheLastRequest(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	for name, size := range map[string]int{"whole": 1000, "in parts": 20 * mib} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			store := through(s3store, &network{
				hits: func(r *http.Request) bool { return isPut(r) || isComplete(r) }, times: 1,
				do: func(r *http.Request, pass send) (*http.Response, error) {
					cancel()
					return pass(r)
				},
			})
			_, err := store.Put(ctx, name, unseekable(bytes.NewReader(random(size))), -1)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Put gave %v, want context.Canceled", err)
			}
			requireEmpty(t, s3store, name)
		})
	}
}

// The store may still be at work when the caller gives up. Put has to wait for
// what comes of it.
func TestPutCancelledWhileTheStoreWorks(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	worked := make(chan struct{})
	store := through(s3store, &network{hits: isPut, times: 1, do: func(r *http.Request, pass send) (*http.Response, error) {
		body, err := io.ReadAll(r.Body) // what the store has, the client cannot take back
		if err != nil {
			return nil, err
		}
		late := r.Clone(context.WithoutCancel(r.Context()))
		late.Body = io.NopCloser(bytes.NewReader(body))
		type result struct {
			response *http.Response
			err      error
		}
		results := make(chan result, 1)
		go func() {
			defer close(worked)
			time.Sleep(200 * time.Millisecond)
			response, err := pass(late)
			results <- result{response, err}
		}()
		cancel()
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case got := <-results:
			return got.response, got.err
		}
	}})
	_, err := store.Put(ctx, "key", bytes.NewReader(random(1000)), -1)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Put gave %v, want context.Canceled", err)
	}
	<-worked
	requireEmpty(t, s3store, "")
}

func TestPutOnAFullDisk(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t, embeddeds3test.OnSmallDisk(t, 24*mib))
	store := objectstore.New(s3store.Client, s3store.Bucket)
	for _, size := range []int{30 * mib, 60 * mib} {
		_, err := store.Put(t.Context(), "large", unseekable(bytes.NewReader(random(size))), -1)
		if !fault.Is(err, fault.CodeStorageFull) {
			t.Fatalf("Put of %d bytes: %v, want %s", size, err, fault.CodeStorageFull)
		}
		requireEmpty(t, s3store, "")
	}
	const size = 3 * mib
	stored := 0
	for {
		_, err := store.Put(t.Context(), fmt.Sprintf("small/%d/x", stored), bytes.NewReader(random(size)), -1)
		if err != nil {
			if !fault.Is(err, fault.CodeStorageFull) {
				t.Fatalf("Put number %d: %v, want %s", stored, err, fault.CodeStorageFull)
			}
			break
		}
		if stored++; stored > 8 {
			t.Fatal("the disk does not get full")
		}
	}
	if stored < 4 {
		t.Errorf("only %d objects fit", stored)
	}
	for i := range stored {
		if got := get(t, store, fmt.Sprintf("small/%d/x", i), dataset.Range{}); !bytes.Equal(got, random(size)) {
			t.Errorf("object %d is damaged", i)
		}
	}
	if err := store.Delete(t.Context(), "small/0/x"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(t.Context(), "after", bytes.NewReader(random(size)), -1); err != nil {
		t.Errorf("Put after there is room again: %v", err)
	}
}

// What was acknowledged is there after kill -9, and nothing half is.
func TestPutSurvivesKill(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := through(s3store, &network{hits: func(*http.Request) bool { return false }})
	var acknowledged sync.Map // key to size
	var count atomic.Int32
	var loaders sync.WaitGroup
	for loader, size := range []int{64 << 10, 64 << 10, 9 * mib} {
		loaders.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("load/%d/%d", loader, i)
				if _, err := store.Put(t.Context(), key, bytes.NewReader(random(size)), -1); err != nil {
					return
				}
				acknowledged.Store(key, size)
				count.Add(1)
			}
		})
	}
	for began := time.Now(); count.Load() < 20 && time.Since(began) < 30*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	s3store.Kill()
	loaders.Wait()

	again := embeddeds3test.Start(t, embeddeds3test.InDir(s3store.Dir))
	store = objectstore.New(again.Client, again.Bucket)
	n := 0
	acknowledged.Range(func(key, size any) bool {
		n++
		if got := get(t, store, key.(string), dataset.Range{}); !bytes.Equal(got, random(size.(int))) {
			t.Errorf("%s was acknowledged and is damaged", key)
		}
		return true
	})
	t.Logf("%d acknowledged", n)
	if n < 5 {
		t.Errorf("only %d Puts were acknowledged before the kill", n)
	}
}
