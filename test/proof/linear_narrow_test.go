package proof

import (
	"maps"
	"slices"

	"github.com/anishathalye/porcupine"
)

// check decides whether a dataset that does one thing at a time can have a
// history. What changed nothing can be left out of one that is sound, so a history
// that is unsound without its refusals and downloads is refuted by what is left, of
// which the checker has far fewer orders to try.
func check(ops []porcupine.Operation) porcupine.CheckResult {
	narrowed, ok := narrow(ops)
	if !ok {
		return porcupine.Illegal
	}
	core := slices.DeleteFunc(slices.Clone(narrowed), func(op porcupine.Operation) bool {
		return op.Output.(outcome).refused || op.Input.(call).kind == downloads
	})
	if result := porcupine.CheckOperationsTimeout(model(), core, checkTime); result != porcupine.Ok {
		return result
	}
	return porcupine.CheckOperationsTimeout(model(), narrowed, checkTime)
}

// narrow draws operations closer to the moment at which they took effect, by what
// follows from positions alone: who saw a file came after its append and before
// its deletion, and appends came in the order of their positions; and it has those
// that ask about a name ask at once, where that makes no difference (see
// window.hasten). The history can be had after it if and only if it could before. It
// reports false when one would have to come after itself.
//
// The checker tries all orders of what went on at the same time. With 64 clients
// that is too much, unless it is told what a look at the positions tells.
func narrow(ops []porcupine.Operation) ([]porcupine.Operation, bool) {
	w := &window{slices.Clone(ops), map[int64]row{}, map[string]int64{}, map[string]int{}, map[int64]int{}, map[int64]int{}, map[string]bool{}}
	if !w.index() {
		return nil, false
	}
	for range 3 { // what one learns tells something of others
		w.appendsInOrder()
		for n := range w.ops {
			w.look(n)
		}
	}
	w.hasten()
	return w.ops, !slices.ContainsFunc(w.ops, func(op porcupine.Operation) bool { return op.Call > op.Return })
}

type window struct {
	ops            []porcupine.Operation
	rows           map[int64]row    // by position
	at             map[string]int64 // positions by sum
	tried          map[string]int   // by sum, the requests that can have appended it
	added, removed map[int64]int    // the operations that appended and deleted the file at a position
	doubtful       map[string]bool  // names with a deletion of which nothing is known
}

// index finds the appends and deletions whose positions are known: those that were
// told, and for a file that was only seen the one request that can have appended it.
// If there are several, either may have. It reports false when a position was given
// twice, which no dataset does, and which the checker would need all orders to see.
func (w *window) index() bool {
	by := map[string]int{}
	for n, op := range w.ops {
		c, o := op.Input.(call), op.Output.(outcome)
		for _, f := range c.files {
			if !o.refused {
				by[f.sum] = n
				w.tried[f.sum]++
			}
		}
		for _, r := range o.files {
			if c.kind == deletes {
				w.removed[r.Position] = n
				continue
			}
			_, answered := w.added[r.Position]
			if other, ok := w.rows[r.Position]; ok && other != r || answered && c.kind == appends {
				return false
			}
			w.rows[r.Position], w.at[r.Sum] = r, r.Position
			if c.kind == appends {
				w.added[r.Position] = n
			}
		}
		w.doubtful[c.name] = w.doubtful[c.name] || c.kind == deletes && o.unknown
	}
	for position, r := range w.rows {
		if _, known := w.added[position]; !known && w.tried[r.Sum] == 1 {
			w.added[position] = by[r.Sum]
		}
	}
	return true
}

// precedes notes that one operation took effect before another.
func (w *window) precedes(a, b int) {
	if a != b {
		w.ops[b].Call = max(w.ops[b].Call, w.ops[a].Call)
		w.ops[a].Return = min(w.ops[a].Return, w.ops[b].Return)
	}
}

// appendsInOrder notes that positions are given in order.
func (w *window) appendsInOrder() {
	positions := slices.Sorted(maps.Keys(w.added))
	for n := 1; n < len(positions); n++ {
		w.precedes(w.added[positions[n-1]], w.added[positions[n]])
	}
	for n := len(positions) - 1; n > 0; n-- {
		w.precedes(w.added[positions[n-1]], w.added[positions[n]])
	}
}

// look notes what an operation came after, and before.
func (w *window) look(n int) {
	c, o := w.ops[n].Input.(call), w.ops[n].Output.(outcome)
	switch c.kind {
	case deletes:
		for _, r := range o.files {
			if by, ok := w.added[r.Position]; ok {
				w.precedes(by, n)
			}
		}
	case downloads:
		if position, ok := w.at[o.sum]; ok && w.tried[o.sum] == 1 { // else the file may have had another one as well
			w.saw(n, position)
		}
	case lists:
		for _, r := range o.files {
			w.saw(n, r.Position)
		}
		w.missed(n, c, o)
	}
	if o.refused && c.kind != appends {
		w.absent(n, c.name)
	}
}

// absent notes what it means that there was no file with a name: each that had it
// came later, or was deleted before.
func (w *window) absent(n int, name string) {
	for position, by := range w.added {
		if w.rows[position].Name != name || w.doubtful[name] {
			continue
		}
		gone, deleted := w.removed[position]
		switch {
		case !deleted, w.ops[n].Return < w.ops[gone].Call:
			w.precedes(n, by)
		case w.ops[by].Return < w.ops[n].Call:
			w.precedes(gone, n)
		}
	}
}

// saw notes that a file was there.
func (w *window) saw(n int, position int64) {
	if by, ok := w.added[position]; ok {
		w.precedes(by, n)
	}
	if by, ok := w.removed[position]; ok {
		w.precedes(n, by)
	}
}

// missed notes what a listing says of files that are not in it: they came later
// unless they were deleted, and were deleted before if they had come.
func (w *window) missed(n int, c call, o outcome) {
	last := int64(-1)
	listed := map[int64]bool{}
	for _, r := range o.files {
		last, listed[r.Position] = max(last, r.Position), true
	}
	for position, r := range w.rows {
		by, known := w.added[position]
		if !known || position < c.from || listed[position] || o.more && position > last {
			continue
		}
		gone, deleted := w.removed[position]
		switch {
		case w.doubtful[r.Name] || c.gone[r.Name]:
		case !deleted:
			w.precedes(n, by)
		case position < last:
			w.precedes(gone, n)
		}
	}
}

// hasten has refusals and downloads take effect at the first moment that they can,
// if nothing else that goes on at the same time may add or remove their names. Then
// whatever order is possible stays so: they change nothing, and are told the same
// before as after what they are moved in front of. Each of them would else double
// the orders that there are to try.
func (w *window) hasten() {
	changes := map[string][]int{}
	for n, op := range w.ops {
		if c := op.Input.(call); !op.Output.(outcome).refused && (c.kind == appends || c.kind == deletes) {
			for _, name := range c.names() {
				changes[name] = append(changes[name], n)
			}
		}
	}
	for n, op := range w.ops {
		c := op.Input.(call)
		if !op.Output.(outcome).refused && c.kind != downloads || op.Call > op.Return {
			continue
		}
		meets := func(m int) bool { return w.ops[m].Call <= op.Return && w.ops[m].Return >= op.Call }
		if !slices.ContainsFunc(c.names(), func(name string) bool { return slices.ContainsFunc(changes[name], meets) }) {
			w.ops[n].Return = op.Call
		}
	}
}
