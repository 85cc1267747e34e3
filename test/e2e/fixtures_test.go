package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// fixtures is the folder of Parquet files that a real writer or a hostile hand
// made: "same", "different" or "hostile".
func fixtures(kind string) string {
	return filepath.Join(testtool.Root(), "internal", "footer", "testdata", kind)
}

// fixture reads one of them.
func fixture(t testing.TB, kind, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(fixtures(kind), name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// fixtureNames lists a kind.
func fixtureNames(t testing.TB, kind string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(fixtures(kind), "*.parquet"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no Parquet files in %s: %v", fixtures(kind), err)
	}
	names := make([]string, len(paths))
	for i, path := range paths {
		names[i] = filepath.Base(path)
	}
	return names
}

// parquet returns a small valid file that differs from every other number's.
func parquet(t testing.TB, number int) []byte {
	t.Helper()
	head, footer := split(t, fixture(t, "same", "pyarrow_none.parquet"))
	return bytes.Join([][]byte{head, fmt.Appendf(nil, "%016d", number), footer}, nil)
}

// split cuts a Parquet file before its footer. Bytes put in between belong to
// no column chunk, so the file stays valid.
func split(t testing.TB, content []byte) (head, footer []byte) {
	t.Helper()
	length := int(binary.LittleEndian.Uint32(content[len(content)-8:]))
	at := len(content) - 8 - length
	if at < 4 {
		t.Fatal("not a Parquet file")
	}
	return content[:at], content[at:]
}

// write puts files into a folder.
func write(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// boundary separates the parts of the forms that the tests write.
const boundary = "----e2e-7d1b3f0a9c"

// part is one part of a form: its headers, and what it holds.
type part struct {
	header string
	body   []byte
}

// text is a field.
func text(name, value string) part {
	return part{`Content-Disposition: form-data; name="` + name + `"`, []byte(value)}
}

// file is a file under the field "file". name goes into the header as it is.
func file(name string, content []byte) part {
	return part{`Content-Disposition: form-data; name="file"; filename="` + name + `"` +
		"\r\nContent-Type: application/octet-stream", content}
}

// form encodes parts and returns their Content-Type.
func form(parts ...part) (contentType string, body []byte) {
	var b bytes.Buffer
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\n%s\r\n\r\n%s\r\n", boundary, p.header, p.body)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return formType, b.Bytes()
}

const formType = "multipart/form-data; boundary=" + boundary
