package sweep

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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

	Mark    string `json:"mark,omitempty"`    // see Witness
	Next    string `json:"next,omitempty"`    // the mark that is about to be set in its place, or may have been
	Catalog string `json:"catalog,omitempty"` // the id of the catalog that this was noted in, if it has one

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
	noted, err := s.recognize(ctx, &p)
	if err != nil {
		return nil, err
	}
	switch {
	case p.Since.IsZero():
		p.Since = s.now().UTC().Truncate(time.Second) // as a store tells when an object was stored
		return &p, s.renew(ctx, &p)
	case !noted && s.perPass:
		return &p, s.renew(ctx, &p)
	case s.witness != nil && !s.perPass:
		_ = s.renew(ctx, &p) // a full disk, perhaps; the old mark will do until the next time
	}
	return &p, nil
}

// recognize finds out whether the catalog is the one that the objects were swept
// with. If it isn't, p becomes that of a catalog that was never swept. noted says
// that p has the catalog's id.
func (s *Sweeper) recognize(ctx context.Context, p *progress) (noted bool, err error) {
	mark, id := p.Mark, ""
	if s.witness != nil {
		if mark, err = s.witness.Mark(ctx); err != nil {
			return false, fmt.Errorf("reading the mark of the objects: %w", err)
		}
	}
	if s.id != nil {
		if id, err = s.id(ctx); err != nil {
			return false, fmt.Errorf("asking which catalog this is: %w", err)
		}
	}
	if mark != "" && mark == p.Next { // who set it ended before noting that
		p.Mark, p.Next = p.Next, ""
	}
	if mark != p.Mark || p.Catalog != "" && p.Catalog != id {
		*p = progress{}
	}
	noted = p.Catalog == id
	p.Catalog = id
	return noted, nil
}

// renew gives the objects and the catalog another mark: the catalog first notes
// which one it will be, then the objects get it. So whoever is cut off in between
// leaves two that are known to belong together, and so do two at once, who take the
// same one.
func (s *Sweeper) renew(ctx context.Context, p *progress) error {
	if s.witness == nil {
		return s.save(ctx, p)
	}
	p.Next = following(p.Mark)
	if err := s.save(ctx, p); err != nil {
		return err
	}
	if err := s.witness.SetMark(ctx, p.Next); err != nil {
		return fmt.Errorf("marking the objects: %w", err)
	}
	p.Mark, p.Next = p.Next, ""
	return s.save(ctx, p)
}

// following is the mark behind one; the first one has a text that no other row of
// marks begins with.
func following(mark string) string {
	row, number, _ := strings.Cut(mark, ".")
	n, err := strconv.Atoi(number)
	if row == "" {
		row = rand.Text()
	}
	if err != nil { // it is the first, or of a version without numbers
		n = 0
	}
	return fmt.Sprintf("%s.%d", row, n+1)
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

// begin begins a pass if none is under way and it is time, and reports whether it
// did. What is noted of times to come was by a clock that was wrong:
// nothing would be swept until then, and by a pass from there nothing would be too
// young.
func (p *progress) begin(now time.Time, t Timing) bool {
	if soon := now.Add(expiryGrace); p.Last.After(soon) || p.LastFull.After(soon) || p.Started.After(soon) {
		*p = progress{Since: p.Since, Mark: p.Mark, Next: p.Next, Catalog: p.Catalog}
	}
	if !p.Started.IsZero() || now.Sub(p.Last) < t.Every {
		return false
	}
	*p = progress{
		Since: p.Since, Mark: p.Mark, Next: p.Next, Catalog: p.Catalog, Last: p.Last, LastFull: p.LastFull,
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
