package daemon

import (
	"sync"

	"github.com/parqueue/parqueue/internal/transfer"
)

// hub tells those who watch a transfer what happens to it.
type hub struct {
	mu       sync.Mutex
	watchers map[*watcher]bool
	early    *watcher // one of them, who has not come yet
}

// watcher is one of them. Who is slow misses progress that is out of date, and,
// when very many files are done meanwhile, some of those; never a state or the end.
type watcher struct {
	mu     sync.Mutex
	queue  []Event
	latest *Event // progress that came after the queue
	wake   chan struct{}
}

// queueLimit bounds the events that wait for a watcher.
const queueLimit = 1024

// expect keeps what happens from now on for the next watcher, unless there is one:
// a small transfer may be over before who asked for it can watch it.
func (h *hub) expect() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == 0 {
		h.early = h.addLocked(nil)
	}
}

// giveUp forgets a watcher who was expected and hasn't come.
func (h *hub) giveUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, h.early)
	h.early = nil
}

// watch adds a watcher, whose first event is now. Who was expected has all that
// happened since instead, and was early.
func (h *hub) watch(now Event) (w *watcher, early bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w = h.early; w != nil {
		h.early = nil
		return w, true
	}
	w = h.addLocked([]Event{now})
	w.wake <- struct{}{}
	return w, false
}

func (h *hub) addLocked(queue []Event) *watcher {
	w := &watcher{queue: queue, wake: make(chan struct{}, 1)}
	if h.watchers == nil {
		h.watchers = map[*watcher]bool{}
	}
	h.watchers[w] = true
	return w
}

func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
}

func (h *hub) tell(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		w.tell(e)
	}
}

func (w *watcher) tell(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Type == transfer.EventProgress {
		w.latest = &e
	} else {
		w.latest = nil
		if len(w.queue) >= queueLimit {
			w.drop()
		}
		w.queue = append(w.queue, e)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// drop makes room: the oldest files that are done are not told one by one.
func (w *watcher) drop() {
	kept := w.queue[:0]
	left := queueLimit / 2
	for _, e := range w.queue {
		if e.Type == transfer.EventFile && left > 0 {
			left--
			continue
		}
		kept = append(kept, e)
	}
	w.queue = kept
}

// take returns what there is to tell.
func (w *watcher) take() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.queue
	if w.latest != nil {
		events = append(events, *w.latest)
	}
	w.queue, w.latest = nil, nil
	return events
}
