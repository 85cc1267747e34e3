package proof

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/parqueue/parqueue/internal/testtool"
)

// TestNarrowingDecidesTheSame makes small histories up, true ones and ones with a
// lie in them, and has the checker decide on them with and without what is found
// out about them before.
func TestNarrowingDecidesTheSame(t *testing.T) {
	t.Parallel()
	d := newDice(t)
	verdicts := map[porcupine.CheckResult]int{}
	for range 3000 * testtool.Scale(t) {
		h := madeUpHistory(d.fork())
		want := porcupine.CheckOperationsTimeout(model(), h.unsettled(), checkTime)
		ops := h.finished(false)
		if got := check(ops); got != want {
			for _, op := range h.unsettled() {
				t.Logf("%d to %d: %s", op.Call, op.Return, describe(op.Input.(call), op.Output.(outcome)))
			}
			t.Fatalf("narrowed it is %s, and else %s", got, want)
		}
		verdicts[want]++
	}
	t.Logf("%v", verdicts)
	if verdicts[porcupine.Ok] == 0 || verdicts[porcupine.Illegal] == 0 {
		t.Error("they were all the same")
	}
}

// unsettled is the history as it was told, in which what is open may have done
// anything.
func (h *history) unsettled() []porcupine.Operation {
	ops := slices.Clone(h.ops)
	for n, op := range ops {
		c := op.Input.(call)
		c.may = func(row) bool { return true }
		ops[n].Input = c
	}
	return append(ops, porcupine.Operation{Input: call{kind: ends}, Call: forever - 2, Output: outcome{}, Return: forever - 1})
}

// madeUpHistory has some clients do what they like with a dataset, each operation
// at a moment between its call and its return. In half of them some
// are told what another one was told, or at another time.
func madeUpHistory(d *dice) *history {
	h := newHistory(4)
	var s state
	var last file
	for n := range 4 + d.below(7) {
		at := int64(10 * n)
		op := porcupine.Operation{Call: at - int64(d.below(30)), Return: at + int64(d.below(30)), ClientId: n}
		c := madeUpCall(d, last)
		if len(c.files) == 1 {
			last = c.files[0]
		}
		var o outcome
		o, s = s.told(c)
		if (c.kind == appends || c.kind == deletes) && d.hits(0.3) {
			o, op.Return = outcome{unknown: true}, forever
		}
		op.Input, op.Output = c, o
		h.ops = append(h.ops, op)
	}
	if d.hits(0.5) {
		for range 4 {
			h.lie(d)
		}
	}
	all := call{kind: lists}
	o, _ := s.told(all)
	h.ops = append(h.ops, porcupine.Operation{ClientId: 5, Input: all, Output: o, Call: 1000, Return: 1001})
	return h
}

// madeUpCall is some call about three names. An append may be the last one once more.
func madeUpCall(d *dice, last file) call {
	name := func(n int) string { return fmt.Sprintf("%d.parquet", n%3) }
	first := d.below(3)
	switch n := d.below(10); {
	case n < 2 && last.name != "":
		return call{kind: appends, files: []file{last}}
	case n < 4:
		return call{kind: appends, files: []file{madeUpFile(name(first))}}
	case n < 5:
		return call{kind: appends, files: []file{madeUpFile(name(first)), madeUpFile(name(first + 1))}}
	case n < 7:
		return call{kind: deletes, name: name(first)}
	case n < 8:
		return call{kind: lists, from: int64(d.below(2))}
	}
	return call{kind: downloads, name: name(first)}
}

func madeUpFile(name string) file { return file{name: name, sum: fmt.Sprint(numbers.Add(1))} }

// told does a request, and returns what a client is told.
func (s state) told(c call) (outcome, state) {
	c.may = func(row) bool { return true }
	at := s.find(c.name)
	switch c.kind {
	case appends:
		ok, after := s.append(c, outcome{unknown: true})
		return outcome{refused: !ok, files: after.files[len(s.files):]}, after
	case deletes:
		if at >= 0 {
			_, after := s.delete(c, outcome{unknown: true})
			return outcome{files: []row{{c.name, s.files[at].Position, ""}}}, after
		}
	case lists:
		return outcome{files: slices.DeleteFunc(slices.Clone(s.files), func(r row) bool { return r.Position < c.from })}, s
	case downloads:
		if at >= 0 {
			return outcome{sum: s.files[at].Sum}, s
		}
	}
	return outcome{refused: true}, s
}

// lie has one operation be told what one of its kind was told, or moves it.
func (h *history) lie(d *dice) {
	n, m := d.below(len(h.ops)), d.below(len(h.ops))
	x, y := h.ops[n].Input.(call), h.ops[m].Input.(call)
	if h.ops[n].Output.(outcome).unknown || h.ops[m].Output.(outcome).unknown {
		return
	}
	if x.kind == y.kind && x.name == y.name && len(x.files) == len(y.files) && x.kind != appends {
		h.ops[n].Output = h.ops[m].Output
		return
	}
	h.ops[n].Call, h.ops[n].Return = h.ops[m].Call, h.ops[m].Return
	slices.SortStableFunc(h.ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
}
