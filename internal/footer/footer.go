// Package footer decides from a Parquet file's footer alone whether a dataset
// can hold the file, and which schema and how many rows it has. It reads the
// last 64 KiB, and once more where the footer is longer; it never reads a page.
//
// The footer comes from a stranger, so it is decoded here, with bounds, and
// not by a Parquet library: of those for Go, parquet-go and arrow-go both let a
// footer of a few dozen bytes end the process in a way that recover does not
// catch (a list of two thousand million items is allocated before it is read,
// nesting overflows the stack). This decoder checks every count against the
// bytes that are left, walks row groups without keeping them and copies names
// and nothing else; it also takes a quarter of the time and an eighth of the
// memory. parquet-go stays in the tests: it is the oracle for whatever is
// accepted here, and the benchmark's yardstick.
//
// The package needs no IAM actions.
package footer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// Info is what a footer says.
type Info struct {
	Schema    schema.Schema
	NumRows   int64  // a claim: only the pages could prove it
	RowGroups int    // number of row groups
	CreatedBy string // the writer, as it names itself; at most 256 bytes
}

// Limits bound what a footer may ask of the process.
type Limits struct {
	FooterBytes    int64 // length of the footer
	SchemaElements int   // columns and the groups they are in
	SchemaDepth    int   // groups within groups
	ThriftDepth    int   // structs and lists within each other, in parts that are skipped
	NameBytes      int   // length of a column's name
	NamesBytes     int   // length of all names together
	RowGroups      int
}

// DefaultLimits are the documented ones. A footer at these limits is decoded in
// well under a second.
func DefaultLimits() Limits {
	return Limits{
		FooterBytes:    64 << 20,
		SchemaElements: 20_000,
		SchemaDepth:    64,
		ThriftDepth:    32,
		NameBytes:      4 << 10,
		NamesBytes:     4 << 20,
		RowGroups:      1 << 20,
	}
}

const (
	tailBytes  = 64 << 10
	magicBytes = 4
	trailer    = 8  // the footer's length and the magic
	shortest   = 12 // magic, trailer
)

// Read reads and checks the footer of a file of size bytes, under the default
// limits. An error of r comes back wrapped; every other error is a *fault.Error
// about the file.
// Errors: CodeNotParquet, CodeTruncatedParquet, CodeInvalidParquet,
// CodeEncryptedParquet, CodeParquetLimit, CodeUnsupportedParquet.
func Read(r io.ReaderAt, size int64) (Info, error) {
	return ReadLimited(r, size, DefaultLimits())
}

// ReadLimited is Read under other limits.
func ReadLimited(r io.ReaderAt, size int64, limits Limits) (Info, error) {
	if size < shortest {
		return Info{}, tooShort(size)
	}
	tail, err := readRange(r, max(0, size-tailBytes), size)
	if err != nil {
		return Info{}, err
	}
	if err := checkMagic(r, tail, size); err != nil {
		return Info{}, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[len(tail)-trailer:]))
	if err := checkLength(length, size, limits); err != nil {
		return Info{}, err
	}
	footer, err := footerFrom(r, tail, length, size)
	if err != nil {
		return Info{}, err
	}
	return decode(footer, size-trailer-length, limits)
}

// checkMagic looks at the last bytes, and at the first ones where the tail
// reaches them.
func checkMagic(r io.ReaderAt, tail []byte, size int64) error {
	whole := int64(len(tail)) == size
	switch string(tail[len(tail)-magicBytes:]) {
	case magic:
		if whole {
			return CheckHead(tail)
		}
		return nil
	case magicEncrypted:
		return encrypted()
	}
	head := tail
	if !whole {
		var err error
		if head, err = readRange(r, 0, headBytes); err != nil {
			return err
		}
	}
	if err := CheckHead(head); err != nil {
		return err
	}
	return fault.New(fault.CodeTruncatedParquet,
		"The file begins as Parquet and does not end as Parquet.",
		"Part of the file is missing: the upload or the writer stopped early. Write or send it again, whole.")
}

func checkLength(length, size int64, limits Limits) error {
	switch {
	case length == 0 || length > size-shortest:
		return invalid("its footer of %d bytes does not fit a file of %d bytes", length, size)
	case length > limits.FooterBytes:
		return beyond("The footer has %d bytes; the limit is %d.", length, limits.FooterBytes)
	}
	return nil
}

// footerFrom takes the footer out of the tail, or reads the part of it that
// comes before the tail.
func footerFrom(r io.ReaderAt, tail []byte, length, size int64) ([]byte, error) {
	end := int64(len(tail)) - trailer
	if length <= end {
		return tail[end-length : end], nil
	}
	footer := make([]byte, length)
	copy(footer[length-end:], tail[:end])
	from := size - trailer - length
	if err := readFull(r, footer[:length-end], from); err != nil {
		return nil, err
	}
	return footer, nil
}

func readRange(r io.ReaderAt, from, to int64) ([]byte, error) {
	p := make([]byte, to-from)
	return p, readFull(r, p, from)
}

func readFull(r io.ReaderAt, p []byte, from int64) error {
	n, err := r.ReadAt(p, from)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %d of a Parquet file: %w", len(p), from, err)
}
