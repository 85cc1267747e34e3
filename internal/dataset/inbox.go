package dataset

import (
	"context"
	"errors"
	"io"
	"time"
)

// InboxObject is one version of an object that somebody put into the inbox.
type InboxObject struct {
	Key        string
	SizeBytes  int64
	ETag       string    // as the store gives it, with its quotation marks
	ModifiedAt time.Time // when it was put, by the store's clock, to the second
	CRC64NVME  string    // base64, over the whole object; "" where the store has none
}

// ErrObjectReplaced is in the chain of the error of an operation on an
// InboxObject under whose key there is another object by now. Nothing was done.
// Asking about the key again tells of the new object.
var ErrObjectReplaced = errors.New("another object was put in its place") //nolint:gochecknoglobals // a sentinel

// Inbox is the store that users put files into under names of their choice,
// which may be replaced or removed at any time. Every operation on an
// InboxObject is about this one version of it: where the object is gone it
// answers CodeFileNotFound, and where it was replaced CodeConflict with
// ErrObjectReplaced in the chain. Every method may be repeated.
type Inbox interface {
	// Stat describes what is under a key.
	// Errors: CodeFileNotFound, CodeUnavailable.
	Stat(ctx context.Context, key string) (InboxObject, error)

	// List is that of Sweepable.
	List(ctx context.Context, prefix, after string, limit int) (objects []Listed, more bool, err error)

	// Open opens a part of an object. The caller closes it.
	// Errors: CodeFileNotFound, CodeConflict with ErrObjectReplaced, CodeUnavailable.
	Open(ctx context.Context, from InboxObject, part Range) (io.ReadCloser, error)

	// ReadSmall reads an object of at most atMost bytes.
	// Errors: those of Open; CodeRequestTooLarge.
	ReadSmall(ctx context.Context, from InboxObject, atMost int64) ([]byte, error)

	// PutSmall stores a JSON document, in place of what is under the key.
	// Errors: CodeStorageFull, CodeUnavailable.
	PutSmall(ctx context.Context, key string, document []byte) error

	// PutNew stores a JSON document where nothing is.
	// Errors: CodeConflict when something is under the key, which may be the
	// document of an earlier call whose answer was lost; CodeStorageFull, CodeUnavailable.
	PutNew(ctx context.Context, key string, document []byte) error

	// Replace stores a JSON document in the place of an object.
	// Errors: CodeFileNotFound; CodeConflict with ErrObjectReplaced, also after an
	// earlier call whose answer was lost; CodeStorageFull, CodeUnavailable.
	Replace(ctx context.Context, from InboxObject, document []byte) error

	// CopyIn copies an object to a key of Objects that stands for this version of
	// it alone, without its bytes passing through here. A copy that was made by an
	// earlier call is found and answered again, even when the object has gone. What
	// comes back was checked: it has the object's size, and a CRC-64/NVME over all
	// of it that the store computed from its bytes.
	// Errors: CodeFileNotFound, CodeConflict (with ErrObjectReplaced, or when
	// something else is under toKey), CodeRequestTooLarge, CodeStorageFull, CodeUnavailable.
	CopyIn(ctx context.Context, from InboxObject, toKey string) (Stored, error)

	// Move gives an object another key in the inbox, where nothing is, or the same
	// bytes, as an earlier call may have left them. When it fails the object is under
	// its old key, the new one, or both.
	// Errors: CodeFileNotFound, CodeConflict (with ErrObjectReplaced, or when
	// something else is under toKey), CodeStorageFull, CodeUnavailable.
	Move(ctx context.Context, from InboxObject, toKey string) error

	// Delete removes an object. One that is gone is no error. One that was put again
	// is left, though between a look at its time and the deletion the same bytes may
	// be put: those go.
	// Errors: CodeConflict with ErrObjectReplaced, CodeUnavailable.
	Delete(ctx context.Context, from InboxObject) error
}
