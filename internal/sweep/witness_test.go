package sweep_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/sweep"
)

// witness keeps a mark, while there is room for it.
type witness struct {
	mark string
	full bool
}

func (w *witness) Mark(context.Context) (string, error) { return w.mark, nil }

func (w *witness) SetMark(_ context.Context, mark string) error {
	if w.full {
		return errors.New("no room")
	}
	w.mark = mark
	return nil
}

// Every time the mark is another one, unless it can't be set: then the old one
// does, and the sweeper works as ever.
func TestMarkIsRenewed(t *testing.T) {
	b, w := newBench(t), &witness{}
	sweeper := b.sweeper(sweep.WithWitness(w))
	seen := map[string]bool{}
	for n, full := range []bool{false, false, true, false} {
		w.full = full
		b.file("orphan")
		b.wait(25 * time.Hour)
		r, err := sweeper.Sweep(b.ctx)
		if err != nil || r.RemovedObjects != 1 {
			t.Fatalf("sweep %d: %+v, %v", n, r, err)
		}
		if seen[w.mark] != full {
			t.Errorf("sweep %d: the mark is %q, and there were %v", n, w.mark, seen)
		}
		seen[w.mark] = true
	}
	w.mark = "another"
	b.file("not known to an older copy")
	b.wait(25 * time.Hour)
	if r, err := sweeper.Sweep(b.ctx); err != nil || r.RemovedObjects != 0 || r.Found[sweep.Foreign] != 1 {
		t.Fatalf("swept with an older copy: %+v, %v", r, err)
	}
}

// mortal is the catalog and the witness of one process, which ends before or after
// one of its writes to either.
type mortal struct {
	*bench
	*witness
	writes int    // before its last one
	does   bool   // the last one is done, though nobody hears of it
	before func() // called before the last one instead of ending, if it is not nil
}

var errEnded = errors.New("the process has ended")

func (m *mortal) write(do func() error) error {
	m.writes--
	switch {
	case m.writes == -1 && m.before != nil:
		m.before()
	case m.writes == -1 && m.does:
		_ = do()
		return errEnded
	case m.writes < 0 && m.before == nil:
		return errEnded
	}
	return do()
}

func (m *mortal) SaveProgress(ctx context.Context, task string, state []byte) error {
	return m.write(func() error { return m.bench.SaveProgress(ctx, task, state) })
}

func (m *mortal) SetMark(ctx context.Context, mark string) error {
	return m.write(func() error { return m.witness.SetMark(ctx, mark) })
}

func (m *mortal) sweep(options ...sweep.Option) (sweep.Report, error) {
	options = append([]sweep.Option{sweep.WithClock(m.clock), sweep.WithSparingWitness(m), sweep.WithIdentity(table("1"))}, options...)
	return sweep.New(m.store, m, options...).Sweep(m.ctx)
}

// table is the id of a table.
func table(id string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return id, nil }
}

// Wherever a process ends that changes the mark, and whatever another one does
// between two of its steps, the catalog is still known, and what nobody refers to is
// removed.
func TestMarkIsChangedWhateverComesBetween(t *testing.T) {
	for _, witnessed := range []func(sweep.Witness) sweep.Option{sweep.WithSparingWitness, sweep.WithWitness} {
		for writes := range 6 {
			for _, how := range []string{"ends before", "ends after", "another one at"} {
				b, w := newBench(t), &witness{}
				alive := func() *mortal { return &mortal{bench: b, witness: w, writes: 1 << 20} }
				run := func(m *mortal) (sweep.Report, error) { return m.sweep(witnessed(m)) }
				if _, err := run(alive()); err != nil {
					t.Fatal(err)
				}
				b.wait(13 * time.Hour) // so that the next one begins a pass
				b.file("orphan")
				dying := &mortal{bench: b, witness: w, writes: writes, does: how == "ends after"}
				if how == "another one at" {
					dying.before = func() { _, _ = run(alive()) }
				}
				_, _ = run(dying)
				removed := 0
				for range 4 { // it ends the pass under way, and begins others
					b.wait(13 * time.Hour)
					r, err := run(alive())
					if removed += r.RemovedObjects; err != nil || r.Found[sweep.Foreign] != 0 {
						t.Errorf("%s write %d: swept %+v, %v; the mark is %q", how, writes, r, err, w.mark)
					}
				}
				if removed != 1 {
					t.Errorf("%s write %d: the orphan was not removed", how, writes)
				}
			}
		}
	}
}

// A table that was restored does not know what was appended since. However new the
// copy was, what is there by then stays; what nobody refers to later is removed.
func TestRestoredTable(t *testing.T) {
	for name, tc := range map[string]struct {
		since time.Duration // from the copy to its return
		id    string        // of the table that it came back in
		known bool          // nothing was restored
		off   bool          // somebody removed the mark, and restored nothing
	}{
		"nothing":                            {time.Hour, "1", true, false},
		"a new table, an hour old":           {time.Hour, "2", false, false},
		"a new table, three days old":        {3 * day, "2", false, false},
		"items put back, of before the pass": {13 * time.Hour, "1", false, false},
		"items put back, three days old":     {3 * day, "1", false, false},
		"the mark removed":                   {time.Hour, "1", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			b, w := newBench(t), &witness{}
			run := func(id string) sweep.Report {
				t.Helper()
				m := &mortal{bench: b, witness: w, writes: 1 << 20}
				r, err := m.sweep(sweep.WithIdentity(table(id)))
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			run("1")
			copied, err := b.Progress(b.ctx, "sweep")
			if err != nil {
				t.Fatal(err)
			}
			unknown := b.file("appended since the copy")
			for past := time.Duration(0); past < tc.since; past += 15 * time.Minute {
				b.wait(15 * time.Minute)
				if b.now.Sub(unknown.UploadedAt) < day { // in the true catalog it is listed
					run("1")
				}
			}
			if tc.off {
				w.mark = ""
			} else if !tc.known {
				if err := b.SaveProgress(b.ctx, "sweep", copied); err != nil {
					t.Fatal(err)
				}
			}
			run(tc.id)
			b.wait(15 * time.Minute)
			orphan := b.file("orphan")
			for range 20 {
				b.wait(12 * time.Hour)
				run(tc.id)
			}
			_, there := b.store.objects[unknown.ObjectKey]
			if _, left := b.store.objects[orphan.ObjectKey]; there == tc.known || left {
				t.Errorf("the file that the copy does not know is there: %v; the orphan: %v", there, left)
			}
		})
	}
}

// counting counts how often a mark is set.
type counting struct {
	witness
	set int
}

func (c *counting) SetMark(ctx context.Context, mark string) error {
	c.set++
	return c.witness.SetMark(ctx, mark)
}

func TestSparingWitnessIsWrittenOnceAPass(t *testing.T) {
	b, w := newBench(t), &counting{}
	sweeper := b.sweeper(sweep.WithSparingWitness(w), sweep.WithIdentity(table("1")))
	for range 4 * 24 * 3 {
		if _, err := sweeper.Sweep(b.ctx); err != nil {
			t.Fatal(err)
		}
		b.wait(15 * time.Minute)
	}
	if w.set != 7 { // when it is first seen, and at six passes
		t.Errorf("in three days the mark was set %d times", w.set)
	}
	w.full = true
	b.wait(day)
	if _, err := sweeper.Sweep(b.ctx); err == nil {
		t.Error("a pass was begun without a mark")
	}
}
