package dataset

import (
	"context"
	"strings"
	"time"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/schema"
)

// UploadState is how far a large upload has come. It only moves forward, and
// the catalog alone moves it: of an append and an abort that race, one wins.
type UploadState string

// The states. Open becomes complete or aborted, complete becomes appended or
// aborted, and the last two stay what they are.
const (
	UploadOpen     UploadState = "open"     // parts may arrive
	UploadComplete UploadState = "complete" // the object is whole and its footer sound
	UploadAppended UploadState = "appended" // its file is in the dataset
	UploadAborted  UploadState = "aborted"  // its bytes are gone, or are to go
)

// UploadExpired is what people are told of an upload that is open or complete and
// whose time is over. No catalog holds it: the sweeper aborts such an upload.
const UploadExpired UploadState = "expired"

// UploadLifetime is how long an upload may stay open, and after that how long
// it may stay complete. The bucket's lifecycle rule for unfinished parts waits a
// day longer.
const UploadLifetime = 7 * 24 * time.Hour

// UploadKept is how long a catalog keeps an upload that was not appended after
// its creation, and at least any other. It leaves weeks between the end of an
// upload's time and the end of what is known of it.
const UploadKept = 2*UploadLifetime + 30*24*time.Hour

// Upload is a large file on its way into a dataset, or on its way to be the content
// of an asset outside datasets: its parts go to the object store directly, by
// presigned URLs.
type Upload struct {
	ID        string // "upload-" and a UUIDv7
	DatasetID string // "" outside datasets
	FileID    string // the file's, once it is appended: FileIDOf(ID)
	FileName  string
	SizeBytes int64
	PartSize  int64  // of every part but the last
	Checksum  string // the CRC-64/NVME that the caller announced, or ""
	ObjectKey string // where the bytes go; never shown to a caller
	PartsID   string // the object store's name for the parts under way; "" for a file that comes as one
	State     UploadState
	CreatedAt time.Time // UTC
	ExpiresAt time.Time // UTC; from then on an upload that is open or complete can only be aborted

	// Asset is what the upload is to become outside datasets, and in one what is said
	// of the file from the beginning. It is nil for a file of which nothing is said.
	// Once the upload is appended, what is said is the asset's: of the draft its
	// Place is left outside datasets, and in one nothing.
	Asset *asset.Draft

	// Once complete.
	RowCount  int64
	CRC64NVME string
	SchemaKey [32]byte // of its schema; Uploads.UploadSchema has the schema

	// Once appended.
	Position   int64     // in the dataset
	Version    int64     // of the asset's content, outside datasets
	UploadedAt time.Time // UTC
}

// FileIDOf is the id that an upload's file has once it is appended. Both have the
// same UUID, so that a catalog keeps one record for the two of them.
func FileIDOf(uploadID string) string {
	return fileIDPrefix + strings.TrimPrefix(uploadID, uploadIDPrefix)
}

// UploadIDOf is the reverse of FileIDOf.
func UploadIDOf(fileID string) string {
	return uploadIDPrefix + strings.TrimPrefix(fileID, fileIDPrefix)
}

// Whole reports whether the file comes as one, by a single PUT, and not in parts.
func (u Upload) Whole() bool { return u.PartsID == "" }

// OutsideDatasets reports whether the upload is to be the content of an asset that is
// in no dataset: a file of any format, with no schema.
func (u Upload) OutsideDatasets() bool { return u.DatasetID == "" }

// AssetID is the id of the asset that the upload is to be, or to be content of.
func (u Upload) AssetID() string {
	if u.OutsideDatasets() && u.Asset != nil {
		return u.Asset.AssetID
	}
	return u.FileID
}

// Info is what is said of the file from the beginning.
func (u Upload) Info() asset.Info {
	if u.Asset == nil {
		return asset.Info{}
	}
	return u.Asset.Info
}

// Content is the file as a version of an asset's content.
func (u Upload) Content() asset.Content {
	return asset.Content{
		Version: u.Version, FileID: u.FileID, FileName: u.FileName, SizeBytes: u.SizeBytes, CRC64NVME: u.CRC64NVME,
		ObjectKey: u.ObjectKey, CreatedAt: u.UploadedAt,
	}
}

// Expired reports whether the time of an upload that is not settled is over.
func (u Upload) Expired(now time.Time) bool {
	return (u.State == UploadOpen || u.State == UploadComplete) && !now.Before(u.ExpiresAt)
}

// File is the file that an upload is to become, or became.
func (u Upload) File() File {
	return File{
		ID: u.FileID, Name: u.FileName, Position: u.Position, SizeBytes: u.SizeBytes, RowCount: u.RowCount,
		CRC64NVME: u.CRC64NVME, ObjectKey: u.ObjectKey, UploadedAt: u.UploadedAt,
	}
}

// Completion is what was found out about an upload whose object is whole. Outside
// datasets there are no rows and no schema.
type Completion struct {
	CRC64NVME string
	RowCount  int64
	Schema    schema.Schema
	ExpiresAt time.Time
}

// UploadPage is a part of a tenant's uploads, newest first.
type UploadPage struct {
	Uploads []Upload
	Next    string // the id to continue after, or "" at the end
}

// Uploads holds the uploads that are under way, and what became of them. Both
// catalogs implement it; an append settles its uploads in the same step (see
// Append.Uploads).
//
// Every method is scoped to a tenant, and every read sees every write that was
// acknowledged before it began. As with Catalog, a documented *fault.Error means
// that nothing changed, and any other error of a write leaves its outcome
// unknown; every write may be repeated with the same arguments.
type Uploads interface {
	// CreateUpload adds an open upload. u needs everything up to ExpiresAt, and its
	// file's id has to be FileIDOf its own; outside datasets it needs Asset. Under
	// a known Idempotency-Key it adds nothing and returns the upload that the key
	// created. Whether there is such a dataset is not looked at: the append does.
	// Errors: CodeIdempotencyKeyReused, CodeStorageFull.
	CreateUpload(ctx context.Context, tenant string, u Upload, idem Idempotency) (Upload, error)

	// CreatedUpload returns the upload that an Idempotency-Key created.
	// Errors: CodeUploadNotFound when the key is not known or its upload is
	// forgotten; CodeIdempotencyKeyReused.
	CreatedUpload(ctx context.Context, tenant string, idem Idempotency) (Upload, error)

	// Upload returns one upload.
	// Errors: CodeUploadNotFound.
	Upload(ctx context.Context, tenant, id string) (Upload, error)

	// UploadsByID returns uploads in the order of their ids, without those that
	// are not there.
	UploadsByID(ctx context.Context, tenant string, ids []string) ([]Upload, error)

	// UploadSchema returns the schema of an upload that is complete.
	// Errors: CodeUploadNotFound, also for one that was never complete.
	UploadSchema(ctx context.Context, tenant, id string) (schema.Schema, error)

	// CompleteUpload notes that an open upload's object is whole and sound. One
	// that is complete or appended already is returned as it is.
	// Errors: CodeUploadNotFound; CodeUploadClosed for one that was aborted or
	// whose time is over; CodeParquetLimit for a schema too large to keep;
	// CodeConflict, CodeStorageFull.
	CompleteUpload(ctx context.Context, tenant, id string, done Completion) (Upload, error)

	// AbortUpload claims an upload, whether its time is over or not: from then on
	// it can't be appended and its bytes may go. Aborting it again is no error.
	// Errors: CodeUploadNotFound; CodeUploadClosed for one that was appended;
	// CodeConflict, CodeStorageFull.
	AbortUpload(ctx context.Context, tenant, id string) (Upload, error)

	// ListUploads returns up to limit uploads of a dataset, or of all when
	// datasetID is "", newest first, that come after the one with the id in after
	// ("" for the first page). A page may be short and still have a next one.
	ListUploads(ctx context.Context, tenant, datasetID, after string, limit int) (UploadPage, error)
}
