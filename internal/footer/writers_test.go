package footer_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/footer"
	"github.com/parqueue/parqueue/internal/schema"
	"github.com/parqueue/parqueue/internal/testtool"
)

// TestWriters writes one table with every writer and compression, here and now,
// and holds the schemas together.
func TestWriters(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(testtool.Python(t, "writers"), "testdata/writers.py", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	reference := readPath(t, filepath.Join(dir, "pyarrow_snappy.parquet"))
	files := make(map[string]int)
	for _, path := range paths {
		name := filepath.Base(path)
		writer, _, _ := strings.Cut(name, "_")
		files[writer]++
		info := readPath(t, path)
		if rows := int64(3); info.NumRows != rows && name != "pyarrow_empty.parquet" {
			t.Errorf("%s has %d rows, want %d", name, info.NumRows, rows)
		}
		diff := schema.Diff(reference.Schema, info.Schema)
		if writer == "fastparquet" {
			wantFastparquet(t, name, diff)
			continue
		}
		if !diff.Empty() || info.Schema.Key() != reference.Schema.Key() {
			t.Errorf("%s: %s", name, diff)
		}
	}
	want := map[string]int{"pyarrow": 18, "pandas": 6, "pandas-arrow": 6, "polars": 8, "duckdb": 7, "fastparquet": 6}
	if !maps.Equal(files, want) {
		t.Errorf("the writers wrote %v files, want %v", files, want)
	}
}

// wantFastparquet expects what fastparquet really stores otherwise, each with
// a hint.
func wantFastparquet(t *testing.T, name string, diff schema.Difference) {
	t.Helper()
	var changed []string
	for _, c := range diff.Changed {
		changed = append(changed, c.Column+" "+c.Found)
		if c.Hint == "" {
			t.Errorf("%s: no hint for %s, which is %s", name, c.Column, c.Found)
		}
	}
	want := []string{"day timestamp(ms,local)", "dec double", "tags json", "st json", "lst json"}
	if !slices.Equal(changed, want) || diff.MissingCount+diff.ExtraCount > 0 {
		t.Errorf("%s: %v, want the changes %v; %s", name, changed, want, diff)
	}
}

func readPath(t testing.TB, path string) footer.Info {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := read(content)
	if err != nil {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
	return info
}
