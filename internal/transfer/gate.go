package transfer

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// connectionsStart is how many connections a transfer begins with.
const connectionsStart = 8

// gate lets a number of connections carry bytes at once, those of earlier files
// first: the prefix of an upload that can be appended grows, and a later file only
// takes what is left over. The number grows while more connections move more
// bytes, and is halved when the store says that it is too much.
type gate struct {
	mu      sync.Mutex
	limit   int
	most    int
	used    int
	waiting queue
	arrived int // of those that wait; equal priorities take turns

	best    float64 // bytes per second, of the steps so far
	growing bool
	calm    int // ticks since the last step
	slowed  time.Time
}

func newGate(start, most int) *gate { return &gate{limit: start, most: most, growing: start < most} }

// waiter waits for its turn.
type waiter struct {
	priority, arrived int
	turn              chan struct{} // closed when it comes
	at                int           // its place in the queue, or -1
}

// acquire waits for a turn; release ends it.
func (g *gate) acquire(ctx context.Context, priority int) error {
	g.mu.Lock()
	if g.used < g.limit && len(g.waiting) == 0 {
		g.used++
		g.mu.Unlock()
		return nil
	}
	g.arrived++
	w := &waiter{priority: priority, arrived: g.arrived, turn: make(chan struct{})}
	heap.Push(&g.waiting, w)
	g.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	if w.at < 0 { // the turn came at the same time
		g.used--
		g.wake()
	} else {
		heap.Remove(&g.waiting, w.at)
	}
	g.mu.Unlock()
	return context.Cause(ctx)
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used--
	g.wake()
}

// wake gives free turns to those that wait.
func (g *gate) wake() {
	for g.used < g.limit && len(g.waiting) > 0 {
		w := heap.Pop(&g.waiting).(*waiter)
		g.used++
		close(w.turn)
	}
}

// slowedFor is how long one halving has to show what it does: a store that has
// enough says so to all connections at once.
const slowedFor = time.Second

// slower halves the number of connections; it may grow again after a while.
func (g *gate) slower() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.slowed) < slowedFor {
		return
	}
	g.slowed = time.Now()
	g.limit, g.growing, g.calm, g.best = max(1, g.limit/2), false, 0, 0
}

// setLimit fixes the number of connections.
func (g *gate) setLimit(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit, g.most, g.growing = n, n, false
	g.wake()
}

// growth is how much faster a transfer has to be for a step to have paid.
const growth = 1.05

// calmTicks is how long a number of connections is kept before another is tried.
const calmTicks = 40

// tick hears how many bytes per second went since the last one.
func (g *gate) tick(rate float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limit >= g.most || len(g.waiting) == 0 {
		return // more turns would not be taken
	}
	g.calm++
	if !g.growing && g.calm < calmTicks {
		return
	}
	if g.growing = rate > g.best*growth; g.growing {
		g.best, g.limit = rate, min(2*g.limit, g.most)
	}
	g.calm = 0
	g.wake()
}

// queue is a heap of waiters, the lowest priority number first.
type queue []*waiter

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].priority != q[j].priority {
		return q[i].priority < q[j].priority
	}
	return q[i].arrived < q[j].arrived
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(w any) {
	w.(*waiter).at = len(*q)
	*q = append(*q, w.(*waiter))
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q, w.at = (*q)[:last], -1
	return w
}
