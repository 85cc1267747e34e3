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

// mostRefused bounds what is read of a body that is not wanted.
const mostRefused = 16 << 20

// readRefused reads a body whose request is refused to its end. The gateway reads
// 256 KiB of it and then closes the connection, so that a sender of more often sees that
// instead of the answer, and sends it all again.
func readRefused(body io.Reader, err error) {
	if err != nil && body != nil {
		_, _ = io.CopyN(io.Discard, body, mostRefused) // it may be cut off: that is why it is refused then
	}
}
