// Package sweep removes what crashes leave behind: objects and parts that no file
// and no upload will ever refer to. Whatever it removes it claims in the catalog
// first, so that an append which races either wins, and the bytes stay, or is
// refused.
//
// It is led by the object store, in which everything that takes room can be found,
// whichever tenant's it is and whatever the catalog has forgotten. A pass goes
// through all open parts and then all objects, page by page, and asks the catalog
// what became of their file ids. To keep that cheap it asks about an object only
// when the answer may have changed (see progress.due), and now and then about all.
// How far a pass is is kept in the catalog: one that is cut off is continued, and
// two at a time do no harm.
//
// Inspect is the same walk for people: it tells and removes nothing.
//
// The package needs the IAM actions of what it is given: of internal/catalog/dynamo
// those of FileRecords, ClaimFile, Progress and SaveProgress, of
// internal/objectstore those of dataset.Sweepable.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

// Catalog is what the sweeper asks of a catalog.
type Catalog interface {
	dataset.FileRecords
	dataset.Progress
}

// Timing says how long the sweeper waits for what.
type Timing struct {
	Every     time.Duration // from the begin of a pass to that of the next
	FullEvery time.Duration // from the begin of a pass that looks at everything to that of the next
	Grace     time.Duration // the age below which nothing is looked at
}

// DefaultTiming is for real clocks and real clients. The grace is far beyond the
// time in which an upload is appended, or an ingestion is tried again, however
// slow its client and however wrong its clock; a claim would have it sent again.
// A pass over a million objects costs some cents, one that asks the catalog about
// each of them ten times as much.
func DefaultTiming() Timing {
	return Timing{Every: 12 * time.Hour, FullEvery: 7 * 24 * time.Hour, Grace: 24 * time.Hour}
}

// expiryGrace is how long after the end of its time an upload is left alone, for
// the sake of clocks that differ.
const expiryGrace = time.Hour

// Sweeper removes what nobody refers to.
type Sweeper struct {
	store   dataset.Sweepable
	catalog Catalog
	timing  Timing
	now     func() time.Time
	atOnce  int
	tasks   []task
	witness Witness
	perPass bool // the mark changes when a pass begins, and not whenever the sweeper runs
	id      func(context.Context) (string, error)
}

// Option changes how a Sweeper works.
type Option func(*Sweeper)

// WithClock gives the sweeper another clock than time.Now.
func WithClock(now func() time.Time) Option { return func(s *Sweeper) { s.now = now } }

// WithTiming has the sweeper wait otherwise than DefaultTiming.
func WithTiming(t Timing) Option { return func(s *Sweeper) { s.timing = t } }

// Witness keeps a mark with the objects, outside of the catalog, which keeps the
// same one. The sweeper changes both now and then. When they differ, the
// catalog was replaced by a copy from another time: that does not know the files
// that were appended since, and their bytes must not be taken for leftovers.
type Witness interface {
	// Mark returns what was set last, or "".
	Mark(ctx context.Context) (string, error)

	// SetMark replaces the mark. When it fails the mark is the old or the new one. It
	// may be repeated.
	SetMark(ctx context.Context, mark string) error
}

// WithWitness has the sweeper notice a catalog that was replaced by a copy of it.
// The mark changes whenever the sweeper runs, so that a copy is noticed that is
// older than the last run.
func WithWitness(w Witness) Option { return func(s *Sweeper) { s.witness = w } }

// WithSparingWitness is WithWitness where writing costs: the mark changes when a
// pass begins, and a copy is noticed that is older than the last pass.
func WithSparingWitness(w Witness) Option {
	return func(s *Sweeper) { s.witness, s.perPass = w, true }
}

// WithIdentity has the sweeper notice a catalog that is a copy of another one,
// however new, where each has an id of its own that id tells.
func WithIdentity(id func(context.Context) (string, error)) Option {
	return func(s *Sweeper) { s.id = id }
}

// task is something else that is done whenever the sweeper runs.
type task struct {
	name string
	run  func(context.Context) (any, error)
}

// WithTask has every Sweep do something else first. run has to stop in time
// before its context's deadline, and to go on where it stopped when it is called
// again. What it answers is part of the report, as JSON.
func WithTask(name string, run func(context.Context) (any, error)) Option {
	return func(s *Sweeper) { s.tasks = append(s.tasks, task{name, run}) }
}

// New returns a sweeper over a store and the catalog that knows its files.
func New(store dataset.Sweepable, catalog Catalog, options ...Option) *Sweeper {
	s := &Sweeper{store: store, catalog: catalog, timing: DefaultTiming(), now: time.Now, atOnce: someOf}
	for _, o := range options {
		o(s)
	}
	return s
}

// Report says what a Sweep did.
type Report struct {
	Finished       bool           `json:"finished"`        // the pass came to its end, or none was due
	Full           bool           `json:"full"`            // the catalog was asked about every object
	Objects        int            `json:"objects"`         // seen
	OpenParts      int            `json:"open_parts"`      // objects in parts that were seen
	Asked          int            `json:"asked"`           // file ids that the catalog was asked about
	Found          map[Kind]int   `json:"found"`           // by kind
	RemovedObjects int            `json:"removed_objects"` //
	RemovedBytes   int64          `json:"removed_bytes"`   // of these
	AbortedParts   int            `json:"aborted_parts"`   // objects in parts
	Failed         int            `json:"failed"`          // could not be claimed or removed, and will be tried again
	Tasks          map[string]any `json:"tasks,omitempty"` // what else was done
}

// margin is how long before its context's deadline a Sweep begins no other page.
const margin = time.Minute

// maxErrors is how many errors of one Sweep are told.
const maxErrors = 10

// Prepare notes, the first time that it is called, since when the catalog knows
// every file of the store, and whether it is still the same catalog (see Witness).
// Sweep does it as well, when it is called.
func (s *Sweeper) Prepare(ctx context.Context) error {
	_, err := s.load(ctx)
	return err
}

// Sweep does the tasks and then goes on with the pass under way, or begins one if
// it is time. It returns when the pass is at its end or ctx's deadline is near;
// the next call goes on from there. An error does not undo what the report says,
// and Sweep may be called again after any.
func (s *Sweeper) Sweep(ctx context.Context) (Report, error) {
	r := Report{Found: map[Kind]int{}}
	var errs []error
	for _, t := range s.tasks {
		result, err := t.run(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.name, err))
		}
		if r.Tasks == nil {
			r.Tasks = map[string]any{}
		}
		r.Tasks[t.name] = result
	}
	p, err := s.load(ctx)
	if err != nil {
		return r, errors.Join(append(errs, err)...)
	}
	begun := p.begin(s.now(), s.timing)
	if begun && s.perPass {
		if err := s.renew(ctx, p); err != nil {
			return r, errors.Join(append(errs, err)...)
		}
	}
	r.Finished = p.Started.IsZero()
	r.Full = p.Full && !r.Finished
	for !r.Finished && timeLeft(ctx) {
		page := &sweeping{Sweeper: s, progress: p, report: &r}
		r.Finished, err = page.step(ctx)
		if err == nil {
			err = s.save(ctx, p)
		}
		if err != nil {
			return r, errors.Join(append(errs, err)...)
		}
		errs = append(errs, page.errs...)
		errs = errs[:min(len(errs), maxErrors)]
	}
	return r, errors.Join(errs...)
}

// timeLeft reports whether there is time for another page.
func timeLeft(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > margin)
}
