package dataset

import (
	"context"
	"encoding/json"
	"time"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/schema"
)

// MaxAppend is the most files that one Append takes. DynamoDB's transactions
// hold 100 actions; a file needs three (its entry, its name and the record of its
// id) and an append three more (the head, the schema, the idempotency record).
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const MaxAppend = 32

// MaxAppendUploads is the most files that one Append takes when they come from
// uploads. An upload's record becomes its file's, so that it is no fewer.
const MaxAppendUploads = MaxAppend

// IdempotencyWindow is how long a repeated request is recognised.
const IdempotencyWindow = 48 * time.Hour

// Idempotency ties a write to the caller's Idempotency-Key. The zero value
// means that the caller gave none.
type Idempotency struct {
	Key         string // as the caller sent it; unique within a tenant
	Fingerprint string // of the request: another fingerprint under the same key is refused
}

// Append is a request to put files at the end of a dataset, in the order given.
type Append struct {
	Tenant      string
	DatasetID   string
	Files       []File // 1 to MaxAppend, each with an id of its own; Position is not read
	Schema      schema.Schema
	Idempotency Idempotency

	// Uploads, if there are any, are the ids of the uploads that the files come
	// from, one for each file. The append needs every one of them complete and
	// within its time, and makes it appended, or changes nothing.
	Uploads []string

	// Infos, if there are any, are what is said of the files, one for each, which
	// their uploads hold as well. MaxAppendUploads is then smaller: see AppendWeight.
	Infos []asset.Info
}

// Info is what is said of the n-th file.
func (a Append) Info(n int) asset.Info {
	if len(a.Infos) == 0 {
		return asset.Info{}
	}
	return a.Infos[n]
}

// MaxAppendWeight bounds the weights of the files of one Append.
const MaxAppendWeight = 3 * MaxAppend

// AppendWeight is how many actions of DynamoDB's transactions a file takes of which
// something is said: its own three, its place in its owner's list, two for each tag
// and two for the alias.
func AppendWeight(i asset.Info) int {
	weight := 3
	if !i.Empty() {
		weight += 1 + 2*len(i.Tags)
	}
	if i.Alias != "" {
		weight += 2
	}
	return weight
}

// Appended is the answer to an Append.
type Appended struct {
	Files    []File // as they are listed from now on, in the order given
	Replayed bool   // true when an earlier request with the same Idempotency-Key did the work
}

// Update is a request to change what people say of a dataset. What is nil stays
// as it is.
type Update struct {
	Tenant      string
	DatasetID   string
	Name        *string
	Metadata    json.RawMessage
	IngestOrder *IngestOrder
	IfVersion   int64 // the version that the dataset must have, or 0 for any
	Idempotency Idempotency
}

// Deletion is a request to take a file out of a dataset.
type Deletion struct {
	ID          string // of this request; no other one has it
	Tenant      string
	DatasetID   string
	Name        string
	Idempotency Idempotency
}

// Deleted is the answer to a Deletion.
type Deleted struct {
	File     File // as it was listed
	Replayed bool // true when an earlier request with the same Idempotency-Key did the work
}

// DatasetDeletion is a request to delete a dataset with everything in it.
type DatasetDeletion struct {
	ID          string // of this request; no other one has it
	Tenant      string
	DatasetID   string
	IfVersion   int64 // the version that the dataset must have, or 0 for any
	Idempotency Idempotency
}

// DatasetDeleted is the answer to a DatasetDeletion.
type DatasetDeleted struct {
	DatasetID      string
	FileCount      int64 // files that were listed until then
	TotalSizeBytes int64 // their bytes
	Replayed       bool  // true when an earlier request with the same Idempotency-Key did the work
}

// DatasetPage is a part of a tenant's datasets, newest first.
type DatasetPage struct {
	Datasets []Dataset
	Next     string // the id to continue after, or "" at the end
}

// FilePage is a part of a dataset's files, in order.
type FilePage struct {
	Dataset Dataset
	Files   []File
	More    bool  // true when there are positions from Next on
	Next    int64 // where the next page begins; set when More is
}

// Catalog holds the datasets, the order of their files and the names they
// have. It never holds bytes of files.
//
// Every method is scoped to a tenant and answers fault.CodeDatasetNotFound for
// another tenant's dataset, in the same words as for one that never existed.
// Every read sees every write that was acknowledged before it began. Any
// *fault.Error that a method documents means that nothing changed; any other
// error of a write leaves its outcome unknown, and the write may be repeated
// with the same arguments: the ids in an Append and in a Deletion make its
// repetition safe even without an Idempotency-Key.
type Catalog interface {
	// CreateDataset adds an empty dataset. d needs ID, Name, Metadata,
	// IngestOrder and CreatedAt. Under a known Idempotency-Key it adds nothing and returns the
	// dataset that the key created. The id of a dataset that was deleted creates
	// no other one.
	// Errors: CodeIdempotencyKeyReused; CodeDatasetNotFound when the dataset was
	// deleted since it was created.
	CreateDataset(ctx context.Context, tenant string, d Dataset, idem Idempotency) (Dataset, error)

	// Dataset returns one dataset with its schema.
	// Errors: CodeDatasetNotFound.
	Dataset(ctx context.Context, tenant, datasetID string) (Dataset, error)

	// Exists sees that there is a dataset. It reads less than Dataset does.
	// Errors: CodeDatasetNotFound.
	Exists(ctx context.Context, tenant, datasetID string) error

	// Datasets returns up to limit datasets, newest first, that come after the
	// dataset with the id in after ("" for the first page).
	Datasets(ctx context.Context, tenant, after string, limit int) (DatasetPage, error)

	// UpdateDataset changes a dataset and returns it as it is then. Under a known
	// Idempotency-Key it changes nothing and returns the dataset as it is now.
	// What is wrong is told in this order: the dataset, the Idempotency-Key, the
	// version.
	// Errors: CodeDatasetNotFound; CodeIdempotencyKeyReused; CodeVersionMismatch,
	// with the detail "version"; CodeConflict; CodeStorageFull.
	UpdateDataset(ctx context.Context, u Update) (Dataset, error)

	// Append is the one step that makes files visible: it takes the next
	// positions, claims the names and checks (or, for the first file, sets) the
	// schema, or it changes nothing. Implementations retry conflicts between
	// writers by themselves. Repeating an Append with the same file ids returns
	// the first one's answer, even when they have been deleted since and whoever had
	// their names meanwhile: an id that was appended is known for good, and never
	// appended again. What is wrong is told in this order: the request itself
	// (Append.Check), the dataset, the Idempotency-Key, the schema, the uploads, of
	// which the first that can't be appended, the names, of which the first taken
	// one, the ids, of which the first that was claimed (see FileRecords), the aliases.
	// Errors: CodeDatasetNotFound; CodeFileExists, with the detail "file_name";
	// CodeSchemaMismatch, made by Mismatch; CodeIdempotencyKeyReused; of uploads
	// CodeUploadNotFound, CodeUploadClosed and CodeUploadIncomplete; of a file
	// without an upload CodeUploadClosed, made by ErrFileClaimed; CodeAliasTaken; CodeConflict when retries ran out; CodeParquetLimit for a schema too large
	// to keep; CodeStorageFull; CodeIncompleteBody when ctx ended before anything
	// was decided.
	Append(ctx context.Context, a Append) (Appended, error)

	// DeleteFile is the one step that makes a file invisible: it frees the name and
	// takes the file out of the counters, or it changes nothing. The position stays
	// empty for ever, no other file moves, and the schema stays, whichever file set
	// it. What is wrong is told in this order: the dataset, the Idempotency-Key, the
	// name. Repeating a Deletion with the same id returns the first one's answer, as
	// long as the name has not been taken again; then the new file is deleted, which
	// an Idempotency-Key prevents.
	// Errors: CodeDatasetNotFound; CodeFileNotFound; CodeIdempotencyKeyReused;
	// CodeConflict; CodeStorageFull.
	DeleteFile(ctx context.Context, d Deletion) (Deleted, error)

	// DeleteDataset is the one step that makes a dataset disappear: from then on
	// every method answers as if it had never existed, and nothing enters it, not
	// even an append that was under way. What it had is there until it is purged
	// (see Purges). What is wrong is told in this order: the Idempotency-Key, the
	// dataset, the version; under a known key the first answer is given again.
	// Repeating a DatasetDeletion with the same id returns the first one's answer.
	// Errors: CodeDatasetNotFound; CodeIdempotencyKeyReused; CodeVersionMismatch,
	// with the detail "version"; CodeConflict; CodeStorageFull.
	DeleteDataset(ctx context.Context, d DatasetDeletion) (DatasetDeleted, error)

	// File returns the file with a name.
	// Errors: CodeDatasetNotFound, CodeFileNotFound.
	File(ctx context.Context, tenant, datasetID, name string) (File, error)

	// Files returns up to limit files in order, from the first position that is
	// not below from, and the dataset as it was when they were read; of files that
	// are deleted in the meantime, some may be missing already. Where thousands of
	// files in a row were deleted a page may hold fewer files than limit, even none,
	// and have more; every page gets on.
	// Errors: CodeDatasetNotFound.
	Files(ctx context.Context, tenant, datasetID string, from int64, limit int) (FilePage, error)
}
