package footer

import (
	"bytes"
	"unicode/utf8"

	"github.com/parqueue/parqueue/internal/fault"
)

const (
	magic          = "PAR1"
	magicEncrypted = "PARE"
	headBytes      = 512 // enough to guess what a file is
)

// CheckHead looks at the first bytes of a file, a few hundred if there are as
// many, and says early that it is no Parquet. A nil error promises nothing
// about the rest.
// Errors: CodeNotParquet, CodeEncryptedParquet.
func CheckHead(head []byte) error {
	switch {
	case len(head) < magicBytes:
		return tooShort(int64(len(head)))
	case string(head[:magicBytes]) == magic:
		return nil
	case string(head[:magicBytes]) == magicEncrypted:
		return encrypted()
	}
	return fault.New(fault.CodeNotParquet, "The file is not Parquet: it does not begin with PAR1.", guess(head))
}

func tooShort(size int64) error {
	if size <= 0 {
		return fault.New(fault.CodeNotParquet, "The file is empty.", "Send a Parquet file; one without rows is fine.")
	}
	return fault.Newf(fault.CodeNotParquet, "Send a whole Parquet file; one without rows is fine.",
		"The file is not Parquet: it is too short, with %d bytes.", size)
}

func encrypted() *fault.Error {
	return fault.New(fault.CodeEncryptedParquet, "The file, or a column of it, is encrypted.",
		"Write it without Parquet encryption; the store can encrypt objects at rest.")
}

// signature is how files of a kind begin.
type signature struct{ prefix, hint string }

func signatures() []signature {
	return []signature{
		{"\x1f\x8b", "It looks like gzip: unpack it first. Parquet compresses inside the file, for example with compression=\"gzip\"."},
		{"\x28\xb5\x2f\xfd", "It looks like Zstandard: unpack it first. Parquet compresses inside the file, for example with compression=\"zstd\"."},
		{"PK\x03\x04", "It looks like a zip archive or a spreadsheet: send the Parquet files in it, one by one."},
		{"ARROW1", "It looks like an Arrow IPC (Feather) file: read it with pyarrow.feather and write it with pyarrow.parquet."},
		{"FEA1", "It looks like a Feather file: read it with pyarrow.feather and write it with pyarrow.parquet."},
		{"ORC", "It looks like ORC: read it with pyarrow.orc and write it with pyarrow.parquet."},
		{"Obj\x01", "It looks like Avro: convert it to Parquet, for example with polars.read_avro and write_parquet."},
		{"SQLite format 3", "It looks like a SQLite database: export a table as Parquet."},
		{"\x89HDF", "It looks like HDF5: convert it to Parquet, for example with pandas.read_hdf and to_parquet."},
	}
}

// guess says what a file may be that is not Parquet.
func guess(head []byte) string {
	for _, s := range signatures() {
		if bytes.HasPrefix(head, []byte(s.prefix)) {
			return s.hint
		}
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case !isText(head):
		return "Send a Parquet file, as pandas' to_parquet, polars' write_parquet or DuckDB's COPY ... (FORMAT parquet) write it."
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return "It looks like JSON: convert it to Parquet, for example with pandas.read_json and to_parquet."
	case bytes.HasPrefix(text, []byte("<")):
		return "It looks like HTML or XML, perhaps an error page saved as a file: check where it came from."
	}
	return "It looks like text, perhaps CSV: convert it to Parquet, for example with pandas.read_csv and to_parquet."
}

// isText reports whether the bytes are UTF-8 without control characters; the
// last character may be cut off.
func isText(p []byte) bool {
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && n == 1 && (len(p) >= utf8.UTFMax || utf8.FullRune(p)) {
			return false
		}
		if r < ' ' && r != '\t' && r != '\r' && r != '\n' {
			return false
		}
		p = p[n:]
	}
	return true
}
