package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

// purgeEvery is how often a server looks for deleted datasets that nobody told it
// of: those of which it is time for the last look.
const purgeEvery = 15 * time.Minute

// purging removes what deleted datasets leave behind, while the server runs.
type purging struct {
	purger *dataset.Purger
	log    *slog.Logger
	wanted chan struct{} // holds one wish
}

func newPurging(purger *dataset.Purger, log *slog.Logger) *purging {
	return &purging{purger: purger, log: log, wanted: make(chan struct{}, 1)}
}

// want has a purge begin, at once or when the present one ends. It does not wait.
func (p *purging) want() {
	select {
	case p.wanted <- struct{}{}:
	default: // it is wanted already
	}
}

// run purges until ctx is done: what the last process left, and then whenever it is
// wanted. A purge that ctx ends is continued by the next process.
func (p *purging) run(ctx context.Context) {
	ticks := time.NewTicker(purgeEvery)
	defer ticks.Stop()
	for {
		done, err := p.purger.Purge(ctx)
		if err != nil {
			p.log.Error("purging deleted datasets", "error", err)
		}
		if done != (dataset.Purged{}) {
			p.log.Info("purged deleted datasets", "files", done.Files, "uploads", done.Uploads, "datasets", done.Datasets)
		}
		select {
		case <-p.wanted:
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}
