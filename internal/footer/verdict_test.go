package footer_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/footer"
	"github.com/parqueue/parqueue/internal/schema"
)

func read(content []byte) (footer.Info, error) {
	return footer.Read(bytes.NewReader(content), int64(len(content)))
}

// corpus returns the files of a folder of testdata by name.
func corpus(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.parquet"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s: %v", folder, err)
	}
	files := make(map[string][]byte, len(paths))
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = content
	}
	return files
}

// table is the logical table that every file of same/ holds.
const table = `"input":string,"i64":int64,"i32":int32,"f64":double,"f32":float,"flag":bool,"day":date,` +
	`"ts_utc":timestamp(us,utc),"ts_naive":timestamp(us,local),"dec":decimal(10,2),"bin":binary,"tags":list<string>,` +
	`"st":struct<"a":int32,"b":string>,"lst":list<struct<"a":int32,"b":string>>,"m":map<string,int32>,"cat":string,"lstr":string`

// TestSame holds many writers' files of one table together: they have one key.
//
// duckdb_notnull.parquet has only the table's first two columns, whichever
// reader one asks; its key is that of those two, without regard to NOT NULL.
func TestSame(t *testing.T) {
	files := corpus(t, "same")
	reference, err := read(files["pyarrow_default.parquet"])
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(render(reference.Schema.Fields), "?", ""); got != table {
		t.Fatalf("schema is\n%s, want\n%s", got, table)
	}
	for name, content := range files {
		info, err := read(content)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := reference.Schema
		if name == "duckdb_notnull.parquet" {
			want = schema.Schema{Fields: want.Fields[:2]}
		}
		if info.Schema.Key() != want.Key() {
			t.Errorf("%s: %s", name, schema.Diff(want, info.Schema))
		}
	}
}

// TestDifferent compares with testdata/different.txt, and makes sure that every
// difference from the table of same/ can be told.
func TestDifferent(t *testing.T) {
	text, err := os.ReadFile("testdata/different.txt")
	if err != nil {
		t.Fatal(err)
	}
	reference, err := read(corpus(t, "same")["pyarrow_default.parquet"])
	if err != nil {
		t.Fatal(err)
	}
	files := corpus(t, "different")
	for line := range strings.Lines(string(text)) {
		name, want, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "#" {
			continue
		}
		info, err := read(files[name])
		got := render(info.Schema.Fields)
		if err != nil {
			got = "refused: " + string(fault.CodeOf(err))
		}
		if got != want {
			t.Errorf("%s is\n%s, want\n%s (%v)", name, got, want, err)
		}
		if err == nil && schema.Diff(reference.Schema, info.Schema).Empty() {
			t.Errorf("%s does not differ from the table of same/", name)
		}
		delete(files, name)
	}
	if len(files) > 0 {
		t.Errorf("no expectation for %d files", len(files))
	}
}

// hostile is the verdict on each file of hostile/ and on the large ones that
// largeHostile makes; "" means that it is accepted: as far as a footer can show,
// it is sound.
func hostile() map[string]fault.Code {
	return map[string]fault.Code{
		"f00_empty":                   fault.CodeNotParquet,
		"f02_8bytes":                  fault.CodeNotParquet,
		"f04_len4G_12bytes":           fault.CodeInvalidParquet,
		"f06_len_size+1":              fault.CodeInvalidParquet,
		"f08_PARE":                    fault.CodeEncryptedParquet,
		"f10_valid_rg":                "",
		"f12_schema_list_100M":        fault.CodeInvalidParquet,
		"f14_rowgroups_list_20M":      fault.CodeInvalidParquet,
		"f15b_columns_list_50M":       fault.CodeInvalidParquet,
		"f17_encodings_list_2G":       fault.CodeInvalidParquet,
		"f19_rowgroups_1000000_stop":  fault.CodeInvalidParquet,
		"f21_deep_struct_1000":        fault.CodeParquetLimit,
		"f21_deep_struct_1000000":     fault.CodeParquetLimit,
		"f23_schema_depth_1000":       fault.CodeParquetLimit,
		"f23_schema_depth_200":        fault.CodeParquetLimit,
		"f23_schema_depth_256":        fault.CodeParquetLimit,
		"f24_nchildren_2G":            fault.CodeInvalidParquet,
		"f26_nchildren_nested_neg":    fault.CodeInvalidParquet,
		"f28_schema_empty":            fault.CodeInvalidParquet,
		"f30_rg_zero_cols":            fault.CodeUnsupportedParquet,
		"f32_rg_extra_cols":           fault.CodeInvalidParquet,
		"f34_colindex_oob":            "", // indexes and Bloom filters are neither read nor handed on
		"f36_colindex_len_2G":         "",
		"f37_sorting_idx_oob":         "",
		"f39_ordinal_oob":             "",
		"f41_ordinal_oob_with_index":  "",
		"f43_decimal_bool":            fault.CodeInvalidParquet,
		"f45_flba_nolen":              fault.CodeInvalidParquet,
		"f47_flba_hugelen":            fault.CodeInvalidParquet,
		"f49_type_99":                 fault.CodeInvalidParquet,
		"f51_logical_99":              "", // a type of the future is what it is stored as
		"f53_ts_unit99":               fault.CodeInvalidParquet,
		"f55_int_bits7":               fault.CodeInvalidParquet,
		"f57_ts_on_bool":              fault.CodeInvalidParquet,
		"f59_list_nochild":            fault.CodeInvalidParquet,
		"f61_list_nonrepeated":        fault.CodeInvalidParquet,
		"f63_map_leaf":                fault.CodeInvalidParquet,
		"f65_map_key_optional_group":  "",
		"f67_codec_neg":               fault.CodeInvalidParquet,
		"f69_encoding_neg":            "",
		"f71_rows_huge":               "", // the number of rows is a claim
		"f73_bloom_off_neg":           "",
		"f75_name_nonutf8":            fault.CodeInvalidParquet,
		"f77_name_1MB":                fault.CodeParquetLimit,
		"f78_cols_65534":              fault.CodeParquetLimit,
		"f79_meta_missing":            fault.CodeInvalidParquet,
		"f81_dup_fields":              fault.CodeInvalidParquet,
		"f83_offset_3GiB_small":       fault.CodeInvalidParquet,
		"f85_statistics_huge":         "",
		"nested_lists_16M":            fault.CodeParquetLimit,
		"nested_structs_16M":          fault.CodeParquetLimit,
		"many_row_groups":             fault.CodeParquetLimit,
		"names_5MB":                   fault.CodeParquetLimit,
		"groups_claim_too_much":       fault.CodeInvalidParquet,
		"strings_of_nothing":          "",
		"key_values_2G":               fault.CodeInvalidParquet,
		"repeated_groups_64_deep":     "",
		"wide_20000":                  "",
		"footer_of_empty_structs_8MB": fault.CodeInvalidParquet,
	}
}

// judgeTime is far more than the second that a verdict may take, for the race
// detector's sake and for busy machines: the slowest one takes some 20 ms.
const judgeTime = 5 * time.Second

// TestHostile judges footers that were made to hurt. No verdict may take long,
// or more than 64 MB of allocations.
func TestHostile(t *testing.T) {
	files := corpus(t, "hostile")
	for name, content := range largeHostile() {
		files[name+".parquet"] = content
	}
	for name, want := range hostile() {
		t.Run(name, func(t *testing.T) {
			content, ok := files[name+".parquet"]
			if !ok {
				t.Fatal("there is no such file")
			}
			cost := judge(t, content, want)
			if cost.bytes > 64<<20 {
				t.Errorf("allocated %d bytes", cost.bytes)
			}
			if cost.time > judgeTime {
				t.Errorf("took %v", cost.time)
			}
		})
		delete(files, name+".parquet")
	}
	for name := range files {
		t.Errorf("no verdict for %s", name)
	}
}

type judgement struct {
	bytes uint64
	time  time.Duration
}

func judge(t *testing.T, content []byte, want fault.Code) judgement {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	_, err := read(content)
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	wantCode(t, err, want)
	return judgement{bytes: after.TotalAlloc - before.TotalAlloc, time: elapsed}
}

// wantCode checks an error's code, and that its texts are fit for a caller.
func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Fatalf("the verdict is %q, want %q: %v", got, want, err)
	}
	if err == nil {
		return
	}
	var f *fault.Error
	if !errors.As(err, &f) || f.Hint == "" || len(f.Message) > 400 || !strings.HasSuffix(f.Message, ".") {
		t.Errorf("the error is not fit for a person: %q, hint %q", f.Message, f.Hint)
	}
}
