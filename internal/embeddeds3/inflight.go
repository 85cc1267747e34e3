package embeddeds3

import (
	"context"
	"fmt"
	"sync"
)

// inflight counts the requests that are running.
type inflight struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n falls to 0; nil when nobody waits
}

// begin counts a request; the function it returns ends it, once.
func (f *inflight) begin() (end func()) {
	f.mu.Lock()
	f.n++
	f.mu.Unlock()
	return sync.OnceFunc(f.end)
}

func (f *inflight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
	if f.n == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// wait returns when nothing is running, or with an error when ctx is done first.
func (f *inflight) wait(ctx context.Context) error {
	f.mu.Lock()
	if f.n == 0 {
		f.mu.Unlock()
		return nil
	}
	if f.idle == nil {
		f.idle = make(chan struct{})
	}
	idle, n := f.idle, f.n
	f.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("embedded S3: %d requests were still running: %w", n, ctx.Err())
	}
}
