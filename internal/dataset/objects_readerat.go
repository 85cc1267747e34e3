package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// NewReaderAt reads parts of an object, each by one ranged Get, for code that
// reads a footer without fetching the file. Callers keep to the object's size:
// a part that begins at or past its end is an error of Get.
func NewReaderAt(ctx context.Context, objects Objects, key string) io.ReaderAt {
	open := Opener(func(ctx context.Context, part Range) (io.ReadCloser, error) { return objects.Get(ctx, key, part) })
	return open.readerAt(ctx)
}

// Opener opens a part of one certain object. The caller closes it.
type Opener func(ctx context.Context, part Range) (io.ReadCloser, error)

func (o Opener) readerAt(ctx context.Context) io.ReaderAt { return &objectReaderAt{ctx: ctx, open: o} }

type objectReaderAt struct {
	ctx  context.Context // of the reads, because io.ReaderAt has no place for it
	open Opener
}

// ReadAt implements io.ReaderAt. A part that the object's end cuts short comes
// with io.EOF.
func (r *objectReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if off < 0 {
		return 0, fmt.Errorf("reading an object at %d: the offset is negative", off)
	}
	body, err := r.open(r.ctx, Range{Offset: off, Length: int64(len(p))})
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(body, p)
	closeErr := body.Close()
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, io.EOF
	case err != nil:
		return n, fmt.Errorf("reading %d bytes at %d of an object: %w", len(p), off, err)
	default:
		return n, closeErr
	}
}
