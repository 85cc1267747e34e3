package transfer

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The kinds of events.
const (
	EventStart    = "start"    // once, with what there is to do
	EventProgress = "progress" // several times a second
	EventFile     = "file"     // a file is where it was to go
	EventEnd      = "end"      // once; whether it failed is the call's to say
	EventState    = "state"    // a daemon's: what the transfer is in now
)

// Event is what an observer hears of a transfer. Its JSON is a promise of the
// command line.
type Event struct {
	Type     string    `json:"type"`
	Transfer string    `json:"transfer_id"`
	State    string    `json:"state,omitempty"` // of EventState, and of a daemon's EventEnd
	File     *FileDone `json:"file,omitempty"`  // of EventFile
	Progress           // how far it has come
}

// FileDone is a file that is where it was to go.
type FileDone struct {
	Name      string `json:"file_name"`
	Position  int64  `json:"position"`
	SizeBytes int64  `json:"size_bytes"`
}

// Progress is how far a transfer has come. Bytes are done when the other side has
// them; those of an attempt that fails are taken off again.
type Progress struct {
	FilesDone      int            `json:"files_done"`
	Files          int            `json:"files"`
	BytesDone      int64          `json:"bytes_done"`
	Bytes          int64          `json:"bytes"`
	BytesMoved     int64          `json:"bytes_moved"` // by this run, again or not
	BytesPerSecond int64          `json:"bytes_per_second"`
	SecondsLeft    float64        `json:"seconds_left"` // -1 while it can't be told
	Active         []FileProgress `json:"active,omitempty"`
}

// FileProgress is how far one file has come.
type FileProgress struct {
	Name           string  `json:"file_name"`
	BytesDone      int64   `json:"bytes_done"`
	Bytes          int64   `json:"bytes"`
	BytesPerSecond int64   `json:"bytes_per_second"`
	SecondsLeft    float64 `json:"seconds_left"`
}

// Observer hears of a transfer, one event at a time. It must be quick.
type Observer func(Event)

// tickTime is how often progress is told.
const tickTime = 200 * time.Millisecond

// meter measures a transfer.
type meter struct {
	id    string
	tell  Observer
	gate  *gate
	files int
	bytes int64

	moved atomic.Int64 // by this run
	done  atomic.Int64

	mu        sync.Mutex
	filesDone int
	active    []*fileMeter // in the order of their files
	pace      pace
	stop      chan struct{}
	stopped   sync.WaitGroup
}

// fileMeter measures one file.
type fileMeter struct {
	index int
	name  string
	bytes int64
	done  atomic.Int64
	pace  pace
}

// startMeter tells of a transfer until it is ended.
func startMeter(id string, g *gate, files int, bytes int64, tell Observer) *meter {
	if tell == nil {
		tell = func(Event) {}
	}
	m := &meter{id: id, tell: tell, gate: g, files: files, bytes: bytes, stop: make(chan struct{})}
	m.event(EventStart, nil)
	m.stopped.Go(m.run)
	return m
}

func (m *meter) run() {
	ticker := time.NewTicker(tickTime)
	defer ticker.Stop()
	last, at := int64(0), time.Now()
	for {
		select {
		case <-m.stop:
			return
		case now := <-ticker.C:
			moved := m.moved.Load()
			m.gate.tick(float64(moved-last) / now.Sub(at).Seconds())
			last, at = moved, now
			m.event(EventProgress, nil)
		}
	}
}

// end stops the meter; nothing is told afterwards.
func (m *meter) end() {
	close(m.stop)
	m.stopped.Wait()
	m.event(EventEnd, nil)
}

// begin notes that a file is under way.
func (m *meter) begin(index int, name string, bytes int64) *fileMeter {
	f := &fileMeter{index: index, name: name, bytes: bytes}
	m.mu.Lock()
	defer m.mu.Unlock()
	at, _ := slices.BinarySearchFunc(m.active, index, func(a *fileMeter, i int) int { return a.index - i })
	m.active = slices.Insert(m.active, at, f)
	return f
}

// leave notes that a file is not under way any more.
func (m *meter) leave(f *fileMeter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active = slices.DeleteFunc(m.active, func(a *fileMeter) bool { return a == f })
}

// fileDone notes that a file is where it was to go.
func (m *meter) fileDone(f FileDone) {
	m.mu.Lock()
	m.filesDone++
	m.mu.Unlock()
	m.event(EventFile, &f)
}

// add notes bytes of a file that moved, or, below 0, did so in vain.
func (m *meter) add(f *fileMeter, n int64) {
	if n > 0 {
		m.moved.Add(n)
	}
	m.have(f, n)
}

// have notes bytes of a file that were there already.
func (m *meter) have(f *fileMeter, n int64) {
	m.done.Add(n)
	f.done.Add(n)
}

// event tells what is now. The observer is called under the lock: events come
// one at a time, in the order of what they tell.
func (m *meter) event(kind string, file *FileDone) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	p := Progress{FilesDone: m.filesDone, Files: m.files, BytesDone: m.done.Load(), Bytes: m.bytes, BytesMoved: m.moved.Load()}
	p.BytesPerSecond, p.SecondsLeft = m.pace.now(now, p.BytesDone, p.Bytes)
	for _, f := range m.active {
		if kind != EventProgress {
			break // a file that is done is told without what else is under way
		}
		one := FileProgress{Name: f.name, BytesDone: f.done.Load(), Bytes: f.bytes}
		one.BytesPerSecond, one.SecondsLeft = f.pace.now(now, one.BytesDone, one.Bytes)
		p.Active = append(p.Active, one)
	}
	m.tell(Event{Type: kind, Transfer: m.id, File: file, Progress: p})
}

// pace is a rate over the last seconds.
type pace struct {
	at   [paceSteps]time.Time
	done [paceSteps]int64
	n    int
}

const (
	paceSteps = 16
	paceStep  = 500 * time.Millisecond // between two of them
)

// now takes a measurement in, and returns the rate and what is left at it.
func (p *pace) now(now time.Time, done, bytes int64) (perSecond int64, left float64) {
	if p.n == 0 || now.Sub(p.at[(p.n-1)%paceSteps]) >= paceStep {
		p.at[p.n%paceSteps], p.done[p.n%paceSteps] = now, done
		p.n++
	}
	oldest := max(0, p.n-paceSteps) % paceSteps
	seconds := now.Sub(p.at[oldest]).Seconds()
	if seconds < 0.1 || done <= p.done[oldest] {
		return 0, -1
	}
	rate := float64(done-p.done[oldest]) / seconds
	return int64(rate), float64(bytes-done) / rate
}
