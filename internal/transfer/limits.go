package transfer

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/parqueue/parqueue/internal/fault"
)

// mostConnections bounds what a machine's transfers open at once, whatever was
// asked for.
const mostConnections = 256

// Limits bound what transfers take of the network, together. They may be changed
// while transfers run, and hold at once. They are safe for concurrent use.
type Limits struct {
	gate *gate // whose turn it is to carry bytes

	mu             sync.Mutex
	connections    int
	bytesPerSecond int64
	limiter        *rate.Limiter // nil for no limit
	changed        chan struct{} // closed when there are others
}

// NewLimits returns limits; 0 is no bound.
// Errors: CodeInvalidRequest for limits that can't be.
func NewLimits(connections int, bytesPerSecond int64) (*Limits, error) {
	l := &Limits{gate: newGate(mostConnections, mostConnections), changed: make(chan struct{})}
	return l, l.Set(connections, bytesPerSecond)
}

// Set changes the limits; 0 is no bound.
// Errors: CodeInvalidRequest for limits that can't be; nothing is changed then.
func (l *Limits) Set(connections int, bytesPerSecond int64) error {
	if err := checkLimits(connections, bytesPerSecond); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connections = connections
	if connections == 0 {
		connections = mostConnections
	}
	l.gate.setLimit(connections)
	if bytesPerSecond == l.bytesPerSecond {
		return nil
	}
	l.bytesPerSecond, l.limiter = bytesPerSecond, nil
	if bytesPerSecond > 0 {
		l.limiter = rate.NewLimiter(rate.Limit(bytesPerSecond), burst)
	}
	close(l.changed) // who waits for the old ones asks the new ones
	l.changed = make(chan struct{})
	return nil
}

// Get returns the limits.
func (l *Limits) Get() (connections int, bytesPerSecond int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connections, l.bytesPerSecond
}

func checkLimits(connections int, bytesPerSecond int64) error {
	if connections < 0 || connections > mostConnections || bytesPerSecond < 0 {
		return fault.New(fault.CodeInvalidRequest, "The limits of a transfer are out of range.", "Use 1 to 256 connections, and a positive number of bytes per second.")
	}
	return nil
}

// aliveEvery is how often somebody who waits for a limit says that nothing hangs.
const aliveEvery = 5 * time.Second

// wait returns when n bytes, burst at most, may move. alive is called now and
// then meanwhile.
func (l *Limits) wait(ctx context.Context, n int, alive func()) error {
	for {
		l.mu.Lock()
		limiter, changed := l.limiter, l.changed
		l.mu.Unlock()
		if limiter == nil {
			return nil
		}
		turn := limiter.ReserveN(time.Now(), n)
		again, err := waitFor(ctx, time.Now().Add(turn.Delay()), changed, alive)
		if err != nil || again {
			turn.Cancel()
		}
		if err != nil || !again {
			return err
		}
	}
}

// waitFor waits until a time; changed is true when the limits became others before.
func waitFor(ctx context.Context, until time.Time, others <-chan struct{}, alive func()) (changed bool, err error) {
	for {
		left := time.Until(until)
		if left <= 0 {
			return false, nil
		}
		timer := time.NewTimer(min(left, aliveEvery))
		select {
		case <-timer.C:
			alive()
		case <-others:
			timer.Stop()
			return true, nil
		case <-ctx.Done():
			timer.Stop()
			return false, context.Cause(ctx)
		}
	}
}

// pace holds bytes of a transfer back until all limits let them pass.
func (e *Engine) pace(ctx context.Context, n int, alive func()) error {
	if err := e.limits.wait(ctx, n, alive); err != nil || e.options.Shared == nil {
		return err
	}
	return e.options.Shared.wait(ctx, n, alive)
}

// turn waits until a connection of a transfer may carry bytes; the function that
// it returns ends that.
func (e *Engine) turn(ctx context.Context, g *gate, priority int) (end func(), err error) {
	if err := g.acquire(ctx, priority); err != nil {
		return nil, err
	}
	if e.options.Shared == nil {
		return g.release, nil
	}
	if err := e.options.Shared.gate.acquire(ctx, priority); err != nil {
		g.release()
		return nil, err
	}
	return func() {
		e.options.Shared.gate.release()
		g.release()
	}, nil
}
