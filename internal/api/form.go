package api

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"

	"github.com/parqueue/parqueue/internal/fault"
)

// Limits of an upload's form. The standard library reads any number of parts.
const (
	maxParts       = 8
	maxPartHeader  = 8 << 10
	maxFieldLength = 4 << 10
)

// sendForm is how to send an upload, for every error about its form.
const sendForm = "Send multipart/form-data with the fields dataset_id and file, for example: " +
	"curl -H 'Authorization: Key …' -F dataset_id=dataset-… -F file=@data.parquet URL/upload-to-dataset"

// part is one field of a form.
type part struct {
	disposition
	io.Reader
}

// form reads the parts of an upload's body one after the other, in whatever
// order they come, without holding them.
type form struct {
	parts *multipart.Reader
	body  *endReader
	count int
}

// endReader notes whether the closing boundary has gone through it.
type endReader struct {
	io.Reader
	closing []byte // a line break and the closing boundary
	carry   []byte // the end of what was read before, shorter than closing
	seen    bool
	ended   bool // there is nothing more to read
}

func newEndReader(r io.Reader, boundary string) *endReader {
	return &endReader{Reader: r, closing: []byte("\n--" + boundary + "--"), carry: []byte("\n")}
}

// Read implements io.Reader.
func (e *endReader) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.ended = e.ended || err != nil
	if !e.seen {
		e.look(p[:n])
	}
	return n, err
}

// look searches what was read now, and where it meets what was read before.
func (e *endReader) look(fresh []byte) {
	overlap := len(e.closing) - 1
	seam := append(e.carry, fresh[:min(len(fresh), overlap)]...)
	e.seen = bytes.Contains(seam, e.closing) || bytes.Contains(fresh, e.closing)
	if len(fresh) >= overlap {
		seam = fresh
	}
	e.carry = append([]byte(nil), seam[max(0, len(seam)-overlap):]...)
}

// openForm checks that a request carries a form. Its errors look at how the
// body begins, since what usually went wrong shows there.
func openForm(r *request) (*form, error) {
	if err := checkEncoding(r); err != nil {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	end := newEndReader(r.Body, params["boundary"])
	body := bufio.NewReaderSize(end, 64<<10)
	begin, _ := body.Peek(64)
	switch {
	case bytes.HasPrefix(begin, []byte("[object ")):
		return nil, fault.New(fault.CodeInvalidMultipart, `The request's body is the text "[object FormData]" and no form.`,
			"Node's own fetch does not send a form of the form-data package. Use Node's own FormData with a Blob (fs.openAsBlob), or the node-fetch package.")
	case kind == "multipart/form-data" && params["boundary"] == "":
		return nil, fault.New(fault.CodeInvalidMultipart, "The Content-Type header names no boundary.",
			"Leave the Content-Type header out: the client sets it together with the boundary.")
	case kind == "multipart/form-data" && err == nil:
		return &form{parts: multipart.NewReader(body, params["boundary"]), body: end}, nil
	case bytes.HasPrefix(begin, []byte("--")):
		return nil, fault.Newf(fault.CodeUnsupportedMediaType, "Leave the Content-Type header out: the client sets it together with the boundary.",
			"The body looks like multipart/form-data, and %s.", contentTypeOf(r))
	case kind == contentJSON:
		return nil, fault.New(fault.CodeUnsupportedMediaType, "An upload is multipart/form-data, and this request is JSON.", sendForm)
	}
	return nil, fault.Newf(fault.CodeUnsupportedMediaType, sendForm,
		"An upload is multipart/form-data, and %s.", contentTypeOf(r))
}

// next returns the next part, or io.EOF after the closing boundary. What is left
// of the part before is skipped.
func (f *form) next() (*part, error) {
	raw, err := f.parts.NextRawPart()
	if err == io.EOF && f.closed() { // exactly: a body that stops early wraps io.EOF
		return nil, io.EOF
	}
	if err != nil {
		return nil, formFault(err)
	}
	if f.count++; f.count > maxParts {
		return nil, fault.Newf(fault.CodeInvalidMultipart, sendForm, "The form has more than %d parts.", maxParts)
	}
	if headerSize(raw.Header) > maxPartHeader {
		return nil, fault.New(fault.CodeInvalidMultipart, "A part of the form has more than 8 KiB of headers.", sendForm)
	}
	if encoding := strings.ToLower(raw.Header.Get("Content-Transfer-Encoding")); encoding == "base64" || encoding == "quoted-printable" {
		return nil, fault.Newf(fault.CodeInvalidMultipart, "Send the bytes as they are, without Content-Transfer-Encoding.",
			"A part of the form is encoded as %s (RFC 7578 does away with that).", encoding)
	}
	d, err := onlyDisposition(raw.Header)
	if errors.Is(err, errTwoNames) {
		return nil, fault.New(fault.CodeInvalidFileName, "The part gives two different names, in filename and in filename*.", "Give one name, in filename.")
	}
	if err != nil {
		return nil, fault.New(fault.CodeInvalidMultipart, "A part's Content-Disposition header can't be read.", sendForm)
	}
	return &part{disposition: d, Reader: bodyReader{raw}}, nil
}

// closed tells the closing boundary from a body that stops in a part's headers:
// the standard library answers both with io.EOF. Bytes that are still to come
// mean that it was not the body's end which ended the form.
func (f *form) closed() bool { return f.body.seen || !f.body.ended }

// onlyDisposition reads the header, of which a part has one.
func onlyDisposition(h textproto.MIMEHeader) (disposition, error) {
	if values := h.Values("Content-Disposition"); len(values) == 1 {
		return parseDisposition(values[0])
	}
	return disposition{}, errDisposition
}

func headerSize(h textproto.MIMEHeader) int {
	size := 0
	for name, values := range h {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	return size
}

// formFault tells a body that ended early from one that is no form.
func formFault(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.CodeIncompleteBody, "The form stopped before its closing boundary, so nothing was stored.", "Send the whole request again.")
	}
	if strings.HasPrefix(err.Error(), "multipart: ") || strings.HasPrefix(err.Error(), "malformed MIME") {
		return fault.New(fault.CodeInvalidMultipart, "The request's body is not a well-formed multipart form.", sendForm).Because(err)
	}
	return bodyFault(err)
}

// text reads a part that is a short value.
func (p *part) text() (string, error) {
	value, err := io.ReadAll(io.LimitReader(p, maxFieldLength+1))
	if err != nil {
		return "", err
	}
	if len(value) > maxFieldLength {
		return "", fault.Newf(fault.CodeInvalidRequest, sendForm, "The field %q is longer than 4 KiB.", clip(p.name))
	}
	return string(value), nil
}

// bodyReader turns every error of a part's bytes into a fault, so that what
// reads it may pass it on as it is.
type bodyReader struct{ io.Reader }

// Read implements io.Reader.
func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = formFault(err)
	}
	return n, err
}
