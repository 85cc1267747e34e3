package dataset

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
)

// DeletedDataset is a dataset that was deleted and is still to be purged.
type DeletedDataset struct {
	Tenant    string
	ID        string
	DeletedAt time.Time // UTC
}

// Remnant is what a deleted dataset still has of a file, whether it was listed
// to the end or deleted before that.
type Remnant struct {
	FileID    string
	ObjectKey string
	Name      string // "" when the name is not among what is there
	Position  int64  // -1 when the position is not among what is there
}

// Purges is what a catalog has of deleted datasets. Nobody else can reach it, and
// nothing is added to it but by what was under way when the dataset was deleted.
//
// Every method may be repeated, and called by several callers at once: what is
// there no more was removed before.
type Purges interface {
	// DeletedDatasets returns up to limit datasets that were deleted and not
	// purged to the end, of all tenants, the one deleted first at the beginning,
	// that come after one (the zero value for the first page). Fewer than limit
	// are all that there are.
	DeletedDatasets(ctx context.Context, after DeletedDataset, limit int) ([]DeletedDataset, error)

	// Remnants returns up to limit files that a deleted dataset has left; none
	// means that there is none.
	Remnants(ctx context.Context, d DeletedDataset, limit int) ([]Remnant, error)

	// RemoveRemnants removes all that the catalog has of some files, whose objects
	// are gone. Remnants names a file until nothing is left of it, wherever a
	// removal stopped.
	RemoveRemnants(ctx context.Context, d DeletedDataset, files []Remnant) error

	// RemainingUploads returns up to limit uploads that a deleted dataset has left;
	// none means that there is none. Of one that was removed in part it may know no
	// more than the id.
	RemainingUploads(ctx context.Context, d DeletedDataset, limit int) ([]Upload, error)

	// RemoveUploads removes all that the catalog has of some uploads, whose bytes
	// are gone. RemainingUploads names an upload until nothing is left of it.
	RemoveUploads(ctx context.Context, d DeletedDataset, uploads []Upload) error

	// RemoveInfos removes what was said of up to limit files of a deleted dataset, and
	// returns of how many; fewer than limit means that nothing is left. It comes
	// before the files: what is said of one is found by its record.
	RemoveInfos(ctx context.Context, d DeletedDataset, limit int) (int, error)

	// EndPurge removes the rest: the schema, the name, the metadata, and at last the
	// dataset from DeletedDatasets. What stays for ever is that the id was used.
	EndPurge(ctx context.Context, d DeletedDataset) error
}

// Disposal is the part of Sweepable that removes.
type Disposal interface {
	DeleteMany(ctx context.Context, keys []string) error
	AbortParts(ctx context.Context, key, id string) error
}

// What a Purger does at once.
const (
	purgedDatasets = 100        // asked for at once
	purgedFiles    = MaxDeleted // in one step
	purgedUploads  = 100        // in one step
	purgedInfos    = 100        // in one step

	maxPurgeErrors = 10 // kept of one Purge
)

// SettleTime is how long after its deletion a dataset is looked at once more, for
// what had been under way then: a request that was being answered, or a
// transaction of DynamoDB's of which a query did not see all items yet. Those take
// seconds, and a function 15 minutes at most; the rest is for clocks that are wrong.
const SettleTime = time.Hour

// Purger removes what deleted datasets leave behind: the objects first, then what
// the catalog has of them, so that whatever it stops at is found again. It works
// in small steps, each of which may be repeated, and keeps no state but the
// catalog's: a Purger that was cut off is continued by any other, also by one that
// ran beside it all the time.
type Purger struct {
	catalog Purges
	uploads Uploads
	objects Disposal
	now     func() time.Time
}

// NewPurger returns a purger. now tells the time; nil means time.Now.
func NewPurger(catalog Purges, uploads Uploads, objects Disposal, now func() time.Time) *Purger {
	if now == nil {
		now = time.Now
	}
	return &Purger{catalog: catalog, uploads: uploads, objects: objects, now: now}
}

// Purged is what a Purger got done.
type Purged struct {
	Datasets int // purged to the end
	Files    int // removed; one that was removed in two tries counts twice
	Uploads  int // removed
}

// Purge goes through the deleted datasets until everything that can be removed now
// is gone, or until ctx is done, which is no error. What a dataset fails with does
// not keep it from the others; the first maxPurgeErrors of them are joined.
func (p *Purger) Purge(ctx context.Context) (Purged, error) {
	var all Purged
	var errs []error
	for after, more := (DeletedDataset{}), true; more; {
		page, err := p.catalog.DeletedDatasets(ctx, after, purgedDatasets)
		if err != nil {
			return all, p.unless(ctx, errors.Join(append(errs, fmt.Errorf("looking for deleted datasets: %w", err))...))
		}
		for _, d := range page {
			err := p.purge(ctx, d, &all)
			if ctx.Err() != nil {
				return all, nil
			}
			if err != nil && len(errs) < maxPurgeErrors {
				errs = append(errs, fmt.Errorf("purging %s of %s: %w", d.ID, d.Tenant, err))
			}
			after = d
		}
		more = len(page) == purgedDatasets
	}
	return all, errors.Join(errs...)
}

// unless drops an error that only says that ctx is done.
func (p *Purger) unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// purge removes what there is of one dataset, and ends it when this is the last
// look.
func (p *Purger) purge(ctx context.Context, d DeletedDataset, sum *Purged) error {
	last := !p.now().Before(d.DeletedAt.Add(SettleTime)) // before looking: what comes later is seen by the next
	// An upload that was appended has its record in common with its file, so the
	// uploads are looked for while the files are there.
	if err := p.purgeUploads(ctx, d, sum); err != nil {
		return err
	}
	if err := p.purgeInfos(ctx, d); err != nil {
		return err
	}
	if err := p.purgeFiles(ctx, d, sum); err != nil {
		return err
	}
	if !last {
		return nil
	}
	if err := p.catalog.EndPurge(ctx, d); err != nil {
		return fmt.Errorf("ending: %w", err)
	}
	sum.Datasets++
	return nil
}

func (p *Purger) purgeInfos(ctx context.Context, d DeletedDataset) error {
	for {
		n, err := p.catalog.RemoveInfos(ctx, d, purgedInfos)
		if err != nil {
			return fmt.Errorf("removing what was said of files: %w", err)
		}
		if n < purgedInfos {
			return nil
		}
	}
}

func (p *Purger) purgeFiles(ctx context.Context, d DeletedDataset, sum *Purged) error {
	for {
		files, err := p.catalog.Remnants(ctx, d, purgedFiles)
		if err != nil || len(files) == 0 {
			return err
		}
		keys := make([]string, len(files))
		for i, f := range files {
			keys[i] = f.ObjectKey
		}
		if err := p.objects.DeleteMany(ctx, keys); err != nil {
			return fmt.Errorf("removing %d objects: %w", len(keys), err)
		}
		if err := p.catalog.RemoveRemnants(ctx, d, files); err != nil {
			return fmt.Errorf("removing %d files: %w", len(files), err)
		}
		sum.Files += len(files)
	}
}

func (p *Purger) purgeUploads(ctx context.Context, d DeletedDataset, sum *Purged) error {
	for {
		uploads, err := p.catalog.RemainingUploads(ctx, d, purgedUploads)
		if err != nil || len(uploads) == 0 {
			return err
		}
		if err := p.removeBytes(ctx, d, uploads); err != nil {
			return err
		}
		if err := p.catalog.RemoveUploads(ctx, d, uploads); err != nil {
			return fmt.Errorf("removing %d uploads: %w", len(uploads), err)
		}
		sum.Uploads += len(uploads)
	}
}

// removeBytes claims uploads, as whoever removes their bytes has to, and removes
// the bytes. An appended one has none but its file's.
func (p *Purger) removeBytes(ctx context.Context, d DeletedDataset, uploads []Upload) error {
	var keys []string
	for _, u := range uploads {
		if u.State == UploadAppended || u.ObjectKey == "" {
			continue
		}
		_, err := p.uploads.AbortUpload(ctx, d.Tenant, u.ID)
		if fault.Is(err, fault.CodeUploadNotFound) || fault.Is(err, fault.CodeUploadClosed) {
			continue // another one removed it, or it was appended just before the end
		}
		if err != nil {
			return fmt.Errorf("claiming %s: %w", u.ID, err)
		}
		if err := p.objects.AbortParts(ctx, u.ObjectKey, u.PartsID); err != nil {
			return fmt.Errorf("removing the parts of %s: %w", u.ID, err)
		}
		keys = append(keys, u.ObjectKey)
	}
	if len(keys) == 0 {
		return nil
	}
	if err := p.objects.DeleteMany(ctx, keys); err != nil {
		return fmt.Errorf("removing the objects of %d uploads: %w", len(keys), err)
	}
	return nil
}
