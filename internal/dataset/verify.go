package dataset

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// What can be wrong with a file's object.
const (
	ProblemMissing  = "missing"  // there is no object
	ProblemSize     = "size"     // the object has another size
	ProblemChecksum = "checksum" // the store's checksum of the object is another one
)

// Problem is a file whose object is not the one that was appended.
type Problem struct {
	File File
	What string
}

// Verification is what Verify found.
type Verification struct {
	Checked  int       // files
	Problems []Problem // in order
	More     bool      // true when there are positions from Next on
	Next     int64     // where to go on; set when More is
}

// Bounds of one Verify. It ends in time for every caller to read what it found.
const (
	MaxVerified  = 10_000           // files
	maxProblems  = 100              // the last one ends it, so that none goes untold
	verifyTime   = 15 * time.Second // after which no other page begins
	verifyPage   = 500              // files
	verifyAtOnce = 32               // questions to the store
)

// Verify asks the store about the objects of up to limit files, from a position
// on: whether they are there, with the size and the checksum that were noted when
// they were appended. It reads no bytes; the store answers for those.
// Errors: CodeForbidden, CodeDatasetNotFound, CodeUnavailable.
func (s *Service) Verify(ctx context.Context, who keys.Principal, datasetID string, from int64, limit int) (Verification, error) {
	if err := authorize(who, keys.ScopeRead, datasetID); err != nil {
		return Verification{}, err
	}
	v := Verification{More: true, Next: from}
	for deadline := s.now().Add(verifyTime); v.More && v.Checked < limit && len(v.Problems) < maxProblems && s.now().Before(deadline); {
		page, err := s.catalog.Files(ctx, who.Tenant, datasetID, v.Next, min(verifyPage, limit-v.Checked))
		if err != nil {
			return Verification{}, err
		}
		wrong, err := s.ask(ctx, who.Tenant, datasetID, page.Files)
		if err != nil {
			return Verification{}, fmt.Errorf("verifying %s: %w", datasetID, err)
		}
		v.add(page, wrong)
	}
	return v, nil
}

// add takes in what is wrong with the files of a page, up to the last problem
// that there is room for.
func (v *Verification) add(page FilePage, wrong []string) {
	for i, f := range page.Files {
		v.Checked++
		if wrong[i] == "" {
			continue
		}
		v.Problems = append(v.Problems, Problem{File: f, What: wrong[i]})
		if len(v.Problems) == maxProblems {
			v.Next = f.Position + 1
			v.More = v.Next < page.Dataset.NextPosition
			return
		}
	}
	v.More, v.Next = page.More, page.Next
}

// ask finds what is wrong with each of some files, "" for nothing.
func (s *Service) ask(ctx context.Context, tenant, datasetID string, files []File) ([]string, error) {
	wrong := make([]string, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(verifyAtOnce)
	for i, f := range files {
		group.Go(func() (err error) {
			wrong[i], err = s.askAbout(ctx, tenant, datasetID, f)
			return err
		})
	}
	return wrong, group.Wait()
}

func (s *Service) askAbout(ctx context.Context, tenant, datasetID string, f File) (wrong string, err error) {
	have, err := s.objects.Stat(ctx, f.ObjectKey)
	switch {
	case fault.Is(err, fault.CodeFileNotFound):
		now, err := s.catalog.File(ctx, tenant, datasetID, f.Name)
		if fault.Is(err, fault.CodeFileNotFound) || err == nil && now.ID != f.ID {
			return "", nil // it was deleted after it was listed
		}
		return ProblemMissing, err
	case err != nil:
		return "", err
	case have.SizeBytes != f.SizeBytes:
		return ProblemSize, nil
	case have.CRC64NVME != "" && have.CRC64NVME != f.CRC64NVME:
		return ProblemChecksum, nil
	}
	return "", nil
}
