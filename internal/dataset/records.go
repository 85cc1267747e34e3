package dataset

import (
	"context"
	"time"
)

// FileState is what became of a file id. It only moves forward, and the catalog
// alone moves it: of an append and a claim that race, one wins.
type FileState string

// The states. Unknown becomes appended or aborted; open and complete, which are
// those of an upload, become what an upload becomes; appended becomes deleted;
// the last two stay what they are, as long as anything can ask.
const (
	FileUnknown  FileState = ""         // no file yet: its bytes may be about to be appended
	FileOpen     FileState = "open"     // an upload's, whose parts may arrive
	FileComplete FileState = "complete" // an upload's, whose object is whole
	FileAppended FileState = "appended" // it is listed, and its bytes are needed
	FileDeleted  FileState = "deleted"  // it was listed; its bytes are gone, or are to go
	FileAborted  FileState = "aborted"  // it will never be appended; its bytes are gone, or are to go
)

// FileRef names a file id and the tenant whose it is.
type FileRef struct{ Tenant, FileID string }

// FileRecord is what a catalog knows of a file id.
type FileRecord struct {
	FileRef
	State     FileState
	DatasetID string    // of an upload or a file, or ""
	UploadID  string    // of an upload, or ""
	PartsID   string    // of an upload: the object store's name for its parts
	ExpiresAt time.Time // UTC; of an upload, see Upload.ExpiresAt
}

// MayGo reports whether nobody will ever need the bytes again.
func (r FileRecord) MayGo() bool { return r.State == FileAborted || r.State == FileDeleted }

// Expired reports whether the record is of an upload whose time was over at a
// time and which nobody has settled.
func (r FileRecord) Expired(at time.Time) bool {
	return (r.State == FileOpen || r.State == FileComplete) && !at.Before(r.ExpiresAt)
}

// FileRecords tells what became of file ids, and lets somebody who is about to
// remove bytes make sure that they will not be listed. Both catalogs implement
// it; their Append honours it.
type FileRecords interface {
	// FileRecords returns the records of file ids, in the order given. It sees
	// every write that was acknowledged before it began.
	FileRecords(ctx context.Context, ids []FileRef) ([]FileRecord, error)

	// ClaimFile makes a file id aborted if nothing is known of it, or if it is an
	// upload's that is not settled and whose time is over. Any other it leaves as it
	// is. It returns the record as it is then: if that MayGo, its bytes may be
	// removed. It may be repeated after any error and any lost answer.
	// Errors: CodeConflict, CodeStorageFull.
	ClaimFile(ctx context.Context, id FileRef) (FileRecord, error)
}
