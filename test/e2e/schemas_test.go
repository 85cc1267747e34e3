package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// TestWriters uploads one table as today's Python writers write it: one schema,
// but for the file that carries a pandas index.
func TestWriters(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	dir := t.TempDir()
	if _, stderr, err := command(t, dir, nil, testtool.Python(t, "writers"), script("python", "writers.py"), dir); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	c := srv.admin()
	id, content := c.create(t), map[string][]byte{}
	names := []string{"pyarrow.parquet", "pyarrow_zstd.parquet", "pandas.parquet", "polars.parquet", "duckdb.parquet", "fastparquet.parquet"}
	want := []field{{"input", "string"}, {"count", "int64"}, {"score", "double"}, {"flag", "bool"}}
	for _, name := range names {
		content[name] = readFile(t, filepath.Join(dir, name))
		f := c.mustUpload(t, id, name, content[name])
		if !slices.Equal(f.Schema.Fields, want) || f.RowCount != 3 {
			t.Errorf("%s: %d rows of %v, want 3 of %v", name, f.RowCount, f.Schema.Fields, want)
		}
	}
	a, err := c.upload(id, "with_index.parquet", readFile(t, filepath.Join(dir, "with_index.parquet")), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := a.refused(t, http.StatusConflict, "schema_mismatch", "__index_level_0__", "pyarrow.parquet")
	if d := r.differences(); len(d) != 1 || d[0]["column"] != "__index_level_0__" || !strings.Contains(fmt.Sprint(d[0]["hint"]), "index=False") {
		t.Errorf("the differences are %v", d)
	}
	c.wantFiles(t, id, names, content)
}

// TestSameTable uploads every fixture of one table into one dataset.
func TestSameTable(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c, content := srv.admin(), map[string][]byte{}
	id, names := c.create(t), fixtureNames(t, "same")
	// DuckDB's file of NOT NULL columns has two of the table's columns only.
	names = slices.DeleteFunc(names, func(name string) bool { return name == "duckdb_notnull.parquet" })
	for _, name := range names {
		content[name] = fixture(t, "same", name)
		c.mustUpload(t, id, name, content[name])
	}
	c.wantFiles(t, id, names, content)
	t.Logf("%d files, one schema", len(names))
}

// TestDifferentTables offers every fixture of another table to that dataset:
// each is refused with a difference that a person can read.
func TestDifferentTables(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c, id := srv.admin(), srv.admin().create(t)
	first := parquet(t, 1)
	c.mustUpload(t, id, "first.parquet", first)
	words := map[string][]string{
		"pandas_pyarrow_index.parquet": {"i64"},
		"pyarrow_int96.parquet":        {"ts_utc", "int96"},
		"spark_default.parquet":        {"ts_utc", "int96"},
		"spark_ts_millis.parquet":      {"ts_utc", "timestamp(ms,utc)", "timestamp(us,utc)"},
		"polars_snappy.parquet":        {`"m"`, "map", "list"},
		"pandas_int_with_null.parquet": {"i64", "int64", "double"},
		"pandas_obj_allnull.parquet":   {"input", "null"},
		"fastparquet_snappy.parquet":   {"tags", "json"},
	}
	for _, name := range fixtureNames(t, "different") {
		t.Run(name, func(t *testing.T) {
			a, err := c.upload(id, name, fixture(t, "different", name), nil)
			if err != nil {
				t.Fatal(err)
			}
			switch name {
			case "pyarrow_dup_cols.parquet":
				a.refused(t, http.StatusBadRequest, "unsupported_parquet", `"a"`)
				return
			case "pyarrow_zero_cols.parquet":
				a.refused(t, http.StatusBadRequest, "unsupported_parquet", "no columns")
				return
			}
			r := a.refused(t, http.StatusConflict, "schema_mismatch", "first.parquet")
			whole := string(a.body)
			for _, word := range words[name] {
				if !strings.Contains(strings.ReplaceAll(whole, `\"`, `"`), word) {
					t.Errorf("the answer does not say %s: %s", word, whole)
				}
			}
			if len(r.differences()) == 0 {
				t.Errorf("the answer has no difference as JSON: %s", whole)
			}
			t.Log(r.Message)
		})
	}
	c.wantFiles(t, id, []string{"first.parquet"}, map[string][]byte{"first.parquet": first})
}

// differences are the columns that a schema_mismatch names.
func (r refusal) differences() []map[string]any {
	var all []map[string]any
	diff, _ := r.Details["diff"].(map[string]any)
	for _, list := range []string{"missing", "extra", "changed"} {
		columns, _ := diff[list].([]any)
		for _, column := range columns {
			if c, ok := column.(map[string]any); ok {
				all = append(all, c)
			}
		}
	}
	return all
}
