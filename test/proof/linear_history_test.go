package proof

import (
	"cmp"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// history is what the clients of one dataset did and were told.
type history struct {
	clients int
	began   time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
}

func newHistory(clients int) *history { return &history{clients: clients, began: time.Now()} }

// now is a moment in a history.
func (h *history) now() int64 { return int64(time.Since(h.began)) }

// add notes an operation that began at a moment. One whose outcome is not known
// stays open.
func (h *history) add(client int, began int64, c call, o outcome) {
	ended := h.now()
	if o.unknown {
		ended = forever
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: c, Call: began, Output: o, Return: ended})
}

// finished returns the operations, of which the last one listed all files when
// nobody was at work any more. loose allows for what a catalog that reads in
// several steps says of files that are being deleted.
func (h *history) finished(loose bool) []porcupine.Operation {
	ops := h.settle()
	for n, op := range ops {
		if c := op.Input.(call); c.kind == lists && loose {
			c.gone = deletedDuring(ops, op)
			ops[n].Input = c
		}
	}
	return append(ops, porcupine.Operation{Input: call{kind: ends}, Call: forever - 2, Output: outcome{}, Return: forever - 1})
}

func deletedDuring(ops []porcupine.Operation, listing porcupine.Operation) map[string]bool {
	gone := map[string]bool{}
	for _, op := range ops {
		if c := op.Input.(call); c.kind == deletes && !op.Output.(outcome).refused && op.Call <= listing.Return && op.Return >= listing.Call {
			gone[c.name] = true
		}
	}
	return gone
}

// settle finds out what can have become of the requests whose outcome nobody
// was told, from what others were told before the end. Those that can't have done
// anything by then are left out, and of the others it notes what they may have done: the
// checker would else try them everywhere, which takes it for ever.
//
// Of several tries of the same only as many are left as can have done it, and those
// are the ones that began first: each of them stays open for ever, so whatever a
// later one did, an earlier one can have done at the same moment.
func (h *history) settle() []porcupine.Operation {
	var k knowledge
	k.learn(h.ops)
	var ops, open []porcupine.Operation
	for _, op := range h.ops {
		if op.Output.(outcome).unknown {
			open = append(open, op)
		} else {
			ops = append(ops, op)
		}
	}
	slices.SortStableFunc(open, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	same := map[string]int{}
	for _, op := range open {
		c := op.Input.(call)
		switch {
		case c.kind == appends && k.mayHaveAppended(c):
			c.may = k.mayAppend
		case c.kind == deletes:
			c.may = func(r row) bool { return !k.stays[r.Position] && !k.deleted[r.Position] }
		default:
			continue
		}
		what := string(c.kind) + c.name
		for _, f := range c.files {
			what += " " + f.sum
		}
		if same[what] >= k.most(c) {
			continue
		}
		same[what]++
		op.Input = c
		ops = append(ops, op)
	}
	return ops
}

// knowledge is what clients were told of files.
type knowledge struct {
	at       map[int64]string // the sum of the file at a position
	seen     map[string]bool  // sums of files that were there at some time
	stays    map[int64]bool   // positions of what is there in the end
	deleted  map[int64]bool   // positions of what was deleted, as somebody was told
	doubtful map[string]bool  // names with a deletion of a file that nobody saw, or of which nothing is known
	answered map[int64]bool   // positions that somebody was told when he appended
	count    map[string]*nameCount
}

// nameCount is how many requests there were about one name, and how many files
// have it in the end.
type nameCount struct{ appended, appendedOpen, deleted, deletedOpen, stay int }

func (k *knowledge) learn(ops []porcupine.Operation) {
	*k = knowledge{
		map[int64]string{}, map[string]bool{}, map[int64]bool{}, map[int64]bool{}, map[string]bool{},
		map[int64]bool{}, map[string]*nameCount{},
	}
	for n, op := range ops {
		c, o := op.Input.(call), op.Output.(outcome)
		for _, r := range o.files {
			if c.kind == deletes {
				k.deleted[r.Position] = true
				continue
			}
			k.at[r.Position], k.seen[r.Sum], k.stays[r.Position] = r.Sum, true, n == len(ops)-1
			if c.kind == appends {
				k.answered[r.Position] = true
			} else if n == len(ops)-1 {
				k.of(r.Name).stay++
			}
		}
		if o.sum != "" {
			k.seen[o.sum] = true
		}
	}
	for _, op := range ops {
		c, o := op.Input.(call), op.Output.(outcome)
		k.noteChange(c, o)
		switch {
		case c.kind == deletes && o.unknown:
			k.doubtful[c.name] = true
		case c.kind == deletes && !o.refused && k.at[o.files[0].Position] == "":
			k.doubtful[c.name] = true
		}
	}
}

// of are the counts of a name.
func (k *knowledge) of(name string) *nameCount {
	if k.count[name] == nil {
		k.count[name] = new(nameCount)
	}
	return k.count[name]
}

// noteChange counts a request that may have changed something.
func (k *knowledge) noteChange(c call, o outcome) {
	if o.refused || c.kind != appends && c.kind != deletes {
		return
	}
	for _, name := range c.names() {
		n := k.of(name)
		switch {
		case c.kind == appends && o.unknown:
			n.appendedOpen++
		case c.kind == appends:
			n.appended++
		case o.unknown:
			n.deletedOpen++
		default:
			n.deleted++
		}
	}
}

// most is how many requests like an open one can have done something: all that
// had a name was appended by one request, and is there in the end or was deleted by
// another one.
func (k *knowledge) most(c call) int {
	least := math.MaxInt
	for _, name := range c.names() {
		n := k.of(name)
		if c.kind == deletes {
			least = min(least, n.appended+n.appendedOpen-n.stay-n.deleted)
		} else {
			least = min(least, n.stay+n.deleted+n.deletedOpen-n.appended)
		}
	}
	return least
}

// mayHaveAppended: what was appended and is not listed in the end was deleted.
func (k *knowledge) mayHaveAppended(c call) bool {
	return slices.ContainsFunc(c.files, func(f file) bool { return k.seen[f.sum] || k.doubtful[f.name] })
}

// mayAppend reports whether an open request can have put a file at its position:
// nobody else was told that he had, and nobody saw another one there.
func (k *knowledge) mayAppend(r row) bool {
	return !k.answered[r.Position] && (k.at[r.Position] == "" || k.at[r.Position] == r.Sum)
}

// checkTime bounds the check of one history, which takes milliseconds: it is there
// for a checker that would go on for ever, and not for a machine that is slow.
const checkTime = 5 * time.Minute

// judge ends a test whose history no dataset could have that does one thing at a
// time, and leaves a picture of it. It returns how long that took to find out.
func judge(t testing.TB, ops []porcupine.Operation) (took time.Duration) {
	t.Helper()
	began := time.Now()
	result := check(ops)
	took = time.Since(began)
	if result == porcupine.Ok {
		return took
	}
	path := filepath.Join(os.TempDir(), "parqueue-history-"+time.Now().Format("150405.000000")+".html")
	_, info := porcupine.CheckOperationsVerbose(model(), ops, time.Second)
	if err := porcupine.VisualizePath(model(), info, path); err != nil {
		t.Errorf("drawing the history: %v", err)
	}
	t.Fatalf("a history of %d operations is %s; %s shows where it breaks", len(ops), result, path)
	return took
}
