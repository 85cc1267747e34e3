package proof

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"
)

// functionsHost is where a gateway answers; requests to other hosts go over the
// network, as the parts of uploads do.
const functionsHost = "functions.test"

// functionTime is how long a function may take.
const functionTime = 29 * time.Second

// gateway invokes functions as API Gateway and Lambda do: one of several
// instances, each with a clock of its own, and now and then twice, or not to the
// end.
type gateway struct {
	instances []http.Handler
	network   http.RoundTripper // to everything else
	dice      *dice
	rate      float64       // of the invocations that are hurt
	late      time.Duration // the longest that what nobody waits for may take to begin

	running sync.WaitGroup // invocations, also those that nobody waits for
	mu      sync.Mutex
	calls   int
	hurt    map[string]int
}

// invocation runs a function.
type invocation func(context.Context) (*http.Response, error)

// gatewayFault is a way to hurt an invocation.
type gatewayFault struct {
	name string
	do   func(ctx context.Context, g *gateway, invoke invocation) (*http.Response, error)
}

// gatewayFaults are what happens between a client and a function.
func gatewayFaults() []gatewayFault {
	return []gatewayFault{
		{"not invoked", func(context.Context, *gateway, invocation) (*http.Response, error) { return unavailable(), nil }},
		{"answer lost", func(ctx context.Context, _ *gateway, invoke invocation) (*http.Response, error) {
			_, err := invoke(ctx)
			return nil, errors.Join(errReset, err)
		}},
		{"invoked twice, one after the other", func(ctx context.Context, _ *gateway, invoke invocation) (*http.Response, error) {
			_, _ = invoke(ctx)
			return invoke(ctx)
		}},
		{"invoked twice at once", func(ctx context.Context, g *gateway, invoke invocation) (*http.Response, error) {
			g.running.Go(func() { _, _ = invoke(ctx) })
			return invoke(ctx)
		}},
		{"invoked again much later", func(ctx context.Context, g *gateway, invoke invocation) (*http.Response, error) {
			g.running.Go(func() {
				time.Sleep(g.dice.upTo(5 * g.late))
				_, _ = invoke(ctx)
			})
			return invoke(ctx)
		}},
		{"cut off while it goes on", func(ctx context.Context, g *gateway, invoke invocation) (*http.Response, error) {
			g.running.Go(func() {
				time.Sleep(g.dice.upTo(g.late))
				_, _ = invoke(ctx)
			})
			time.Sleep(g.dice.upTo(g.late))
			return unavailable(), nil
		}},
		{"ended at a call", endedAtACall},
		{"table lost after a transaction", func(ctx context.Context, _ *gateway, invoke invocation) (*http.Response, error) {
			return invoke(withoutTable(ctx))
		}},
	}
}

// endedAtACall answers when the function makes a call more than it may; what it
// does after that reaches nobody.
func endedAtACall(ctx context.Context, g *gateway, invoke invocation) (*http.Response, error) {
	ctx, ended := withCalls(ctx, g.dice.below(8))
	answered := make(chan struct{})
	g.running.Go(func() {
		defer close(answered)
		_, _ = invoke(ctx)
	})
	select {
	case <-ended:
	case <-answered:
	}
	return unavailable(), nil
}

func newGateway(d *dice, rate float64, late time.Duration, over http.RoundTripper, instances ...http.Handler) *gateway {
	return &gateway{instances: instances, network: over, dice: d, rate: rate, late: late, hurt: map[string]int{}}
}

// client calls the API through the gateway.
func (g *gateway) client() client {
	return client{url: "http://" + functionsHost, http: &http.Client{
		Transport:     g,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// RoundTrip implements http.RoundTripper.
func (g *gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != functionsHost {
		return g.network.RoundTrip(r)
	}
	r, err := held(r)
	if err != nil {
		return nil, err
	}
	invoke := func(ctx context.Context) (*http.Response, error) { return g.invoke(ctx, r) }
	f := g.draw()
	if f == nil {
		return invoke(r.Context())
	}
	response, err := f.do(r.Context(), g, invoke)
	if response != nil {
		response.Header.Set(hurtHeader, f.name)
	}
	return response, err
}

// hurtHeader tells the test, and no client, that the request may have been
// carried out more than once.
const hurtHeader = "X-Proof-Hurt"

func (g *gateway) draw() *gatewayFault {
	hit := g.dice.hits(g.rate)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	if !hit {
		return nil
	}
	faults := gatewayFaults()
	f := &faults[g.dice.below(len(faults))]
	g.hurt[f.name]++
	return f
}

// counts says how many invocations there were, and what was done to them.
func (g *gateway) counts() (calls, hurt int, each map[string]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.hurt {
		hurt += c
	}
	return g.calls, hurt, maps.Clone(g.hurt)
}

// invoke runs one instance, to whom the client's going away means nothing.
func (g *gateway) invoke(ctx context.Context, r *http.Request) (response *http.Response, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), functionTime)
	defer cancel()
	again := r.Clone(ctx)
	if r.GetBody != nil {
		again.Body, _ = r.GetBody()
	}
	if again.Body == nil {
		again.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	defer func() {
		if recover() != nil { // http.ErrAbortHandler: half an answer
			response, err = nil, io.ErrUnexpectedEOF
		}
	}()
	g.instances[g.dice.below(len(g.instances))].ServeHTTP(recorder, again)
	return recorder.Result(), nil
}

// unavailable is what API Gateway answers when it has nothing from the function.
func unavailable() *http.Response {
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(http.StatusServiceUnavailable)
	_, _ = recorder.WriteString(`{"message":"Service Unavailable"}`)
	return recorder.Result()
}

// errEnded is what a call fails with in a function that was ended: it was not sent.
var errEnded = errors.New("the function was ended")

type callsKey struct{}

// calls are those that an invocation has left.
type calls struct {
	left  atomic.Int64
	ended chan struct{} // closed by the first call that is not sent
	once  sync.Once
}

// withCalls has an invocation end after some calls: those that follow are not sent.
func withCalls(ctx context.Context, n int) (context.Context, <-chan struct{}) {
	c := &calls{ended: make(chan struct{})}
	c.left.Store(int64(n))
	return context.WithValue(ctx, callsKey{}, c), c.ended
}

// spend counts a call of an invocation that is to end.
func spend(ctx context.Context) error {
	c, ok := ctx.Value(callsKey{}).(*calls)
	if !ok || c.left.Add(-1) >= 0 {
		return nil
	}
	c.once.Do(func() { close(c.ended) })
	return errEnded
}

type tableKey struct{}

// withoutTable has an invocation lose its table: its first transaction is applied,
// of which it is told nothing, and no call to the table gets through after that,
// while those to the bucket do.
func withoutTable(ctx context.Context) context.Context {
	return context.WithValue(ctx, tableKey{}, new(atomic.Bool))
}

// tableOf is set once the invocation that a call is of has lost its table; nil
// when it does not lose it.
func tableOf(ctx context.Context) *atomic.Bool {
	lost, _ := ctx.Value(tableKey{}).(*atomic.Bool)
	return lost
}
