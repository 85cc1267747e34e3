package server

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/ingest"
)

// inboxBucket is the bucket that the server's owner puts files into.
const inboxBucket = "inbox"

// Limits of the inbox.
const (
	noticesKept   = 4096             // more at once are found by a rescan
	noticesAtOnce = 256              // taken up together
	firstPause    = time.Second      // before what failed is looked for; it doubles
	longestPause  = 5 * time.Minute  // up to this
	rescanEvery   = 60 * time.Minute // finds what was not noticed
)

// inbox ingests what is put into the inbox bucket. Notices of it are hints: those
// that there is no room for, and those whose object could not be ingested, are
// made up for by a rescan.
type inbox struct {
	log     *slog.Logger
	notices chan string   // keys
	missed  chan struct{} // holds one when a notice was dropped
}

func newInbox(log *slog.Logger) *inbox {
	return &inbox{log: log, notices: make(chan string, noticesKept), missed: make(chan struct{}, 1)}
}

// notice tells of an object that was stored. It never waits.
func (b *inbox) notice(bucket, key string) {
	if bucket != inboxBucket || !strings.HasPrefix(key, ingest.IncomingPrefix) {
		return
	}
	select {
	case b.notices <- key:
	default:
		select {
		case b.missed <- struct{}{}:
		default: // it is known already
		}
	}
}

// run ingests until ctx ends. It begins with what is there: an earlier process may
// have ended before it was done.
func (b *inbox) run(ctx context.Context, i *ingest.Ingester) {
	next := time.NewTimer(0)
	defer next.Stop()
	for pause := firstPause; ctx.Err() == nil; {
		done := true
		select {
		case <-ctx.Done():
			return
		case key := <-b.notices:
			done = b.ingest(ctx, i, key)
		case <-b.missed:
			done = b.rescan(ctx, i)
		case <-next.C:
			if done = b.rescan(ctx, i); done {
				pause = firstPause
				next.Reset(rescanEvery)
			}
		}
		if !done {
			next.Reset(pause)
			pause = min(2*pause, longestPause)
		}
	}
}

// ingest takes up a key and those that were noticed meanwhile.
func (b *inbox) ingest(ctx context.Context, i *ingest.Ingester, key string) (done bool) {
	notices := []ingest.Notice{{Bucket: inboxBucket, Key: key}}
	for len(notices) < noticesAtOnce && len(b.notices) > 0 {
		notices = append(notices, ingest.Notice{Bucket: inboxBucket, Key: <-b.notices})
	}
	done = true
	count := map[ingest.State]int{}
	for n, o := range i.Ingest(ctx, notices) {
		count[o.State]++
		switch o.State {
		case ingest.Rejected:
			b.log.Warn("an object of the inbox was rejected", "key", notices[n].Key, "code", fault.CodeOf(o.Err))
		case ingest.Failed:
			done = false
			b.complain(ctx, o.Err)
		}
	}
	b.log.Info("ingested", "outcomes", count)
	return done
}

// rescan takes up all that is in the inbox.
func (b *inbox) rescan(ctx context.Context, i *ingest.Ingester) (done bool) {
	count, err := i.Rescan(ctx, 0, 0)
	if err != nil {
		b.complain(ctx, err)
	} else if len(count) > 0 {
		b.log.Info("looked through the inbox", "outcomes", count)
	}
	return err == nil
}

func (b *inbox) complain(ctx context.Context, err error) {
	if ctx.Err() == nil { // the server isn't stopping
		b.log.Error("ingesting failed, and is tried again", "error", err)
	}
}
