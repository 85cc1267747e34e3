package footer_test

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// FuzzRead makes sure that no input harms the process, that every verdict has a
// code, and that what is accepted keeps the promises of a schema. What is
// accepted is also opened by parquet-go: past this check it may refuse a file,
// and must not end the process.
//
// The input is a footer, so that a change to it does not end at its length; the
// same bytes are tried as a file of their own.
func FuzzRead(f *testing.F) {
	for _, folder := range []string{"same", "different", "hostile"} {
		for _, content := range corpus(f, folder) {
			f.Add(footerOf(content))
			f.Add(content)
		}
	}
	f.Add(chunkWith(columnMetadata(10).set(12, everyType())).encode())
	data := strings.Repeat("0", 16<<10) // more than the seeds' footers point at
	f.Fuzz(func(t *testing.T, input []byte) {
		fuzzRead(t, input)
		fuzzRead(t, file(data, input))
	})
}

// footerOf cuts the footer out of a file, or returns the file when it has none.
func footerOf(content []byte) []byte {
	if len(content) < 12 {
		return content
	}
	end := len(content) - 8
	n := int(binary.LittleEndian.Uint32(content[end:]))
	return content[max(0, end-n):end]
}

func fuzzRead(t *testing.T, content []byte) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	info, err := read(content)
	runtime.ReadMemStats(&after)
	// Fuzzing itself allocates too, so the bound leaves room.
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 32<<20+64*uint64(len(content)) {
		t.Errorf("allocated %d bytes for %d", spent, len(content))
	}
	if err != nil {
		if fault.CodeOf(err) == fault.CodeInternal {
			t.Errorf("an error without a code: %v", err)
		}
		return
	}
	checkInfo(t, info.Schema, info.NumRows, info.RowGroups)
	checkOracle(t, content)
}

func checkInfo(t *testing.T, s schema.Schema, rows int64, groups int) {
	t.Helper()
	if rows < 0 || groups < 0 || len(s.Fields) == 0 {
		t.Errorf("accepted %d rows in %d row groups and %d columns", rows, groups, len(s.Fields))
	}
	encoded, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := schema.Decode(encoded)
	if err != nil {
		t.Fatalf("%v\n%s", err, encoded)
	}
	if !s.Equal(decoded) || !schema.Diff(s, decoded).Empty() {
		t.Errorf("the schema is another one after Encode and Decode: %s", encoded)
	}
}

// checkOracle opens a file with parquet-go. Its one known panic is on sorting
// columns that do not exist, which do not matter here.
func checkOracle(t *testing.T, content []byte) {
	t.Helper()
	if _, err := openOracle(content); err != nil && strings.HasPrefix(err.Error(), "panic") &&
		!strings.Contains(err.Error(), "index out of range") {
		t.Errorf("parquet-go: %v", err)
	}
}
