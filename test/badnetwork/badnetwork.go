// Package badnetwork is a network between a client and a server that does to HTTP
// what networks, proxies and overloaded services do: it drops, delays, cuts and
// repeats requests and answers, and answers itself with 429, 500, 502 and 503.
//
// It stands before the API and, since it puts itself into the presigned URLs that
// the API answers with, before the store as well. It counts the bytes of each
// object that go through it.
//
// Toxiproxy, which is a library as well, does what can be done to a TCP connection:
// it knows no request that it could repeat or answer.
package badnetwork

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Network is a network before one server. It hurts nothing until it is told to.
type Network struct {
	URL string // of the API, through this network

	server    string // host:port
	transport *http.Transport
	closed    context.Context
	pace      pace

	mu     sync.Mutex
	random *rand.Rand
	rate   float64
	expire int64 // every so many bytes
	busy   *busy
	bytes  int64 // to and from the store
	faults map[string]int
	counts map[string]Count
	calls  map[string]int
}

// Start begins a network to the server at a URL, which ends with the test.
func Start(t testing.TB, url string) *Network {
	t.Helper()
	closed, cancel := context.WithCancel(context.Background())
	n := &Network{
		server: strings.TrimPrefix(url, "http://"), closed: closed,
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64, ResponseHeaderTimeout: time.Minute},
		random:    seeded(0), faults: map[string]int{}, counts: map[string]Count{}, calls: map[string]int{},
	}
	server := httptest.NewServer(n)
	n.URL = server.URL
	t.Cleanup(func() {
		cancel()
		server.CloseClientConnections()
		server.Close()
		n.transport.CloseIdleConnections()
	})
	return n
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) } //nolint:gosec // no secret

// Hurt has one request of so many be hurt, as drawn from a seed: 0.25 is one in four.
func (n *Network) Hurt(rate float64, seed uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rate, n.random = rate, seeded(seed)
}

// ExpireEvery has all URLs that were handed out be of no use any more each time that
// so many bytes went to and from the store. They are answered as S3 answers requests
// whose time is over.
func (n *Network) ExpireEvery(bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire = bytes
}

// Busy has the next request to the API and the next one to the store be answered
// that the same one may come again after some seconds. The function that it returns
// says how long each caller waited, in that order; 0 is one that did not come again.
func (n *Network) Busy(seconds int) (waited func() (api, store time.Duration)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := &busy{seconds: seconds}
	n.busy = b
	return func() (api, store time.Duration) {
		n.mu.Lock()
		defer n.mu.Unlock()
		return b.calls[0].waited, b.calls[1].waited
	}
}

// busy is a server and a store that ask for patience.
type busy struct {
	seconds int
	calls   [2]struct {
		path   string
		told   time.Time
		waited time.Duration
	}
}

// putOff reports that a request is to come again.
func (n *Network) putOff(path string, toStore bool) (seconds int, really bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy == nil {
		return 0, false
	}
	call := &n.busy.calls[0]
	if toStore {
		call = &n.busy.calls[1]
	}
	switch {
	case call.path == "":
		call.path, call.told = path, time.Now()
		return n.busy.seconds, true
	case call.path == path && call.waited == 0:
		call.waited = time.Since(call.told)
	}
	return 0, false
}

// Limit is how many bytes a second travel at most; 0 is no limit.
func (n *Network) Limit(bytesPerSecond int64) { n.pace.limit(bytesPerSecond) }

// age is the generation of URLs that are handed out now.
func (n *Network) age() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.expire == 0 {
		return 0
	}
	return n.bytes / n.expire
}

// Count is what a network carried of one object.
type Count struct {
	Sent, Got int64 // bytes to and from the store
	Wasted    int64 // of both, in requests that came to nothing
	Expired   int   // requests that came too late
}

func (c Count) plus(d Count) Count {
	return Count{c.Sent + d.Sent, c.Got + d.Got, c.Wasted + d.Wasted, c.Expired + d.Expired}
}

// Counts is what was carried of each object, by its path.
func (n *Network) Counts() map[string]Count {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.counts)
}

// Total is what was carried of all objects.
func (n *Network) Total() (sum Count) {
	for _, c := range n.Counts() {
		sum = sum.plus(c)
	}
	return sum
}

// Forget sets all counts to zero.
func (n *Network) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.counts)
	clear(n.calls)
	clear(n.faults)
}

// Calls is how often each endpoint was called.
func (n *Network) Calls() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.calls)
}

// Faults is how often each was done.
func (n *Network) Faults() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.faults)
}

// The faults that there are.
const (
	drop          = "drop"
	cutRequest    = "cut the request"
	loseAnswer    = "lose the answer"
	cutAnswer     = "cut the answer"
	shortenAnswer = "shorten the answer" // which says that it is whole
	delay         = "delay"
	repeat        = "repeat"
	tooMany       = "429"
	internal      = "500"
	badGateway    = "502"
	unavailable   = "503"
)

// All are the names of the faults.
func All() []string {
	return []string{drop, cutRequest, loseAnswer, cutAnswer, shortenAnswer, delay, repeat, tooMany, internal, badGateway, unavailable}
}

// draw decides what to do to a request, and where: a number from 0 up to 1.
func (n *Network) draw() (fault string, where float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	where = n.random.Float64()
	if n.random.Float64() < n.rate {
		all := All()
		fault = all[n.random.IntN(len(all))]
		n.faults[fault]++
	}
	return fault, where
}

// storePath begins the path of a request to the store; how old the URL is and the
// store's host follow.
const storePath = "/@"

// ServeHTTP implements http.Handler.
func (n *Network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &carried{Network: n, w: w, r: r, host: n.server, path: r.RequestURI}
	if rest, ok := strings.CutPrefix(r.RequestURI, storePath); ok {
		age, rest, _ := strings.Cut(rest, "/")
		host, path, _ := strings.Cut(rest, "/")
		c.age, _ = strconv.ParseInt(age, 10, 64)
		c.host, c.path = host, "/"+path
		c.object, _, _ = strings.Cut(c.path, "?")
	} else {
		n.mu.Lock()
		n.calls[strings.Trim(r.URL.Path, "/")]++
		n.mu.Unlock()
	}
	c.fault, c.where = n.draw()
	how := c.carry()
	if c.object != "" {
		if how != done {
			c.count.Wasted = c.count.Sent + c.count.Got
		}
		n.mu.Lock()
		n.bytes += c.count.Sent + c.count.Got
		n.counts[c.object] = n.counts[c.object].plus(c.count)
		n.mu.Unlock()
	}
	if how == broken {
		panic(http.ErrAbortHandler) // closes the connection
	}
}
