package server

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
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
	noteTime   = 10 * time.Second // for the catalog's part of the mark at the end
)

func (s Sweeping) withDefaults() Sweeping {
	if s == (Sweeping{}) {
		return Sweeping{First: firstSweep, Every: sweepEvery, Timing: sweep.DefaultTiming()}
	}
	return s
}

// markFile keeps the sweeper's mark beside the objects of a data folder, where a
// catalog that is put back from a copy leaves it as it is.
type markFile string

func (dataDir markFile) path() string { return filepath.Join(string(dataDir), "objects", "MARK") }

// Mark implements sweep.Witness.
func (dataDir markFile) Mark(context.Context) (string, error) {
	mark, err := os.ReadFile(dataDir.path())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(mark), err
}

// SetMark implements sweep.Witness.
func (dataDir markFile) SetMark(_ context.Context, mark string) error {
	return writePrivate(dataDir.path(), mark)
}

// noteEnd has what was appended since the last sweep be newer than every copy of
// the catalog that was made meanwhile.
func (s *stores) noteEnd(ctx context.Context, sweeper *sweep.Sweeper) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := sweeper.Prepare(ctx); err != nil {
		s.log.Warn("noting that the server ends", "error", err)
	}
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
