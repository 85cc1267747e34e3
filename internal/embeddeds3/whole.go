package embeddeds3

import (
	"errors"
	"io"

	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
)

// wholeBody is a body that fails when it stops before its announced length. The
// gateway takes the end of a cut connection for the end of the body and leaves it
// to a checksum to tell; a plain PUT to a presigned URL has none, and would become
// a part of the full length with zeros at its end.
type wholeBody struct {
	io.Reader
	left int64
}

// whole guards a body. One with a checksum in its trailer guards itself.
func whole(body io.Reader, length *int64) io.Reader {
	if _, guarded := body.(middlewares.ChecksumReader); guarded || body == nil || length == nil {
		return body
	}
	return &wholeBody{body, *length}
}

// Read implements io.Reader.
func (b *wholeBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.left -= int64(n)
	if b.left > 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return n, s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	return n, err
}
