package sweep

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/dataset"
)

const (
	pageSize = dataset.MaxDeleted // things looked at in one step
	someOf   = 16                 // of which so many are claimed, or their parts aborted, at a time
)

// sweeping is one step of a pass: a page of open parts or of objects.
type sweeping struct {
	*Sweeper
	progress *progress
	report   *Report

	mu   sync.Mutex
	errs []error // of single things
}

// step does one page and moves the progress behind it. last says that the pass is
// finished.
func (s *sweeping) step(ctx context.Context) (last bool, err error) {
	if !s.progress.Parts {
		return false, s.stepParts(ctx)
	}
	return s.stepObjects(ctx)
}

func (s *sweeping) stepParts(ctx context.Context) error {
	p := s.progress
	page, more, err := s.store.ListOpenParts(ctx, dataset.FilePrefix, p.PartsAt.Key, p.PartsAt.ID, pageSize)
	if err != nil {
		return fmt.Errorf("listing open parts: %w", err)
	}
	s.report.OpenParts += len(page)
	var things []thing
	for _, o := range page {
		if !o.StartedAt.After(p.Started.Add(-s.timing.Grace)) {
			things = append(things, openParts(o))
		}
	}
	unneeded, err := s.unneeded(ctx, things)
	if err != nil {
		return err
	}
	s.each(ctx, unneeded, func(ctx context.Context, t *thing) error {
		if err := s.store.AbortParts(ctx, t.key, t.partsID); err != nil {
			return fmt.Errorf("aborting the parts of %s: %w", t.key, err)
		}
		s.count(func(r *Report) { r.AbortedParts++ })
		return nil
	})
	if p.Parts = !more; more {
		p.PartsAt = place{page[len(page)-1].Key, page[len(page)-1].ID}
	}
	return ctx.Err()
}

func (s *sweeping) stepObjects(ctx context.Context) (last bool, err error) {
	p := s.progress
	page, more, err := s.store.List(ctx, dataset.FilePrefix, p.After, pageSize)
	if err != nil {
		return false, fmt.Errorf("listing objects: %w", err)
	}
	s.report.Objects += len(page)
	var things []thing
	for _, o := range page {
		if p.due(o.ModifiedAt, s.timing.Grace) {
			things = append(things, object(o))
		}
	}
	unneeded, err := s.unneeded(ctx, things)
	if err != nil {
		return false, err
	}
	s.remove(ctx, s.withoutParts(ctx, unneeded))
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if more {
		p.After = page[len(page)-1].Key
		return false, nil
	}
	p.finish()
	return true, nil
}

// unneeded asks the catalog about things, and returns those that may go: what has
// to be claimed is claimed.
func (s *sweeping) unneeded(ctx context.Context, things []thing) ([]*thing, error) {
	if err := ask(ctx, s.catalog, things); err != nil {
		return nil, err
	}
	s.report.Asked += len(things)
	var found []*thing
	for i := range things {
		t := &things[i]
		if t.kind = t.judge(s.now(), s.progress.Since); t.kind != needed {
			s.report.Found[t.kind]++
			found = append(found, t)
		}
	}
	found = slices.DeleteFunc(found, func(t *thing) bool { return t.kind == Foreign })
	return s.each(ctx, found, s.claim), nil
}

// claim makes sure that a thing's file id is never appended.
func (s *sweeping) claim(ctx context.Context, t *thing) error {
	if t.kind == Leftover {
		return nil
	}
	claimed, err := s.catalog.ClaimFile(ctx, t.ref)
	if err != nil {
		return fmt.Errorf("claiming %s: %w", t.key, err)
	}
	if t.record = claimed; !claimed.MayGo() {
		t.kind = needed // an append was faster
	}
	return nil
}

// withoutParts aborts the parts that uploads may have beside their objects, which
// could be joined once more. It returns the things that have none.
func (s *sweeping) withoutParts(ctx context.Context, things []*thing) []*thing {
	return s.each(ctx, things, func(ctx context.Context, t *thing) error {
		if t.record.State != dataset.FileAborted || t.record.PartsID == "" {
			return nil
		}
		if err := s.store.AbortParts(ctx, t.key, t.record.PartsID); err != nil {
			return fmt.Errorf("aborting the parts of %s: %w", t.key, err)
		}
		return nil
	})
}

// remove deletes objects that nobody needs.
func (s *sweeping) remove(ctx context.Context, things []*thing) {
	if len(things) == 0 {
		return
	}
	keys := make([]string, len(things))
	var size int64
	for i, t := range things {
		keys[i] = t.key
		size += t.size
	}
	if err := s.store.DeleteMany(ctx, keys); err != nil {
		s.fail(len(keys), fmt.Errorf("deleting objects: %w", err))
		return
	}
	s.count(func(r *Report) { r.RemovedObjects, r.RemovedBytes = r.RemovedObjects+len(keys), r.RemovedBytes+size })
}

// each does something to things, some at a time, and returns those that are still
// not needed and with which it did not fail.
func (s *sweeping) each(ctx context.Context, things []*thing, do func(context.Context, *thing) error) []*thing {
	failed := make([]bool, len(things))
	var group errgroup.Group
	group.SetLimit(s.atOnce)
	for i, t := range things {
		group.Go(func() error {
			if err := do(ctx, t); err != nil {
				failed[i] = true
				s.fail(1, err)
			}
			return nil
		})
	}
	_ = group.Wait() // they return none
	var left []*thing
	for i, t := range things {
		if !failed[i] && t.kind != needed {
			left = append(left, t)
		}
	}
	return left
}

// fail notes that something was left.
func (s *sweeping) fail(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress.Failed = true
	s.report.Failed += n
	if len(s.errs) < maxErrors {
		s.errs = append(s.errs, err)
	}
}

// count changes the report.
func (s *sweeping) count(change func(*Report)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.report)
}
