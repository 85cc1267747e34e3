package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/footer"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/schema"
)

// Completing is the answer to CompleteUpload.
type Completing struct {
	Upload   Upload // appended, if it was to be
	Schema   schema.Schema
	Replayed bool // an earlier request had done all of it
}

// CompleteUpload makes the parts of an upload a file, checks its size, its
// checksum and its footer, and appends it unless andAppend is false; outside datasets,
// where there is no footer, it makes it the content of its asset. It may be
// repeated after any error and any lost answer: it goes on where the earlier try
// stopped, and answers what is done already. A file that can't be read as
// Parquet ends the upload; one that can't be appended stays complete.
// Errors: CodeForbidden, CodeUploadNotFound, CodeUploadClosed,
// CodeUploadIncomplete with the details "missing_parts" and "wrong_parts",
// CodeChecksumMismatch, those of footer.Read, and those of Catalog.Append and
// Assets.CommitAsset.
func (s *Service) CompleteUpload(ctx context.Context, who keys.Principal, id, checksum string, andAppend bool, idempotencyKey string) (Completing, error) {
	if err := CheckChecksum(checksum); err != nil {
		return Completing{}, err
	}
	u, err := s.findUpload(ctx, who, keys.ScopeWrite, id)
	if err != nil {
		return Completing{}, err
	}
	if checksum, err = oneChecksum(u, checksum); err != nil {
		return Completing{}, err
	}
	done := Completing{Upload: u, Replayed: u.State == UploadAppended || u.State == UploadComplete && !andAppend}
	if u.State == UploadOpen && !u.Expired(s.now()) {
		done.Upload, done.Schema, err = s.assemble(ctx, who, u, checksum)
		if err != nil {
			return Completing{}, s.abortedMeanwhile(ctx, who, u, err)
		}
	} else if done.Schema, err = s.completeBefore(ctx, who, u, checksum); err != nil {
		return Completing{}, err
	}
	if done.Upload.State == UploadAppended || !andAppend {
		return done, nil
	}
	if done.Upload.OutsideDatasets() {
		done.Upload, err = s.commit(ctx, who, done.Upload)
		return done, err
	}
	idem := idempotency(idempotencyKey, "complete upload", id)
	done.Upload, err = s.appendOne(ctx, who, done.Upload, done.Schema, idem)
	return done, err
}

// abortedMeanwhile names the error of completing an upload when an abort had won,
// which the catalog knows, and removes its object: the abort may have looked for
// it too early. An upload that the catalog no longer knows went with its dataset.
func (s *Service) abortedMeanwhile(ctx context.Context, who keys.Principal, u Upload, err error) error {
	if AboutTheFile(err) {
		return err // it was reject that aborted the upload
	}
	now, lookErr := s.uploads.Upload(ctx, who.Tenant, u.ID)
	if fault.Is(lookErr, fault.CodeUploadNotFound) {
		return errors.Join(lookErr, err, s.removeAborted(ctx, u))
	}
	if lookErr != nil || now.State != UploadAborted {
		return err
	}
	return errors.Join(ErrUploadClosed(now, s.now()), err, s.removeAborted(ctx, now))
}

// oneChecksum is the checksum that a caller gave, before or now.
func oneChecksum(u Upload, given string) (string, error) {
	if given != "" && u.Checksum != "" && given != u.Checksum {
		return "", ofUpload(fault.New(fault.CodeChecksumMismatch, "The checksum is not the one that create-upload was given.",
			"Leave it out, or give the same one."), u)
	}
	if given == "" {
		return u.Checksum, nil
	}
	return given, nil
}

// completeBefore returns the schema of an upload that is past being assembled.
func (s *Service) completeBefore(ctx context.Context, who keys.Principal, u Upload, checksum string) (schema.Schema, error) {
	if u.State == UploadAborted || u.Expired(s.now()) {
		return schema.Schema{}, ErrUploadClosed(u, s.now())
	}
	if checksum != "" && checksum != u.CRC64NVME {
		return schema.Schema{}, errOtherChecksum(u)
	}
	if u.OutsideDatasets() {
		return schema.Schema{}, nil
	}
	return s.uploads.UploadSchema(ctx, who.Tenant, u.ID)
}

func errOtherChecksum(u Upload) error {
	return ofUpload(fault.New(fault.CodeChecksumMismatch, "The file that arrived has another checksum than the one that was given.",
		"It can't be changed any more: abort the upload and begin a new one, or check the checksum."), u)
}

// assemble makes the parts the object, checks it, and notes that it is complete.
func (s *Service) assemble(ctx context.Context, who keys.Principal, u Upload, checksum string) (Upload, schema.Schema, error) {
	stored, err := s.completeParts(ctx, u, checksum)
	if err != nil {
		return Upload{}, schema.Schema{}, err
	}
	if stored.SizeBytes != u.SizeBytes || stored.CRC64NVME == "" {
		return Upload{}, schema.Schema{}, fault.Internal("completing "+u.ID, errors.New("the object has another size than its parts, or no checksum"))
	}
	if checksum != "" && checksum != stored.CRC64NVME {
		return Upload{}, schema.Schema{}, errOtherChecksum(u)
	}
	var info footer.Info
	if !u.OutsideDatasets() {
		if info, err = ReadFooter(ctx, s.opener(u.ObjectKey), u.SizeBytes); err != nil {
			return Upload{}, schema.Schema{}, s.reject(ctx, who, u, err)
		}
	}
	completed, err := s.uploads.CompleteUpload(ctx, who.Tenant, u.ID, Completion{
		CRC64NVME: stored.CRC64NVME, RowCount: info.NumRows, Schema: info.Schema, ExpiresAt: s.now().UTC().Add(UploadLifetime),
	})
	switch {
	case err == nil:
		return completed, info.Schema, nil
	case fault.Is(err, fault.CodeParquetLimit):
		err = s.reject(ctx, who, u, err)
	}
	return Upload{}, schema.Schema{}, fmt.Errorf("completing %s: %w", u.ID, err)
}

// completeParts makes the parts the object, unless an earlier try did, or the file
// came as one.
func (s *Service) completeParts(ctx context.Context, u Upload, checksum string) (Stored, error) {
	arrived, err := s.arrived(ctx, u, 0, MaxParts)
	if err == nil && u.Whole() {
		if err := checkArrived(u, arrived); err != nil {
			return Stored{}, err
		}
		return Stored{SizeBytes: arrived[0].SizeBytes, CRC64NVME: arrived[0].CRC64NVME}, nil
	}
	if err == nil {
		if err := checkArrived(u, arrived); err != nil {
			return Stored{}, err
		}
		var stored Stored
		stored, err = s.parts.CompleteParts(ctx, u.ObjectKey, u.PartsID, arrived[:u.PartCount()], Stored{SizeBytes: u.SizeBytes, CRC64NVME: checksum})
		if err == nil {
			return stored, nil
		}
	}
	switch fault.CodeOf(err) {
	case fault.CodeChecksumMismatch, fault.CodeUploadIncomplete:
		var f *fault.Error
		errors.As(err, &f) // it is one
		return Stored{}, ofUpload(f, u)
	case fault.CodeUploadNotFound, fault.CodeConflict:
		return s.completedBefore(ctx, u, err)
	}
	return Stored{}, fmt.Errorf("completing the parts of %s: %w", u.ID, err)
}

// completedBefore describes the object that an earlier try made, whose answer
// was lost.
func (s *Service) completedBefore(ctx context.Context, u Upload, why error) (Stored, error) {
	stored, err := s.parts.Joined(ctx, u.ObjectKey)
	if fault.Is(err, fault.CodeFileNotFound) {
		return Stored{}, ofUpload(fault.New(fault.CodeUnavailable, "The upload's parts are not there at the moment.",
			"Another request may be completing it: try again after some seconds. If this goes on, abort the upload and begin a new one."), u).Because(why)
	}
	if err != nil {
		return Stored{}, fmt.Errorf("looking for the object of %s: %w", u.ID, err)
	}
	return stored, nil
}

// partsTold bounds the parts that a refusal lists.
const partsTold = 1000

// checkArrived sees that every part is there with its size.
func checkArrived(u Upload, arrived []Part) error {
	sizes := make(map[int]int64, len(arrived))
	for _, p := range arrived {
		sizes[p.Number] = p.SizeBytes
	}
	missing, wrong := []int{}, []int{}
	for number := 1; number <= u.PartCount(); number++ {
		switch size, ok := sizes[number]; {
		case !ok:
			missing = append(missing, number)
		case size != u.PartBytes(number):
			wrong = append(wrong, number)
		}
	}
	if len(missing)+len(wrong) == 0 {
		return nil
	}
	e := fault.Newf(fault.CodeUploadIncomplete, "Send those parts, then complete the upload again; get-upload gives their URLs.",
		"Of %d parts %d have not arrived and %d have another size than they should.", u.PartCount(), len(missing), len(wrong))
	return ofUpload(e.With("missing_parts", missing[:min(len(missing), partsTold)]).With("wrong_parts", wrong[:min(len(wrong), partsTold)]), u)
}

// headBytes is as much of a file's beginning as it takes to guess what it is
// when it is no Parquet.
const headBytes = 512

// smallObject is a size that footer.Read reads whole, and looks at the beginning
// of by itself.
const smallObject = 64 << 10

// ReadFooter checks an object's first bytes and its footer: two ranged reads,
// and a third for a footer of more than 64 KiB, whatever the object's size. A small
// object is one read.
// Errors: those of open and of footer.Read.
func ReadFooter(ctx context.Context, open Opener, size int64) (footer.Info, error) {
	object := open.readerAt(ctx)
	if size <= smallObject {
		return footer.Read(object, size)
	}
	head := make([]byte, headBytes)
	if n, err := object.ReadAt(head, 0); n < len(head) { // the object is longer: the connection was cut
		return footer.Info{}, fmt.Errorf("reading the beginning of an object: %w", cmp.Or(err, io.ErrUnexpectedEOF))
	}
	if err := footer.CheckHead(head); err != nil {
		return footer.Info{}, err
	}
	return footer.Read(object, size)
}

// opener opens parts of one object.
func (s *Service) opener(key string) Opener {
	return func(ctx context.Context, part Range) (io.ReadCloser, error) { return s.objects.Get(ctx, key, part) }
}

// AboutTheFile reports an error that says that no dataset can hold a file.
func AboutTheFile(err error) bool {
	switch fault.CodeOf(err) {
	case fault.CodeNotParquet, fault.CodeTruncatedParquet, fault.CodeInvalidParquet,
		fault.CodeEncryptedParquet, fault.CodeParquetLimit, fault.CodeUnsupportedParquet:
		return true
	}
	return false
}

// reject ends an upload whose file no dataset can hold. An error that says
// nothing about the file leaves it as it is.
func (s *Service) reject(ctx context.Context, who keys.Principal, u Upload, why error) error {
	if !AboutTheFile(why) {
		return fmt.Errorf("checking the footer of %s: %w", u.ID, why)
	}
	aborted, err := s.uploads.AbortUpload(ctx, who.Tenant, u.ID)
	if err != nil {
		return fmt.Errorf("giving %s up: %w", u.ID, errors.Join(err, why))
	}
	_ = s.removeAborted(ctx, aborted) // what stays behind nobody refers to, and the sweeper removes it
	var f *fault.Error
	errors.As(why, &f) // it is one
	return ofUpload(f.With("state", string(UploadAborted)), u)
}
