package sweep

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

// taskName is what the catalog keeps the progress under.
const taskName = "sweep"

// progress is how far the sweeper is. A pass that is saved as finished up to some
// place was finished up to there by somebody, so that of two sweepers at a time
// the one that saves last only has some things looked at twice.
type progress struct {
	// Since is when the catalog was first swept, or found to have been replaced by
	// an older copy. Whatever is older, and unknown or of an upload that has not
	// been settled, is left alone: this catalog may not be the one that knows what
	// became of it. Without that, a store whose table was replaced by an empty one
	// would be emptied as well.
	Since time.Time `json:"since"`

	Mark string `json:"mark,omitempty"` // see Witness

	Last     time.Time `json:"last"`      // when the last finished pass began
	LastFull time.Time `json:"last_full"` // and the last that asked about every object, and in which nothing failed

	// The pass under way, if Started is not zero.
	Started time.Time `json:"started"`
	Full    bool      `json:"full"`
	Failed  bool      `json:"failed"`   // something was left, for the next pass, which is a full one
	PartsAt place     `json:"parts_at"` // behind which open parts are to be looked at
	Parts   bool      `json:"parts"`    // all open parts were
	After   string    `json:"after"`    // the key behind which objects are
}

// place is where a listing of open parts goes on.
type place struct{ Key, ID string }

// readProgress reads the progress; the zero one is of a catalog that was never
// swept.
func readProgress(ctx context.Context, catalog dataset.Progress) (p progress, err error) {
	state, err := catalog.Progress(ctx, taskName)
	if err == nil && state != nil {
		err = json.Unmarshal(state, &p)
	}
	if err != nil {
		return p, fmt.Errorf("reading how far the sweeper is: %w", err)
	}
	return p, nil
}

// load reads the progress, or begins it.
func (s *Sweeper) load(ctx context.Context) (*progress, error) {
	p, err := readProgress(ctx, s.catalog)
	if err != nil {
		return nil, err
	}
	if s.witness != nil {
		mark, err := s.witness.Mark(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the mark of the objects: %w", err)
		}
		if mark != p.Mark {
			p = progress{} // the catalog is not the one that they were swept with
		}
	}
	switch mark := p.Mark; {
	case p.Since.IsZero():
		p.Since = s.now().UTC().Truncate(time.Second) // as a store tells when an object was stored
		return &p, s.renew(ctx, &p)
	case s.witness != nil && s.renew(ctx, &p) != nil:
		// A full disk, perhaps. The old mark will do until the next time.
		p.Mark = mark
		_ = s.witness.SetMark(ctx, mark) // if they differ, all that is there is left alone
	}
	return &p, nil
}

// renew gives the objects and the catalog another mark.
func (s *Sweeper) renew(ctx context.Context, p *progress) error {
	if s.witness != nil {
		p.Mark = rand.Text()
		if err := s.witness.SetMark(ctx, p.Mark); err != nil {
			return fmt.Errorf("marking the objects: %w", err)
		}
	}
	return s.save(ctx, p)
}

func (s *Sweeper) save(ctx context.Context, p *progress) error {
	state, err := json.Marshal(p)
	if err == nil {
		err = s.catalog.SaveProgress(ctx, taskName, state)
	}
	if err != nil {
		return fmt.Errorf("saving how far the sweeper is: %w", err)
	}
	return nil
}

// begin begins a pass if none is under way and it is time. It reports whether one
// is under way then. What is noted of times to come was by a clock that was wrong:
// nothing would be swept until then, and by a pass from there nothing would be too
// young.
func (p *progress) begin(now time.Time, t Timing) bool {
	if soon := now.Add(expiryGrace); p.Last.After(soon) || p.LastFull.After(soon) || p.Started.After(soon) {
		*p = progress{Since: p.Since, Mark: p.Mark}
	}
	if !p.Started.IsZero() {
		return true
	}
	if now.Sub(p.Last) < t.Every {
		return false
	}
	*p = progress{
		Since: p.Since, Mark: p.Mark, Last: p.Last, LastFull: p.LastFull,
		Started: now.UTC(), Full: p.Last.IsZero() || now.Sub(p.LastFull) >= t.FullEvery,
	}
	return true
}

// finish ends the pass.
func (p *progress) finish() {
	p.Last = p.Started
	switch {
	case p.Failed:
		p.LastFull = time.Time{}
	case p.Full:
		p.LastFull = p.Started
	}
	p.Started = time.Time{}
}

// due reports whether the catalog is to be asked about an object in this pass. A
// full one asks about all that are old enough. Any other asks about an object when
// it has just become old enough, and when the time of the upload that it may be of
// is over since the last pass: that is a lifetime after it was completed, and at
// the latest two after it was created, which S3 says is when it was modified. What
// a full pass alone finds are the objects of files that were deleted, if a crash
// left them, and those that took longer than the grace to arrive.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
func (p *progress) due(modified time.Time, grace time.Duration) bool {
	if p.Full {
		return !modified.After(p.Started.Add(-grace))
	}
	for _, age := range []time.Duration{grace, dataset.UploadLifetime + grace, 2*dataset.UploadLifetime + grace} {
		if modified.After(p.Last.Add(-age)) && !modified.After(p.Started.Add(-age)) {
			return true
		}
	}
	return false
}
