package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

const (
	// rescanPage is how many objects a rescan takes up at a time, as many as a queue
	// hands over.
	rescanPage = 100

	// rescanListed is how many it lists at a time, as many as S3 does.
	rescanListed = 1000
)

// rescanTask is what the catalog keeps under which a rescan was cut off.
const rescanTask = "rescan"

// rescanSaving is the time for that, when a rescan's own has ended.
const rescanSaving = 5 * time.Second

// Rescanned is what a rescan came to, in objects.
type Rescanned map[State]int

// Rescan takes up whatever has been in the inbox for longer than an age: what
// notices that were lost were about. It walks all of it, in the order of the
// keys, and ends early only with ctx; the next one begins where this one was cut
// off, so that however many objects stay, as those do that wait for a list, every
// one has its turn. It may be repeated at any time.
// Errors: those of Inbox.List; the first of an object, once all were taken up;
// those of the catalog.
func (i *Ingester) Rescan(ctx context.Context, age, known time.Duration) (Rescanned, error) {
	state, err := i.catalog.Progress(ctx, rescanTask)
	if err != nil {
		return Rescanned{}, fmt.Errorf("reading where to look through the inbox: %w", err)
	}
	w := &rescan{Ingester: i, age: age, known: known, done: Rescanned{}, at: string(state)}
	begin := w.at
	err = w.walk(ctx, "")
	if err == nil && begin != "" {
		w.at = ""
		err = w.walk(ctx, begin)
	}
	if ctx.Err() == nil {
		w.at = ""
	}
	if w.at != begin {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), rescanSaving)
		defer cancel()
		err = errors.Join(err, i.catalog.SaveProgress(own, rescanTask, []byte(w.at)))
	}
	return w.done, errors.Join(w.failure, err)
}

// rescan is a walk through the inbox.
type rescan struct {
	*Ingester
	age     time.Duration
	known   time.Duration
	done    Rescanned
	failure error  // the first of an object
	at      string // the key behind which it goes on
}

// walk takes up what is behind w.at, until it is behind a key, or, where that is "",
// to the end. It ends early with ctx, and with an error of the listing.
func (w *rescan) walk(ctx context.Context, until string) error {
	for more := true; more && (until == "" || w.at < until); {
		objects, another, err := w.inbox.List(ctx, IncomingPrefix, w.at, rescanListed)
		if err != nil {
			return fmt.Errorf("listing the inbox: %w", err)
		}
		more = another && len(objects) > 0
		for some := range slices.Chunk(objects, rescanPage) {
			w.take(ctx, w.notices(some))
			if err := ctx.Err(); err != nil {
				return err
			}
			w.at = some[len(some)-1].Key
		}
	}
	return nil
}

// notices are those of objects that are old enough.
func (w *rescan) notices(objects []dataset.Listed) (notices []Notice) {
	now := w.now()
	for _, o := range objects {
		if age := now.Sub(o.ModifiedAt); age >= w.age {
			notices = append(notices, Notice{Bucket: w.bucket, Key: o.Key, known: w.known > 0 && age > w.known})
		}
	}
	return notices
}

// take takes up objects, and counts what became of them.
func (w *rescan) take(ctx context.Context, notices []Notice) {
	for _, o := range w.Ingest(ctx, notices) {
		w.done[o.State]++
		if o.State == Failed && w.failure == nil {
			w.failure = o.Err
		}
	}
}
