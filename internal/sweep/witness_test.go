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
