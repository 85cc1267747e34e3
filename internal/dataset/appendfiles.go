package dataset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/schema"
)

// MaxAppendList is the most uploads that AppendUploads takes.
const MaxAppendList = 1000

// AppendingUploads is the answer to AppendUploads.
type AppendingUploads struct {
	Files    []File // of all uploads of the list, in its order
	Replayed bool   // earlier requests had appended all of them
}

// AppendUploads appends finished uploads in the order given: all or none up to
// MaxAppendUploads (fewer if tags and aliases come with them, see AppendWeight), a
// longer list in runs of as many, each of which makes a longer
// prefix of the list. A list is continued where an earlier request stopped: uploads
// at its beginning that are appended already, in its order, count as done.
//
// Everything that can be known is checked before the first run. A refusal names
// the file and its upload, and has the detail "appended_count": how many of the
// list, from its beginning, are in the dataset.
// Errors: CodeForbidden, CodeInvalidRequest, CodeUploadNotFound, CodeUploadClosed,
// CodeUploadIncomplete, and those of Catalog.Append.
func (s *Service) AppendUploads(ctx context.Context, who keys.Principal, datasetID string, ids []string, idempotencyKey string) (AppendingUploads, error) {
	if err := authorize(who, keys.ScopeWrite, datasetID); err != nil {
		return AppendingUploads{}, err
	}
	uploads, err := s.uploadsToAppend(ctx, who, datasetID, ids)
	if err != nil {
		return AppendingUploads{}, err
	}
	done := appendedPrefix(uploads)
	idem := idempotency(idempotencyKey, append([]string{"append files", datasetID}, ids...)...)
	if done > 0 {
		idem = Idempotency{} // the first run had the key
	}
	all := AppendingUploads{Replayed: done == len(uploads)}
	for _, u := range uploads[:done] {
		all.Files = append(all.Files, u.File())
	}
	if err := s.checkRest(ctx, who, uploads[done:], datasetID); err != nil {
		return AppendingUploads{}, withProgress(err, done)
	}
	var shared schema.Schema
	if done < len(uploads) {
		if shared, err = s.uploads.UploadSchema(ctx, who.Tenant, uploads[done].ID); err != nil {
			return AppendingUploads{}, withProgress(err, done)
		}
	}
	for done < len(uploads) {
		run := uploads[done : done+runLength(uploads[done:])]
		files, err := s.appendUploads(ctx, who, run, shared, idem)
		if err != nil {
			return AppendingUploads{}, withProgress(err, done)
		}
		all.Files, idem = append(all.Files, files...), Idempotency{}
		done += len(run)
	}
	return all, nil
}

// withProgress has an error tell how far an append in runs has come.
func withProgress(err error, done int) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		f = fault.Internal("appending uploads", err)
	}
	return f.With("appended_count", done)
}

// uploadsToAppend reads the uploads of a list.
func (s *Service) uploadsToAppend(ctx context.Context, who keys.Principal, datasetID string, ids []string) ([]Upload, error) {
	if len(ids) == 0 || len(ids) > MaxAppendList {
		return nil, fault.Newf(fault.CodeInvalidRequest, "Append a longer list in several requests, in order.",
			"One request appends 1 to %d uploads, not %d.", MaxAppendList, len(ids))
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			return nil, fault.New(fault.CodeInvalidRequest, "An upload is in the list twice.", "Name every upload once.").With("upload_id", id)
		}
		seen[id] = true
	}
	uploads, err := s.uploads.UploadsByID(ctx, who.Tenant, ids)
	if err != nil {
		return nil, err
	}
	// After the uploads, some of which are gone when the dataset is being purged.
	if err := s.catalog.Exists(ctx, who.Tenant, datasetID); err != nil {
		return nil, err
	}
	for n, id := range ids {
		if n >= len(uploads) || uploads[n].ID != id || uploads[n].DatasetID != datasetID {
			return nil, ErrUploadNotFound(id).With("appended_count", appendedPrefix(uploads[:min(n, len(uploads))]))
		}
	}
	return uploads, nil
}

// appendedPrefix counts the uploads at the beginning that are appended in order.
func appendedPrefix(uploads []Upload) int {
	for n, u := range uploads {
		if u.State != UploadAppended || n > 0 && u.Position <= uploads[n-1].Position {
			return n
		}
	}
	return len(uploads)
}

// checkRest finds what is wrong with uploads before any of them is appended.
func (s *Service) checkRest(ctx context.Context, who keys.Principal, rest []Upload, datasetID string) error {
	names := make(map[string]bool, len(rest))
	for _, u := range rest {
		if err := CheckUpload(u, datasetID, s.now()); err != nil {
			return err
		}
		if names[u.FileName] {
			return ofUpload(ErrFileExists(u.FileName), u)
		}
		names[u.FileName] = true
		if u.SchemaKey != rest[0].SchemaKey {
			return s.mismatchWithin(ctx, who, rest[0], u)
		}
	}
	return nil
}

// mismatchWithin is the refusal of an upload whose schema is not that of the
// first in its list.
func (s *Service) mismatchWithin(ctx context.Context, who keys.Principal, first, other Upload) error {
	want, err := s.uploads.UploadSchema(ctx, who.Tenant, first.ID)
	if err != nil {
		return err
	}
	found, err := s.uploads.UploadSchema(ctx, who.Tenant, other.ID)
	if err != nil {
		return err
	}
	return ofUpload(Mismatch(want, found, first.FileName), other)
}

// runLength is how many uploads from the first fit into one append.
func runLength(uploads []Upload) int {
	weight := 0
	for n, u := range uploads {
		weight += AppendWeight(u.Info())
		if n == MaxAppendUploads || n > 0 && weight > MaxAppendWeight {
			return n
		}
	}
	return len(uploads)
}

// appendUploads appends uploads of one schema in one step.
func (s *Service) appendUploads(ctx context.Context, who keys.Principal, run []Upload, shared schema.Schema, idem Idempotency) ([]File, error) {
	a := Append{Tenant: who.Tenant, DatasetID: run[0].DatasetID, Schema: shared, Idempotency: idem}
	now := s.now().UTC().Truncate(time.Microsecond)
	infos, said := make([]asset.Info, 0, len(run)), false
	for _, u := range run {
		f := u.File()
		f.UploadedAt = now
		a.Files, a.Uploads = append(a.Files, f), append(a.Uploads, u.ID)
		infos = append(infos, u.Info())
		said = said || !u.Info().Empty()
	}
	if said {
		a.Infos = infos
	}
	appended, err := s.catalog.Append(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("appending %d uploads to %s: %w", len(run), a.DatasetID, blame(err, run))
	}
	return appended.Files, nil
}

// blame has a refusal of an append name the upload that it is about: the one
// whose name is taken, or the first when the schema they share is refused.
func blame(err error, run []Upload) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	switch f.Code {
	case fault.CodeSchemaMismatch:
		return ofUpload(stillComplete(f), run[0])
	case fault.CodeAliasTaken:
		for _, u := range run {
			if u.Info().Alias == f.Details["alias"] {
				return ofUpload(stillComplete(f), u)
			}
		}
	case fault.CodeFileExists:
		for _, u := range run {
			if u.FileName == f.Details["file_name"] {
				return ofUpload(stillComplete(f), u)
			}
		}
	}
	return err
}

// stillComplete has a refusal say what becomes of the bytes that have arrived.
func stillComplete(f *fault.Error) *fault.Error {
	c := *f
	c.Hint = strings.TrimSpace(f.Hint + " The upload stays complete until its time is over; abort-upload removes its bytes.")
	return &c
}

// appendOne appends an upload by itself.
func (s *Service) appendOne(ctx context.Context, who keys.Principal, u Upload, shared schema.Schema, idem Idempotency) (Upload, error) {
	files, err := s.appendUploads(ctx, who, []Upload{u}, shared, idem)
	if err != nil {
		return Upload{}, err
	}
	u.State, u.Position, u.UploadedAt = UploadAppended, files[0].Position, files[0].UploadedAt
	return u, nil
}
