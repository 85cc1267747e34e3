package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// PresignedFor is how long a download's URL works. It is made when it is asked
// for and used at once; it bounds the start of the transfer, not its length.
const PresignedFor = 5 * time.Minute

// File returns the file with a name.
// Errors: CodeForbidden, CodeDatasetNotFound, CodeFileNotFound.
func (s *Service) File(ctx context.Context, who keys.Principal, datasetID, name string) (File, error) {
	if err := authorize(who, keys.ScopeRead, datasetID); err != nil {
		return File{}, err
	}
	if fileNameFault(name) != "" { // no file is called so
		if _, err := s.catalog.Dataset(ctx, who.Tenant, datasetID); err != nil {
			return File{}, err
		}
		return File{}, ErrFileNotFound()
	}
	return s.catalog.File(ctx, who.Tenant, datasetID, name)
}

// MostURLs is how many files' URLs are made in one request.
const MostURLs = 100

// lookups is how many files are looked up at once.
const lookups = 8

// FilesNamed returns the files with some names, in the order of the names; each has
// to be there.
// Errors: CodeForbidden, CodeInvalidRequest for no name or more than MostURLs of them,
// CodeDatasetNotFound, CodeFileNotFound with the detail "file_name".
func (s *Service) FilesNamed(ctx context.Context, who keys.Principal, datasetID string, names []string) ([]File, error) {
	if len(names) == 0 || len(names) > MostURLs {
		return nil, fault.Newf(fault.CodeInvalidRequest, "Send several requests.", "There are %d names, and there have to be 1 to %d.", len(names), MostURLs)
	}
	files := make([]File, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for i, name := range names {
		group.Go(func() (err error) {
			files[i], err = s.File(ctx, who, datasetID, name)
			var missing *fault.Error
			if fault.Is(err, fault.CodeFileNotFound) && errors.As(err, &missing) {
				return missing.With("file_name", name)
			}
			return err
		})
	}
	return files, group.Wait()
}

// Open returns a part of the bytes of a dataset's file; the caller closes them.
// All of them are checked on the way against the sum that they were stored with;
// a part can't be.
// Errors: CodeFileNotFound and CodeDatasetNotFound when the file was deleted
// since it was looked up.
func (s *Service) Open(ctx context.Context, who keys.Principal, datasetID string, f File, part Range) (io.ReadCloser, error) {
	body, err := s.open(ctx, f, part)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", f.ID, s.orDeleted(ctx, who, datasetID, f, err))
	}
	return body, nil
}

func (s *Service) open(ctx context.Context, f File, part Range) (io.ReadCloser, error) {
	if part.Offset == 0 && part.Length == f.SizeBytes {
		part = Range{} // the whole object
	}
	return s.objects.Get(ctx, f.ObjectKey, part)
}

// orDeleted is the answer to a read that failed with err: that the file was
// deleted, if it was. S3 says of an object that has gone that it is forbidden,
// to whoever may not list the bucket, and only the catalog can tell that from a
// right that is missing.
func (s *Service) orDeleted(ctx context.Context, who keys.Principal, datasetID string, f File, err error) error {
	now, lookup := s.catalog.File(ctx, who.Tenant, datasetID, f.Name)
	var gone *fault.Error
	switch {
	case lookup == nil && now.ID != f.ID:
		return ErrFileNotFound().Because(err)
	case errors.As(lookup, &gone) && (gone.Code == fault.CodeFileNotFound || gone.Code == fault.CodeDatasetNotFound):
		return gone.Because(err)
	}
	return err
}

// URL makes a URL that gives a file's bytes to whoever has it, and says until when.
func (s *Service) URL(ctx context.Context, f File) (url string, expires time.Time, err error) {
	expires = s.now().UTC().Add(PresignedFor).Truncate(time.Second)
	url, err = s.objects.PresignGet(ctx, f.ObjectKey, f.Name, PresignedFor)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("presigning %s: %w", f.ID, err)
	}
	return url, expires, nil
}
