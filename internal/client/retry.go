package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Retry says how what failed is tried again: after waits that grow and are drawn
// at random, so that many clients don't come back at once.
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
type Retry struct {
	First    time.Duration // upper bound of the first wait
	Most     time.Duration // upper bound of every wait
	Patience time.Duration // from the first failure; after it no new try begins
}

// The usual way: a laptop that was carried to another room goes on, and a server
// that is gone is given up after minutes.
const (
	usualFirst    = 200 * time.Millisecond
	usualMost     = 15 * time.Second
	usualPatience = 5 * time.Minute
)

func (r Retry) withDefaults() Retry {
	if r.First == 0 {
		r.First = usualFirst
	}
	if r.Most == 0 {
		r.Most = usualMost
	}
	if r.Patience == 0 {
		r.Patience = usualPatience
	}
	return r
}

// again marks an error after which the same may be tried again.
type again struct {
	error
	after time.Duration // at least
	most  int           // of such failures; 0 for as many as the patience has room for
}

func (a again) Unwrap() error { return a.error }

// Again marks an error after which the same may be tried again.
func Again(err error) error { return again{error: err} }

// AgainAfter is Again for an error that says how long to wait.
func AgainAfter(err error, wait time.Duration) error { return again{error: err, after: wait} }

// AgainFew is Again for an error that is likely to be there the next time: what has
// failed so many times with such errors is given up, however often it failed with
// others.
func AgainFew(err error, most int) error { return again{error: err, most: most} }

// Do calls try until it succeeds, fails with an error that isn't marked by
// Again, or the patience or the context ends. The error is the last try's,
// without its mark, or the context's.
func (r Retry) Do(ctx context.Context, try func(context.Context) error) error {
	r = r.withDefaults()
	bound := r.First
	var failing time.Time // since when
	for few := 0; ; {
		err := try(ctx)
		var repeat again
		if !errors.As(err, &repeat) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		now := time.Now()
		if failing.IsZero() {
			failing = now
		}
		if repeat.most > 0 {
			few++
		}
		wait := max(rand.N(bound), repeat.after) //nolint:gosec // no secret
		if now.Add(wait).Sub(failing) > r.Patience || repeat.most > 0 && few >= repeat.most {
			return repeat.error
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		bound = min(2*bound, r.Most)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
