package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/footer"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/schema"
)

// heldSize is the largest file that Receive holds in memory. A smaller one is
// checked before any byte of it is stored, so that refusing it leaves nothing
// behind. It covers everything that fits through API Gateway.
const heldSize = 5 << 20

// tailSize is how much of the end of a streamed file is kept to read its footer
// from; a longer footer is read back from the store.
const tailSize = 256 << 10

// Received is a file whose bytes have arrived and were found sound, and which
// is in no dataset yet. It ends in Append or Discard.
type Received struct {
	fileID    string
	objectKey string
	stored    Stored // zero while held
	held      []byte // the bytes, while they are not stored
	info      footer.Info
}

// Receive takes a file's bytes and checks its footer. atMost is an upper bound
// of its size if one is known, else -1. An error of body is returned as it is.
// Errors: CodeForbidden; those of footer.Read; CodeStorageFull.
func (s *Service) Receive(ctx context.Context, who keys.Principal, body io.Reader, atMost int64) (*Received, error) {
	if err := authorize(who, keys.ScopeWrite, ""); err != nil {
		return nil, err
	}
	id, err := newID(fileIDPrefix)
	if err != nil {
		return nil, err
	}
	r := &Received{fileID: id, objectKey: FileKey(who.Tenant, id)}
	head := bytes.NewBuffer(make([]byte, 0, min(heldSize, max(atMost, 512))+bytes.MinRead))
	if _, err := head.ReadFrom(io.LimitReader(body, heldSize+1)); err != nil {
		return nil, err
	}
	if head.Len() <= heldSize {
		r.held = head.Bytes()
		r.info, err = footer.Read(bytes.NewReader(r.held), int64(len(r.held)))
		return r, err
	}
	if err := footer.CheckHead(head.Bytes()); err != nil {
		return nil, err
	}
	return r, s.receiveLarge(ctx, r, io.MultiReader(head, body), atMost)
}

// receiveLarge streams a file to the store and reads its footer from what it
// kept of the end. A file that is refused is removed again.
func (s *Service) receiveLarge(ctx context.Context, r *Received, body io.Reader, atMost int64) error {
	tail := newTail(tailSize)
	stored, err := s.objects.Put(ctx, r.objectKey, io.TeeReader(body, tail), atMost)
	if err != nil {
		return err
	}
	r.stored = stored
	rest := NewReaderAt(ctx, s.objects, r.objectKey)
	r.info, err = footer.Read(tail.readerAt(rest), stored.SizeBytes)
	if err != nil {
		s.Discard(ctx, r)
		return err
	}
	return nil
}

// discardTime bounds the removal of an object, which goes on after the caller has
// gone.
const discardTime = 10 * time.Second

// Discard removes what Receive stored. When that fails an object stays behind
// that nothing refers to; the sweeper removes it.
func (s *Service) Discard(ctx context.Context, r *Received) {
	if r == nil || r.held != nil {
		return
	}
	s.remove(ctx, r.objectKey)
}

// remove deletes an object that nothing refers to. When that fails it stays, for
// the sweeper.
func (s *Service) remove(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	_ = s.objects.Delete(ctx, key)
}

// Appending is the answer to Append.
type Appending struct {
	File     File
	Replayed bool // an earlier request with the same Idempotency-Key did the work
}

// Append puts a received file at the end of a dataset, or discards it. When the
// catalog's answer is lost the file is kept, since it may be listed by now.
// Errors: CodeForbidden, CodeInvalidFileName, and those of Catalog.Append.
func (s *Service) Append(ctx context.Context, who keys.Principal, datasetID, name string, r *Received, idempotencyKey string) (Appending, error) {
	if err := s.mayAppend(who, datasetID, name); err != nil {
		s.Discard(ctx, r)
		return Appending{}, err
	}
	if err := s.store(ctx, r); err != nil {
		return Appending{}, err
	}
	appended, err := s.catalog.Append(ctx, Append{
		Tenant:    who.Tenant,
		DatasetID: datasetID,
		Files: []File{{
			ID: r.fileID, Name: name, SizeBytes: r.stored.SizeBytes, RowCount: r.info.NumRows,
			CRC64NVME: r.stored.CRC64NVME, ObjectKey: r.objectKey, UploadedAt: s.now().UTC().Truncate(time.Microsecond),
		}},
		Schema: r.info.Schema,
		Idempotency: idempotency(idempotencyKey, "upload", datasetID, name,
			strconv.FormatInt(r.stored.SizeBytes, 10), r.stored.CRC64NVME),
	})
	if err != nil {
		if nothingChanged(err) {
			s.Discard(ctx, r)
		}
		return Appending{}, fmt.Errorf("appending %s to %s: %w", r.fileID, datasetID, err)
	}
	file := appended.Files[0]
	if file.ID != r.fileID {
		s.Discard(ctx, r) // the earlier request's bytes are the ones listed
	}
	return Appending{File: file, Replayed: appended.Replayed}, nil
}

func (s *Service) mayAppend(who keys.Principal, datasetID, name string) error {
	if err := authorize(who, keys.ScopeWrite, datasetID); err != nil {
		return err
	}
	return CheckFileName(name)
}

// store puts a held file into the object store.
func (s *Service) store(ctx context.Context, r *Received) error {
	if r.held == nil {
		return nil
	}
	stored, err := s.objects.Put(ctx, r.objectKey, bytes.NewReader(r.held), int64(len(r.held)))
	if err != nil {
		return err
	}
	if stored.SizeBytes != int64(len(r.held)) {
		return fault.Internal("storing a file", errors.New("the store took another number of bytes"))
	}
	r.stored, r.held = stored, nil
	return nil
}

// nothingChanged reports the refusals of Catalog.Append, after which a file is
// certainly not listed. After any other error it may be.
func nothingChanged(err error) bool {
	switch fault.CodeOf(err) {
	case fault.CodeDatasetNotFound, fault.CodeFileExists, fault.CodeSchemaMismatch,
		fault.CodeIdempotencyKeyReused, fault.CodeConflict, fault.CodeParquetLimit, fault.CodeStorageFull,
		fault.CodeIncompleteBody, fault.CodeUploadClosed, fault.CodeAliasTaken:
		return true
	}
	return false
}

// FileKey is the object key of a file: the tenant's, never used again, and
// without anything that a caller named. The last two digits of the id, which are
// random, spread a tenant's files over S3's partitions.
func FileKey(tenant, fileID string) string {
	return FilePrefix + tenant + "/" + fileID[len(fileID)-2:] + "/" + fileID
}

// FilePrefix begins the keys of all files.
const FilePrefix = "files/"

// ParseFileKey is the reverse of FileKey. ok is false for any other key.
func ParseFileKey(key string) (ref FileRef, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 || !IDCanExist(parts[1]) || !IDCanExist(parts[3]) || len(parts[3]) < 2 {
		return FileRef{}, false
	}
	ref = FileRef{Tenant: parts[1], FileID: parts[3]}
	return ref, FileKey(ref.Tenant, ref.FileID) == key
}

// Schema is the schema of a received file.
func (r *Received) Schema() schema.Schema { return r.info.Schema }

// NameFree says early that a name is taken, so that a large file need not
// travel in vain. Only Append decides.
// Errors: CodeForbidden, CodeDatasetNotFound, CodeFileExists.
func (s *Service) NameFree(ctx context.Context, who keys.Principal, datasetID, name string) error {
	if err := authorize(who, keys.ScopeWrite, datasetID); err != nil {
		return err
	}
	_, err := s.catalog.File(ctx, who.Tenant, datasetID, name)
	switch {
	case err == nil:
		return ErrFileExists(name)
	case fault.Is(err, fault.CodeFileNotFound):
		return nil
	}
	return err
}
