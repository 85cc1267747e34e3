package dataset

import "context"

// Progress keeps how far a task has come that runs now and then, so that one that
// was cut off is continued. Both catalogs implement it.
type Progress interface {
	// Progress returns what was saved last of a task, or nil.
	Progress(ctx context.Context, task string) ([]byte, error)

	// SaveProgress keeps a small document of a task, in the place of the one before.
	// It may be repeated.
	// Errors: CodeConflict, CodeStorageFull.
	SaveProgress(ctx context.Context, task string, state []byte) error
}
