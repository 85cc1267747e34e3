package dataset

import "github.com/parqueue/parqueue/internal/fault"

// The refusals that every Catalog words in the same way. Clients know two of
// the sentences word for word; those two carry no full stop.

// ErrDatasetNotFound is the answer for a dataset that never existed and for
// one that is another tenant's: nothing in it tells them apart.
func ErrDatasetNotFound() *fault.Error {
	return fault.New(fault.CodeDatasetNotFound, "Dataset not found",
		"Check the dataset id, and that the API key belongs to the tenant that made the dataset; list-datasets shows every dataset the key reaches.")
}

// ErrFileNotFound is the answer for a name that no file of the dataset has.
func ErrFileNotFound() *fault.Error {
	return fault.New(fault.CodeFileNotFound, "File not found in dataset",
		"Check the file name, byte for byte; list-dataset-files shows the names that are there.")
}

// ErrFileExists is the answer for a name that a file of the dataset has.
func ErrFileExists(name string) *fault.Error {
	return fault.New(fault.CodeFileExists, "File with this name already exists in the dataset",
		"Nothing was added. Give the file another name; if this is a repeated request, send an Idempotency-Key with it next time.").
		With("file_name", name)
}

// ErrIdempotencyKeyReused is the answer for an Idempotency-Key that came with
// another request before.
func ErrIdempotencyKeyReused() *fault.Error {
	return fault.New(fault.CodeIdempotencyKeyReused, "This Idempotency-Key came with another request before.",
		"Use a new key for every new request, and the same key only to repeat one unchanged.")
}

// ErrVersionMismatch is the answer when a dataset has changed since the caller
// read it.
func ErrVersionMismatch(version int64) *fault.Error {
	return fault.Newf(fault.CodeVersionMismatch, "Nothing was changed. Read the dataset again with get-dataset, and send the change with the version that it has now.",
		"The dataset has changed meanwhile: its version is %d.", version).With("version", version)
}

// ErrTooManyWriters is the answer when a write lost to other writers until
// its tries ran out.
func ErrTooManyWriters() *fault.Error {
	return fault.New(fault.CodeConflict, "Too many writers are changing this dataset at once.",
		"Nothing was changed. Try again after a moment, or append several files in one request.")
}

// ErrSchemaTooLarge is the answer for a schema that a catalog cannot keep.
func ErrSchemaTooLarge() *fault.Error {
	return fault.New(fault.CodeParquetLimit, "The file's schema is too large to keep.",
		"A schema may have 350 KB when compressed, which is far more than 5,000 columns with ordinary names need. Use shorter or fewer column names.")
}

// ErrAbandoned is the answer, which nobody waits for any more, to a write whose
// caller left before it was decided.
func ErrAbandoned() *fault.Error {
	return fault.New(fault.CodeIncompleteBody, "The connection was closed before the request was done.",
		"Nothing was added. Send the whole request again.")
}

// ErrStorageFull is the answer when the disk has no room for the catalog.
func ErrStorageFull() *fault.Error {
	return fault.New(fault.CodeStorageFull, "There is no room left to store this.",
		"Nothing was added. Free some disk space and try again.")
}
