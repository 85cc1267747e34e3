package embeddeds3

import (
	"context"
	"fmt"
	"strings"
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

// uploadLocks lets the parts of one multipart upload be stored side by side,
// while completing or aborting it waits for them. Without it a part that
// arrives during an abort brings the upload back to life.
type uploadLocks struct {
	mu    sync.Mutex
	locks map[string]*uploadLock
}

type uploadLock struct {
	sync.RWMutex
	users int // holders and waiters; at 0 the lock is forgotten
}

// shared takes the lock of an upload beside others; the caller calls release.
func (u *uploadLocks) shared(id string) (release func()) {
	l := u.enter(id)
	l.RLock()
	return func() { l.RUnlock(); u.leave(id, l) }
}

// alone takes the lock of an upload for oneself; the caller calls release.
func (u *uploadLocks) alone(id string) (release func()) {
	l := u.enter(id)
	l.Lock()
	return func() { l.Unlock(); u.leave(id, l) }
}

func (u *uploadLocks) enter(id string) *uploadLock {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.locks == nil {
		u.locks = make(map[string]*uploadLock)
	}
	l := u.locks[id]
	if l == nil {
		l = new(uploadLock)
		// The gateway's strings lie in the buffer of their request, which the next
		// request overwrites; the lock may outlive the first one that took it.
		u.locks[strings.Clone(id)] = l
	}
	l.users++
	return l
}

func (u *uploadLocks) leave(id string, l *uploadLock) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(u.locks, id)
	}
}
