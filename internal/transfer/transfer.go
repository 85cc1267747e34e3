// Package transfer moves files between this machine and a dataset: in parallel,
// in order, and from where an earlier run stopped, however that ended. The command
// line runs an Engine in its own process; a daemon can run the same one.
//
// Nothing half-done is ever shown as done. An upload appends a longer and longer
// prefix of its files, and a download puts a file in its place when all its bytes
// are there and have the right checksum. What an interrupted run has to remember is
// in a journal on disk (see journal.go); which parts have arrived is asked of the
// server.
//
// The package needs no IAM actions.
package transfer

import (
	"net/http"
	"sync"
	"time"

	"github.com/parqueue/parqueue/internal/client"
)

// Options say how an Engine works. The zero value, but for StateDir, is the
// usual way.
type Options struct {
	// StateDir holds the journals of transfers; it is made when it is needed.
	StateDir string

	// Connections bounds how many carry bytes at once. 0 finds a good number, of
	// up to 32, and up to 64 for small files.
	Connections int

	// BytesPerSecond bounds the rate of all connections together; 0 is no bound.
	BytesPerSecond int64

	// Shared are limits that hold for several engines together; nil is none.
	Shared *Limits

	// Retry is how what fails on the way is tried again.
	Retry client.Retry

	// Transport carries the bytes; nil is one of NewTransport.
	Transport http.RoundTripper

	// Stall is how long a connection may stand still; 0 means a minute.
	Stall time.Duration
}

// Sizes of what is moved at a time.
const (
	// partSize is what a file is cut into. It is what an interruption costs at most
	// for each connection, and large enough that the store's time to answer is
	// small against it.
	partSize = 8 << 20
	maxParts = 10_000 // of one file, on S3

	connectionsUsual = 32
	connectionsSmall = 64 // when most files are smaller than half a part
	filesAtOnce      = 96 // under way, each with its file open
	stallUsual       = time.Minute
	burst            = 256 << 10 // bytes that a limited rate lets through at once
)

// Engine runs transfers for one client. It is safe for concurrent use; the
// limits hold for all of its transfers together.
type Engine struct {
	client  *client.Client
	options Options
	http    *http.Client
	limits  *Limits
	store   *journals
	buffers sync.Pool // of *[]byte
}

// New returns an engine.
// Errors: CodeInvalidRequest for options that can't be.
func New(c *client.Client, o Options) (*Engine, error) {
	if err := checkLimits(o.Connections, o.BytesPerSecond); err != nil {
		return nil, err
	}
	limits, err := NewLimits(0, o.BytesPerSecond)
	if err != nil {
		return nil, err
	}
	if o.Stall == 0 {
		o.Stall = stallUsual
	}
	transport := o.Transport
	if transport == nil {
		transport = NewTransport()
	}
	e := &Engine{client: c, options: o, limits: limits, store: &journals{o.StateDir}, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	e.buffers.New = func() any {
		buffer := make([]byte, burst)
		return &buffer
	}
	return e, nil
}

// NewTransport is what carries bytes. Engines may share one. It keeps every connection, and gives each request one of its own:
// over HTTP/2 all parts would share the window of one.
func NewTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 256
	t.WriteBufferSize, t.ReadBufferSize = 64<<10, 64<<10
	t.DisableCompression = true
	return t
}

// newGate is the gate of a transfer whose parts have an average size.
func (e *Engine) newGate(average int64) *gate {
	switch {
	case e.options.Connections > 0:
		return newGate(min(e.options.Connections, connectionsStart), e.options.Connections)
	case average < partSize/2:
		return newGate(connectionsUsual, connectionsSmall)
	}
	return newGate(connectionsStart, connectionsUsual)
}

// partSizeOf is the size of a file's parts, in whole MiB.
func partSizeOf(size int64) int64 {
	const unit = 1 << 20
	least := (size + maxParts - 1) / maxParts
	return max(partSize, (least+unit-1)/unit*unit)
}
