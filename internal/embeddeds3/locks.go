package embeddeds3

import (
	"strings"
	"sync"
)

// locks are read-write locks by name, of which only those in use take memory.
type locks struct {
	mu    sync.Mutex
	named map[string]*namedLock
}

type namedLock struct {
	sync.RWMutex
	users int // holders and waiters; at 0 the lock is forgotten
}

// shared takes the lock of a name beside others; the caller calls release.
func (l *locks) shared(name string) (release func()) {
	n := l.enter(name)
	n.RLock()
	return func() { n.RUnlock(); l.leave(name, n) }
}

// alone takes the lock of a name for oneself; the caller calls release.
func (l *locks) alone(name string) (release func()) {
	n := l.enter(name)
	n.Lock()
	return func() { n.Unlock(); l.leave(name, n) }
}

func (l *locks) enter(name string) *namedLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.named == nil {
		l.named = make(map[string]*namedLock)
	}
	n := l.named[name]
	if n == nil {
		n = new(namedLock)
		// The gateway's strings lie in the buffer of their request, which the next
		// request overwrites; the lock may outlive the first one that took it.
		l.named[strings.Clone(name)] = n
	}
	n.users++
	return n
}

func (l *locks) leave(name string, n *namedLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n.users--; n.users == 0 {
		delete(l.named, name)
	}
}
