package dataset

import (
	"context"
	"io"
	"time"
)

// Stored is what an object store says of an object it took.
type Stored struct {
	SizeBytes int64
	CRC64NVME string // base64 of the 8 bytes, computed here and verified by the store
}

// Range is a part of an object. The zero value means all of it.
type Range struct {
	Offset int64 // first byte
	Length int64 // number of bytes; 0 means to the end
}

// Objects holds the bytes of files under keys that are used once. Keys come
// from FileKey only, never from a caller.
type Objects interface {
	// Put stores all of body under key, streaming it in bounded memory, and has
	// the store verify a CRC-64/NVME over the whole object. atMost is an upper
	// bound of the body's size if one is known, else -1: it only chooses the size of
	// parts. An object appears whole or not at all; when Put fails nothing is
	// left under key. An error of body is returned as it is. It is never retried by the caller
	// (body is consumed).
	// Errors: CodeStorageFull; CodeConflict when the key exists.
	Put(ctx context.Context, key string, body io.Reader, atMost int64) (Stored, error)

	// Get opens a part of an object. The caller closes it. Reading may be
	// repeated.
	// Errors: CodeFileNotFound when there is no such object.
	Get(ctx context.Context, key string, part Range) (io.ReadCloser, error)

	// Stat tells an object's size, and the CRC-64/NVME that the store has of the
	// whole of it, which is "" where it has none. It may be repeated.
	// Errors: CodeFileNotFound when there is no such object; CodeUnavailable.
	Stat(ctx context.Context, key string) (Stored, error)

	// Delete removes an object; removing one that is not there is no error.
	Delete(ctx context.Context, key string) error

	// PresignGet makes a URL that anyone can fetch the object with until it
	// expires, as an application/octet-stream attachment called fileName.
	PresignGet(ctx context.Context, key, fileName string, expires time.Duration) (string, error)
}
