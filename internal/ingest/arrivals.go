package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
)

// errNextTry is in the chain of an error that says to begin again at once.
var errNextTry = errors.New("to be tried again") //nolint:gochecknoglobals // a sentinel

// again reports that an object is to be taken up anew, as it is by then.
func again(err error) bool { return errors.Is(err, errNextTry) || replaced(err) }

// ingestAsTheyCome appends whatever is at places.
func (i *Ingester) ingestAsTheyCome(ctx context.Context, d dataset.Dataset, places []place) []Outcome {
	arrivals := make([]*arrival, len(places))
	outcomes := make([]Outcome, len(places))
	pending := make([]int, len(places))
	for n, p := range places {
		arrivals[n], pending[n] = &arrival{place: p}, n
	}
	for round := 0; len(pending) > 0 && round < rounds; round++ {
		i.takeUp(ctx, d, pick(arrivals, pending))
		pending = i.finish(ctx, arrivals, pending, outcomes)
	}
	return outcomes
}

func pick(all []*arrival, which []int) []*arrival {
	picked := make([]*arrival, len(which))
	for n, at := range which {
		picked[n] = all[at]
	}
	return picked
}

// takeUp prepares arrivals and appends those that are ready.
func (i *Ingester) takeUp(ctx context.Context, d dataset.Dataset, arrivals []*arrival) {
	i.prepareAll(ctx, d, arrivals)
	ready := make([]*arrival, 0, len(arrivals))
	for _, a := range arrivals {
		if a.err == nil && !a.listed {
			ready = append(ready, a)
		}
	}
	slices.SortFunc(ready, func(x, y *arrival) int {
		return cmp.Or(x.object.ModifiedAt.Compare(y.object.ModifiedAt), cmp.Compare(x.place.key, y.place.key))
	})
	var undecided error
	for _, run := range runs(ready) {
		if undecided != nil { // the files before these may yet be the ones that set the schema
			for _, a := range run {
				a.err = undecided
			}
			continue
		}
		i.appendInOrder(ctx, run, false)
		if first := run[0]; d.Schema == nil && !first.listed && !aboutTheObject(first.err) {
			undecided = first.err
		}
	}
}

// prepareAll prepares arrivals, many at a time. It leaves some of the time to append
// and remove those that are ready: an object that is so large that its copy is cut
// off, to go on with the next try, must not keep the others back.
func (i *Ingester) prepareAll(ctx context.Context, d dataset.Dataset, arrivals []*arrival) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/4*3)
		defer cancel()
	}
	places := make([]place, len(arrivals))
	byKey := make(map[string]*arrival, len(arrivals))
	for n, a := range arrivals {
		places[n], byKey[a.place.key] = a.place, a
	}
	seen := &schemas{byKey: map[[32]byte]schema.Schema{}}
	if d.Schema != nil {
		seen.shared(*d.Schema)
	}
	i.each(places, func(p place) Outcome {
		a := byKey[p.key]
		*a = arrival{place: p, attempt: a.attempt}
		i.prepare(ctx, d, seen, a)
		return Outcome{}
	})
}

// schemas are those of arrivals that are prepared together. Of many files with the
// same schema, which may have thousands of columns, one is held.
type schemas struct {
	mu    sync.Mutex
	byKey map[[32]byte]schema.Schema
}

// shared returns the schema that is held in the place of one.
func (s *schemas) shared(one schema.Schema) schema.Schema {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := one.Key()
	held, ok := s.byKey[k]
	if !ok {
		s.byKey[k], held = one, one
	}
	return held
}

// runs divides arrivals into what can be appended in one step each: those with
// the schema of the first, then the others. In a dataset without a schema the
// first ones set it, and the others are refused in their turn.
func runs(ready []*arrival) [][]*arrival {
	var all [][]*arrival
	for len(ready) > 0 {
		want := ready[0].schema.Key()
		var others, run []*arrival
		for _, a := range ready {
			if a.schema.Key() == want {
				run = append(run, a)
			} else {
				others = append(others, a)
			}
		}
		all = slices.AppendSeq(all, slices.Chunk(run, dataset.MaxAppend))
		ready = others
	}
	return all
}

// finish settles arrivals that were taken up, and returns those that are to be
// taken up again.
func (i *Ingester) finish(ctx context.Context, arrivals []*arrival, which []int, outcomes []Outcome) []int {
	places := make([]place, len(which))
	at := make(map[string]int, len(which))
	for n, index := range which {
		places[n], at[arrivals[index].place.key] = arrivals[index].place, index
	}
	settled := i.each(places, func(p place) Outcome { return i.finishOne(ctx, arrivals[at[p.key]]) })
	var pending []int
	for n, index := range which {
		outcomes[index] = settled[n]
		if settled[n].State == Failed && again(settled[n].Err) && ctx.Err() == nil {
			pending = append(pending, index)
		}
	}
	return pending
}

// finishOne removes an arrival from the inbox if it is listed, rejects it if it
// was refused, and else says why not.
func (i *Ingester) finishOne(ctx context.Context, a *arrival) Outcome {
	switch {
	case a.listed:
		if err := i.remove(ctx, a); err != nil {
			return failed(err)
		}
		return Outcome{State: Listed, File: a.file}
	case aboutTheObject(a.err):
		return i.reject(ctx, a.place, a.object, a.err)
	}
	return outcomeOf(fmt.Errorf("ingesting: %w", a.err))
}
