package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/parqueue/parqueue/internal/sweep"
)

// Sweeping says when the sweeper runs. The zero value means: a minute after the
// start and every 15 minutes, with sweep.DefaultTiming.
type Sweeping struct {
	First  time.Duration // after the start
	Every  time.Duration
	Timing sweep.Timing
}

const (
	firstSweep = time.Minute
	sweepEvery = 15 * time.Minute
	sweepTime  = 10 * time.Minute // of one run; a long pass takes several
)

func (s Sweeping) withDefaults() Sweeping {
	if s == (Sweeping{}) {
		return Sweeping{First: firstSweep, Every: sweepEvery, Timing: sweep.DefaultTiming()}
	}
	return s
}

// run runs a sweeper now and then until ctx is done.
func (s Sweeping) run(ctx context.Context, sweeper *sweep.Sweeper, log *slog.Logger) {
	timer := time.NewTimer(s.First)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		run, cancel := context.WithTimeout(ctx, sweepTime)
		report, err := sweeper.Sweep(run)
		cancel()
		switch {
		case ctx.Err() != nil: // the next start goes on
			return
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			log.Error("swept", "report", report, "error", err)
		case report.RemovedObjects+report.AbortedParts > 0:
			log.Info("swept", "report", report)
		}
		timer.Reset(s.Every)
	}
}
