package proof

import (
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/parqueue/parqueue/internal/testtool"
)

// damage is a way in which a history could tell of a store that lies. do changes
// a copy of it so that no dataset can have it, and reports false where it finds no
// place for that.
type damage struct {
	name string
	do   func(*forger) bool
}

func damages() []damage {
	return []damage{
		{"a listing lacks the last file", (*forger).staleListing},
		{"a listing lacks a file in between", (*forger).gap},
		{"a listing has two files the other way round", (*forger).swap},
		{"a listing has a file twice", (*forger).duplicate},
		{"a listing has other bytes", (*forger).otherBytes},
		{"an acknowledged file is in no listing any more", (*forger).lose},
		{"a deleted file is listed", (*forger).resurrect},
		{"a deleted file is downloaded", (*forger).downloadDeleted},
		{"two files have the same position", (*forger).samePosition},
		{"a file comes before one that was there already", (*forger).overtake},
		{"two files have the same name", (*forger).sameName},
		{"a file that is there can't be deleted", (*forger).denyDeletion},
	}
}

// damagedClients is the most clients of a history that is damaged.
const damagedClients = 8

// damage tries every way on copies of a sound history.
func (y *tally) damage(t testing.TB, ops []porcupine.Operation, d *dice) {
	t.Helper()
	for _, way := range damages() {
		f := &forger{ops: slices.Clone(ops), dice: d}
		if !way.do(f) {
			continue
		}
		y.damaged[way.name]++
		began := time.Now()
		result := check(f.ops)
		y.refuting = append(y.refuting, time.Since(began))
		if result != porcupine.Illegal {
			t.Errorf("a history of %d operations in which %s is %s", len(ops), way.name, result)
		}
	}
}

// logDamage fails when some kind of damage was never tried in a long run.
func (y *tally) logDamage(t testing.TB) {
	t.Helper()
	total := 0
	for _, way := range damages() {
		if y.damaged[way.name] == 0 && testtool.Scale(t) > 1 {
			t.Errorf("no history had a place for this: %s", way.name)
		}
		total += y.damaged[way.name]
	}
	if !t.Failed() {
		t.Logf("put %d faults into copies of the histories, of %d kinds: all were caught, the slowest in %v", total, len(damages()), slices.Max(y.refuting))
	}
}

// forger changes the operations of a history. What they point to is shared with
// the true one, so it replaces and never writes.
type forger struct {
	ops  []porcupine.Operation
	dice *dice
}

func (f *forger) call(n int) call       { return f.ops[n].Input.(call) }
func (f *forger) outcome(n int) outcome { return f.ops[n].Output.(outcome) }
func (f *forger) before(a, b int) bool  { return f.ops[a].Return < f.ops[b].Call }
func (f *forger) succeeded(n int) bool  { return !f.outcome(n).unknown && !f.outcome(n).refused }

func (f *forger) tell(n int, files []row) {
	o := f.outcome(n)
	o.files = files
	f.ops[n].Output = o
}

// pick draws one of the operations that something is true of.
func (f *forger) pick(is func(n int) bool) (n int, ok bool) {
	var all []int
	for n := range f.ops {
		if is(n) {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	return all[f.dice.below(len(all))], true
}

// appended finds the operation that appended a file, or -1 when there are several
// tries of which either may have.
func (f *forger) appended(r row) int {
	found := -1
	for n := range f.ops {
		if !slices.ContainsFunc(f.call(n).files, func(f file) bool { return f.sum == r.Sum }) {
			continue
		}
		if found >= 0 {
			return -1
		}
		found = n
	}
	return found
}

// stays reports that nothing can have deleted a file between its append and the
// end of an operation.
func (f *forger) stays(r row, until int) bool {
	at := f.appended(r)
	if at < 0 {
		return false
	}
	for n, op := range f.ops {
		if f.call(n).kind == deletes && n != until && f.call(n).name == r.Name && !f.outcome(n).refused &&
			op.Return >= f.ops[at].Call && op.Call <= f.ops[until].Return {
			return false
		}
	}
	return true
}

// acknowledged reports that a file was there before an operation began, and
// until it ended.
func (f *forger) acknowledged(r row, n int) bool {
	at := f.appended(r)
	return at >= 0 && f.succeeded(at) && f.before(at, n) && f.stays(r, n)
}

// whole reports a listing of all files, of which there are some.
func (f *forger) whole(n, least int) bool {
	return f.call(n).kind == lists && f.call(n).from == 0 && !f.outcome(n).more && len(f.outcome(n).files) >= least
}

// relist replaces what a whole listing told.
func (f *forger) relist(least int, is func(n int, files []row) bool, change func(files []row) []row) bool {
	n, ok := f.pick(func(n int) bool { return f.whole(n, least) && is(n, f.outcome(n).files) })
	if ok {
		f.tell(n, change(slices.Clone(f.outcome(n).files)))
	}
	return ok
}

func anyListing(int, []row) bool { return true }

func (f *forger) staleListing() bool {
	return f.relist(1, func(n int, files []row) bool { return f.acknowledged(files[len(files)-1], n) },
		func(files []row) []row { return files[:len(files)-1] })
}

func (f *forger) gap() bool {
	inside := func(n int, files []row) int {
		return slices.IndexFunc(files[:len(files)-1], func(r row) bool { return f.stays(r, n) })
	}
	n, ok := f.pick(func(n int) bool { return f.whole(n, 2) && inside(n, f.outcome(n).files) >= 0 })
	if ok {
		files := f.outcome(n).files
		at := inside(n, files)
		f.tell(n, slices.Concat(files[:at], files[at+1:]))
	}
	return ok
}

func (f *forger) swap() bool {
	return f.relist(2, anyListing, func(files []row) []row {
		at := f.dice.below(len(files) - 1)
		files[at], files[at+1] = files[at+1], files[at]
		return files
	})
}

func (f *forger) duplicate() bool {
	return f.relist(1, anyListing, func(files []row) []row {
		at := f.dice.below(len(files))
		return slices.Insert(files, at, files[at])
	})
}

func (f *forger) otherBytes() bool {
	return f.relist(1, anyListing, func(files []row) []row {
		files[f.dice.below(len(files))].Sum = "damaged"
		return files
	})
}

// lose takes a file out of everything that is listed after it was acknowledged.
func (f *forger) lose() bool {
	last, ok := f.pick(func(n int) bool {
		return f.whole(n, 1) && slices.ContainsFunc(f.outcome(n).files, func(r row) bool { return f.acknowledged(r, n) })
	})
	if !ok {
		return false
	}
	files := f.outcome(last).files
	lost := files[slices.IndexFunc(files, func(r row) bool { return f.acknowledged(r, last) })]
	for n := range f.ops {
		if f.call(n).kind == lists {
			f.tell(n, slices.DeleteFunc(slices.Clone(f.outcome(n).files), func(r row) bool { return r == lost }))
		}
	}
	return true
}

// deletedBefore finds a file whose deletion was acknowledged before an operation.
func (f *forger) deletedBefore(n int) (row, bool) {
	for _, op := range f.ops {
		o := op.Output.(outcome)
		if op.Input.(call).kind != deletes || o.refused || o.unknown || op.Return >= f.ops[n].Call {
			continue
		}
		for _, other := range f.ops {
			for _, r := range other.Output.(outcome).files {
				if r.Position == o.files[0].Position && f.appended(r) >= 0 {
					return r, true
				}
			}
		}
	}
	return row{}, false
}

func (f *forger) resurrect() bool {
	n, ok := f.pick(func(n int) bool {
		_, ok := f.deletedBefore(n)
		return ok && f.whole(n, 0)
	})
	if !ok {
		return false
	}
	back, _ := f.deletedBefore(n)
	files := append(slices.Clone(f.outcome(n).files), back)
	slices.SortFunc(files, func(a, b row) int { return int(a.Position - b.Position) })
	f.tell(n, files)
	return true
}

func (f *forger) downloadDeleted() bool {
	n, ok := f.pick(func(n int) bool {
		_, ok := f.deletedBefore(n)
		return ok && f.call(n).kind == downloads
	})
	if !ok {
		return false
	}
	back, _ := f.deletedBefore(n)
	f.ops[n].Input, f.ops[n].Output = call{kind: downloads, name: back.Name}, outcome{sum: back.Sum}
	return true
}

// pair draws two single files that were appended one after the other.
func (f *forger) pair(is func(a, b int) bool) (a, b int, ok bool) {
	single := func(n int) bool { return f.call(n).kind == appends && len(f.call(n).files) == 1 && f.succeeded(n) }
	b, ok = f.pick(func(b int) bool {
		_, ok := f.pick(func(a int) bool { return single(a) && single(b) && f.before(a, b) && is(a, b) })
		return ok
	})
	if !ok {
		return 0, 0, false
	}
	a, ok = f.pick(func(a int) bool { return single(a) && f.before(a, b) && is(a, b) })
	return a, b, ok
}

func anyPair(_, _ int) bool { return true }

func (f *forger) samePosition() bool {
	a, b, ok := f.pair(anyPair)
	if ok {
		r := f.outcome(b).files[0]
		r.Position = f.outcome(a).files[0].Position
		f.tell(b, []row{r})
	}
	return ok
}

func (f *forger) overtake() bool {
	a, b, ok := f.pair(anyPair)
	if ok {
		early, late := f.outcome(a).files[0], f.outcome(b).files[0]
		early.Position, late.Position = late.Position, early.Position
		f.tell(a, []row{early})
		f.tell(b, []row{late})
	}
	return ok
}

// sameName gives a file the name of one that is there.
func (f *forger) sameName() bool {
	a, b, ok := f.pair(func(a, b int) bool { return f.stays(f.outcome(a).files[0], b) })
	if !ok {
		return false
	}
	name, was := f.outcome(a).files[0].Name, f.outcome(b).files[0]
	given := f.call(b).files[0]
	given.name = name
	f.ops[b].Input = call{kind: appends, files: []file{given}}
	renamed := was
	renamed.Name = name
	f.tell(b, []row{renamed})
	for n := range f.ops {
		if f.call(n).kind != lists {
			continue
		}
		files := slices.Clone(f.outcome(n).files)
		if at := slices.Index(files, was); at >= 0 {
			files[at] = renamed
			f.tell(n, files)
		}
	}
	return true
}

func (f *forger) denyDeletion() bool {
	n, ok := f.pick(func(n int) bool {
		if f.call(n).kind != deletes || !f.succeeded(n) {
			return false
		}
		at := slices.IndexFunc(f.ops, func(op porcupine.Operation) bool {
			return op.Input.(call).kind == appends && slices.ContainsFunc(op.Output.(outcome).files, func(r row) bool {
				return r.Position == f.outcome(n).files[0].Position
			})
		})
		return at >= 0 && f.before(at, n) && len(f.outcome(at).files) == 1 && f.stays(f.outcome(at).files[0], n)
	})
	if ok {
		f.ops[n].Output = outcome{refused: true}
	}
	return ok
}
