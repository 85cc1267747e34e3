package dataset

import (
	"context"
	"time"
)

// Listed is an object as a listing of its store shows it.
type Listed struct {
	Key        string
	SizeBytes  int64
	ModifiedAt time.Time // when it was stored, by the store's clock, to the second at best
}

// OpenParts is an object in parts that was begun and neither completed nor
// aborted.
type OpenParts struct {
	Key       string
	ID        string
	StartedAt time.Time // by the store's clock; a store may give the time of the last part instead
}

// Sweepable is a store that can be walked through and cleared in bulk, which is
// how what crashes leave is found and removed. Every method may be repeated.
type Sweepable interface {
	// List gives the objects whose keys begin with prefix and come after after, in
	// the order of the keys' bytes; after need not be the key of an object. It gives
	// limit of them if there are as many, and more says whether others follow.
	// Objects that are stored or removed meanwhile may be in it or not.
	// Errors: CodeUnavailable.
	List(ctx context.Context, prefix, after string, limit int) (objects []Listed, more bool, err error)

	// ListOpenParts gives the objects in parts that are open under a prefix, by key
	// and then in an order of the store, behind the one with afterKey and afterID;
	// two empty texts begin. It gives limit of them if there are as many, and more
	// says whether others follow.
	// Errors: CodeUnavailable.
	ListOpenParts(ctx context.Context, prefix string, afterKey, afterID string, limit int) (open []OpenParts, more bool, err error)

	// AbortParts throws the parts of an object away and refuses further ones.
	// Aborting what is not there is no error.
	AbortParts(ctx context.Context, key, id string) error

	// DeleteMany removes up to MaxDeleted objects; those that are not there are no
	// error. When it fails some are left, which its error counts.
	// Errors: CodeUnavailable.
	DeleteMany(ctx context.Context, keys []string) error
}

// MaxDeleted is how many objects one DeleteMany removes at most; it is S3's
// limit.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
const MaxDeleted = 1000
