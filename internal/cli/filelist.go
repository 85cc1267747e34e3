package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"iter"
	"strconv"
	"time"

	"github.com/parqueue/parqueue/internal/client"
)

// A list of files is printed while it is read, so that one of a million takes the
// memory of a page. When it breaks off, what came before it has been printed.

// printFilesJSON writes files as printJSON writes {"files": […]}.
func printFilesJSON(w io.Writer, files iter.Seq2[client.File, error]) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var row []byte
	before := "{\n  \"files\": ["
	for f, err := range files {
		if err != nil {
			return endedEarly(out, err)
		}
		row = appendFile(append(row[:0], before...), f)
		if _, err := out.Write(row); err != nil {
			return err
		}
		before = ","
	}
	end := "\n  ]\n}\n"
	if row == nil {
		end = before + "]\n}\n"
	}
	if _, err := out.WriteString(end); err != nil {
		return err
	}
	return out.Flush()
}

// endedEarly writes what is there of a list that broke off.
func endedEarly(out *bufio.Writer, err error) error {
	_ = out.Flush() // the list's own error says more
	return err
}

// appendFile appends a row of a JSON list, in the order of client.File's members.
func appendFile(row []byte, f client.File) []byte {
	row = appendQuoted(append(row, "\n    {\n      \"file_name\": "...), f.Name)
	row = appendQuoted(append(row, ",\n      \"file_id\": "...), f.ID)
	row = strconv.AppendInt(append(row, ",\n      \"position\": "...), f.Position, 10)
	row = strconv.AppendInt(append(row, ",\n      \"size_bytes\": "...), f.SizeBytes, 10)
	row = strconv.AppendInt(append(row, ",\n      \"row_count\": "...), f.RowCount, 10)
	row = appendQuoted(append(row, ",\n      \"checksum_crc64nvme\": "...), f.Checksum)
	row = f.UploadedAt.AppendFormat(append(row, ",\n      \"uploaded_at\": \""...), time.RFC3339Nano)
	return append(row, "\"\n    }"...)
}

// appendQuoted appends a string as encoding/json writes it. Most need nothing but the quotes.
func appendQuoted(row []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			encoded, _ := json.Marshal(s) // a string always encodes
			return append(row, encoded...)
		}
	}
	return append(append(append(row, '"'), s...), '"')
}

// alignedFiles is how many files are looked at for the widths of the columns. Wider
// cells behind them make their column wider from there on.
const alignedFiles = 1000

// printFiles writes files as a table for people.
func printFiles(w io.Writer, files iter.Seq2[client.File, error]) error {
	t := fileTable{out: bufio.NewWriterSize(w, 64<<10)}
	t.add("POSITION", "ROWS", "SIZE", "UPLOADED", "NAME")
	for f, err := range files {
		if err != nil {
			_ = t.write()
			return endedEarly(t.out, err)
		}
		t.add(strconv.FormatInt(f.Position, 10), strconv.FormatInt(f.RowCount, 10), size(f.SizeBytes), day(f.UploadedAt), f.Name)
		if len(t.waiting) > alignedFiles {
			if err := t.write(); err != nil {
				return err
			}
		}
	}
	if err := t.write(); err != nil {
		return err
	}
	return t.out.Flush()
}

// fileTable aligns rows, some hundred at a time. Its cells are ASCII but for the last
// one of a row, which nothing is aligned with.
type fileTable struct {
	out     *bufio.Writer
	widths  [4]int
	waiting [][5]string
	line    []byte
}

func (t *fileTable) add(cells ...string) {
	for column := range t.widths {
		t.widths[column] = max(t.widths[column], len(cells[column]))
	}
	t.waiting = append(t.waiting, [5]string(cells))
}

// write writes the rows that wait.
func (t *fileTable) write() error {
	const blanks = "                        " // more than any cell is long
	for _, row := range t.waiting {
		for column, width := range t.widths {
			t.line = append(t.line, row[column]...)
			t.line = append(t.line, blanks[:width-len(row[column])]...)
			t.line = append(t.line, "  "...)
		}
		t.line = append(append(t.line, row[4]...), '\n')
		if _, err := t.out.Write(t.line); err != nil {
			return err
		}
		t.line = t.line[:0]
	}
	t.waiting = t.waiting[:0]
	return nil
}
