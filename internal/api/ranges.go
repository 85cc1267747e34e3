package api

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// The part of a file that a download asks for. RFC 9110 gives ranges a meaning
// for GET alone; a download is a POST, and gives them the same one.
// https://www.rfc-editor.org/rfc/rfc9110.html#section-14

// entityTag is a strong validator: the same bytes have the same one, and other
// bytes have another one.
func entityTag(file dataset.File) string { return `"` + file.CRC64NVME + `"` }

// selection is what a download sends of a file.
type selection struct {
	dataset.Range
	partial bool // it is a range that the request asked for
	changed bool // it would be, but the file is not the one that If-Range names
}

// errOtherFile says that a client goes on with a file that is not there any more.
func errOtherFile() error {
	return fault.New(fault.CodeFileChanged, "The file is not the one that If-Range names.",
		"Fetch it from its beginning, without the headers Range and If-Range.")
}

// selected reads Range and If-Range. The whole file is sent where If-Range names
// another one, and for several ranges, for units other than bytes and for what
// cannot be read: RFC 9110 lets a server ignore these, and S3 does the same.
// Errors: CodeRangeNotSatisfiable.
func selected(header http.Header, file dataset.File) (selection, error) {
	whole := selection{Range: dataset.Range{Length: file.SizeBytes}}
	values := header.Values("Range")
	if len(values) != 1 {
		return whole, nil
	}
	first, last, ok := parseRange(values[0], file.SizeBytes)
	if !ok {
		return whole, nil
	}
	if condition := header.Get("If-Range"); condition != "" && condition != entityTag(file) {
		whole.changed = true
		return whole, nil
	}
	if first >= file.SizeBytes {
		return selection{}, fault.Newf(fault.CodeRangeNotSatisfiable, "Ask for bytes that the file has, or leave the header Range out.",
			"The file has %d bytes, and none of them are in the range.", file.SizeBytes).With("size_bytes", file.SizeBytes)
	}
	return selection{Range: dataset.Range{Offset: first, Length: last - first + 1}, partial: true}, nil
}

// parseRange reads one range of bytes of a file with a size. ok is false for
// everything else. A range that no byte is in begins behind the file's end.
func parseRange(text string, size int64) (first, last int64, ok bool) {
	unit, spec, _ := strings.Cut(text, "=")
	if !strings.EqualFold(unit, "bytes") {
		return 0, 0, false
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return 0, 0, false
	}
	first, hasFirst := parsePosition(from)
	last, hasLast := parsePosition(to)
	switch {
	case hasFirst && to == "":
		return first, size - 1, true
	case hasFirst && hasLast && first <= last:
		return first, min(last, size-1), true
	case from == "" && hasLast: // so many of the last bytes
		return size - min(last, size), size - 1, true
	}
	return 0, 0, false
}

// parsePosition reads digits alone. A number that is too large is behind every
// file's end, wherever exactly.
func parsePosition(text string) (int64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}

// contentRange is the header that tells which part of a file an answer has.
func (s selection) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", s.Offset, s.Offset+s.Length-1, size)
}
