package transfer

import (
	"context"
	"errors"
	"iter"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/fault"
)

// Transfers lists what has begun and is not done, the oldest first: what runs
// now, in any process, and what was interrupted.
// Errors: CodeInvalidRequest when the folder can't be read.
func Transfers(stateDir string) ([]Transfer, error) { return (&journals{stateDir}).list() }

// Find returns one of them.
// Errors: CodeFileNotFound.
func Find(stateDir, id string) (Transfer, error) {
	all, err := Transfers(stateDir)
	if err != nil {
		return Transfer{}, err
	}
	for _, t := range all {
		if t.ID == id {
			return t, nil
		}
	}
	return Transfer{}, errNoTransfer(id)
}

// Cancel forgets an interrupted transfer and removes what it left behind: the
// bytes of an upload that were not appended, the partial files of a download. What
// is done stays done.
// Errors: CodeFileNotFound; CodeConflict for one that runs, and for one of another
// server than the engine's; those of client.
func (e *Engine) Cancel(ctx context.Context, id string) error {
	t, err := Find(e.options.StateDir, id)
	if err != nil {
		return err
	}
	if t.Running {
		return fault.New(fault.CodeConflict, "The transfer runs.", "Stop the process that runs it first, with Ctrl-C; then cancel it.")
	}
	if t.Server != e.client.URL() {
		return fault.Newf(fault.CodeConflict, "Sign in there, or name its profile with --profile.", "The transfer is one with the server %s.", t.Server)
	}
	m, err := e.store.read(id)
	if err != nil {
		return err
	}
	journal, _, err := e.store.begin(t, func(other memory) bool { return other.ID == id }, func(memory) iter.Seq[entry] { return slices.Values(m.all()) })
	if err != nil {
		return err
	}
	if err := e.cleanUp(ctx, m); err != nil {
		return errors.Join(err, journal.close())
	}
	return journal.remove()
}

// all is a journal's lines again, as far as they matter for a cancellation.
func (m memory) all() []entry {
	var lines []entry
	for _, b := range m.uploads {
		lines = append(lines, entry{Spare: b.upload})
	}
	for _, id := range m.spare {
		lines = append(lines, entry{Spare: id})
	}
	index := 0
	for id, chunks := range m.chunks {
		lines = append(lines, entry{FileID: id})
		for chunk := range chunks {
			lines = append(lines, entry{Index: index, Chunk: &chunk})
		}
		index++
	}
	return lines
}

// abortsAtOnce bounds the uploads that are given up at the same time.
const abortsAtOnce = 16

// abort gives uploads up, if they are not over. It may be repeated.
func (e *Engine) abort(ctx context.Context, uploads []string) error {
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(abortsAtOnce)
	for _, id := range uploads {
		if inGroup.Err() != nil {
			break
		}
		group.Go(func() error {
			err := e.client.AbortUpload(inGroup, id)
			if fault.Is(err, fault.CodeUploadClosed) || fault.Is(err, fault.CodeUploadNotFound) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func (e *Engine) cleanUp(ctx context.Context, m memory) error {
	uploads := slices.Clone(m.spare)
	for _, b := range m.uploads {
		uploads = append(uploads, b.upload)
	}
	if err := e.abort(ctx, uploads); err != nil {
		return err
	}
	if m.Folder == "" {
		return nil
	}
	root, err := os.OpenRoot(m.Folder)
	if err != nil {
		return nil // the folder has gone, and what was in it
	}
	defer root.Close()
	for id := range m.chunks {
		if validFileID(id) {
			_ = root.Remove(partialName(id))
		}
	}
	return nil
}
