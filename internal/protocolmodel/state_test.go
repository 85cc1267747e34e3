package protocolmodel

import "slices"

// The bounds of a state. A scenario has to fit in them.
const (
	maxRequests = 3
	maxTries    = 2
	maxFiles    = maxRequests * maxTries
	maxLog      = maxFiles
)

// state is everything that outlives a step: what the catalog and the object
// store hold, how far everyone has come, and what is on the wire. It is
// comparable, so that the search can tell whether it has been there before.
type state struct {
	// The object store and the catalog.
	objects [maxFiles]object
	intents [maxFiles]intent
	log     [maxLog]int8      // by position, a file's number + 1, negative once it was deleted, or 0
	tail    int8              // the dataset's next position
	schema  int8              // 0 until the first file
	torn    torn              // what a reader can't see yet of the last transaction
	records [maxRequests]int8 // by Idempotency-Key, the first position of the answer + 1, or 0

	// The actors.
	clients [maxRequests]client
	workers [maxRequests][maxTries]worker
	late    [maxRequests][maxTries]int8 // a transaction that is still under way: the head that it expects + 1, or 0
	sweeper int8                        // the file that it is about to delete + 1, or 0
	deleter int8                        // the file that it is about to delete the rest of + 1, or finished
	seen    [maxLog]int8                // what the reader listed last: the numbers + 1, in order
}

// torn says which items of a transaction that was done can't be read yet.
type torn struct {
	from    int8  // the head before it
	head    bool  // a reader still gets the one before
	entries uint8 // a bit for each position from there
}

// hides reports whether a reader can't see the entry at a position yet.
func (t torn) hides(p int) bool { return p >= int(t.from) && t.entries>>(p-int(t.from))&1 == 1 }

// object is what the object store has under a file's key.
type object uint8

const (
	noObject object = iota // not yet, or no longer
	partial                // parts have arrived; nothing can be read yet
	whole
)

// intent is what the catalog knows of a file under its id before, and apart
// from, its place in the order.
type intent uint8

const (
	noIntent intent = iota // a direct upload that nobody has decided on
	open                   // a session: parts may arrive
	complete               // a session: the bytes are there and were checked
	appended
	aborted // the tombstone: it will never be appended, or never again
)

// client is one caller with one upload to make, or one run of files.
type client struct {
	tries   int8 // requests sent
	done    bool
	outcome outcome
	at      int8 // the first position it was told
}

// worker serves one request of a client: a Lambda or a goroutine.
type worker struct {
	step    step
	head    int8 // the next position, as it last read it
	resent  bool // the transaction was sent a second time
	outcome outcome
	at      int8
}

// elsewhere stands for every head that is not the present one.
const elsewhere = -1

// forgetHead makes a head that was read one that is not the present one.
func (w *worker) forgetHead() {
	if w.step == ready || w.step == unsure {
		w.head = elsewhere
	}
}

// step is how far a worker has come.
type step uint8

const (
	idle      step = iota
	receiving      // the bytes are coming in
	stored         // the bytes are stored
	ready          // the head was read; the transaction can be sent
	unsure         // the transaction was sent; the answer did not come
	discarding
	answering
	ended // answered, or crashed
)

// outcome is what a caller is told, or will be.
type outcome uint8

const (
	noAnswer outcome = iota
	success
	nameExists
	schemaMismatch
	uploadAborted
	tryAgain // nothing was appended by this request, but perhaps by an earlier one
)

// finished is the deleter's state after its work.
const finished = -1

// listed reports whether a file can be seen.
func (s *state) listed(file int8) bool { return slices.Contains(s.log[:], file+1) }

// position finds a file in the order, even one that was deleted, or returns -1.
func (s *state) position(file int8) int8 {
	for p, f := range s.log {
		if f == file+1 || -f == file+1 {
			return int8(p)
		}
	}
	return -1
}
