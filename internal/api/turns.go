package api

import (
	"context"
	"sync"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
)

// turnWait is how long a request waits for its turn.
const turnWait = 30 * time.Second

// turns bounds how much of something is done at once, so that one tenant can't
// take it all from the others. The zero value has no bound.
type turns struct {
	most int // at once
	each int // at once for one tenant

	mu    sync.Mutex
	taken int
	by    map[string]int
	freed chan struct{} // closed when a turn is given back
}

// newTurns leaves a quarter of the turns to other tenants.
func newTurns(most int) *turns {
	return &turns{most: most, each: max(1, most*3/4), by: make(map[string]int), freed: make(chan struct{})}
}

// take waits for a turn.
// Errors: CodeUnavailable when none comes; that of ctx.
func (t *turns) take(ctx context.Context, tenant string) error {
	timer := time.NewTimer(turnWait)
	defer timer.Stop()
	for {
		freed := t.try(tenant)
		if freed == nil {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return fault.New(fault.CodeUnavailable, "Too many uploads are running.", "Try again when some of them are done.")
		}
	}
}

// try takes a turn, or returns what is closed when it is worth another try.
func (t *turns) try(tenant string) <-chan struct{} {
	if t.most == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken == t.most || t.by[tenant] == t.each {
		return t.freed
	}
	t.taken++
	t.by[tenant]++
	return nil
}

// giveBack ends a turn.
func (t *turns) giveBack(tenant string) {
	if t.most == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
	if t.by[tenant]--; t.by[tenant] == 0 {
		delete(t.by, tenant)
	}
	close(t.freed)
	t.freed = make(chan struct{})
}
