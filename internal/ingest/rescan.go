package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rescanPage is how many objects a rescan takes up at a time, as many as a queue
// hands over.
const rescanPage = 100

// Rescanned is what a rescan came to, in objects.
type Rescanned map[State]int

// Rescan takes up whatever has been in the inbox for longer than an age: what
// notices that were lost were about. It walks all of it, in the order of the
// keys, and ends early only with ctx. Objects that wait for a list stay. It may be
// repeated at any time.
// Errors: those of Inbox.List; the first of an object, once all were taken up.
func (i *Ingester) Rescan(ctx context.Context, age time.Duration) (Rescanned, error) {
	done := Rescanned{}
	var first error
	for after, more := "", true; more; {
		objects, another, err := i.inbox.List(ctx, IncomingPrefix, after, rescanPage)
		if err != nil {
			return done, errors.Join(first, fmt.Errorf("listing the inbox: %w", err))
		}
		more = another
		before := i.now().Add(-age)
		var notices []Notice
		for _, o := range objects {
			if after = o.Key; !o.ModifiedAt.After(before) {
				notices = append(notices, Notice{Bucket: i.bucket, Key: o.Key})
			}
		}
		for _, o := range i.Ingest(ctx, notices) {
			done[o.State]++
			if o.State == Failed && first == nil {
				first = o.Err
			}
		}
		if err := ctx.Err(); err != nil {
			return done, errors.Join(first, err)
		}
		more = more && len(objects) > 0
	}
	return done, first
}
