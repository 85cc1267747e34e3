package e2e

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/testtool"
)

// TestBadFiles uploads what is no Parquet file that a dataset can hold.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	g := guard(t, serve(t, setup{}).admin())
	good := parquet(t, 1)
	longFooter := bytes.Clone(good)
	binary.LittleEndian.PutUint32(longFooter[len(longFooter)-8:], 1<<30)
	encrypted := append(bytes.Clone(good[:len(good)-4]), "PARE"...)
	for _, test := range []struct {
		name    string
		content []byte
		code    string
		words   []string
	}{
		{"empty", nil, "not_parquet", []string{"empty"}},
		{"text", []byte("input,output\n1,2\n3,4\n"), "not_parquet", []string{"Parquet"}},
		{"JSON", []byte(`{"error": "not a Parquet file at all"}`), "not_parquet", []string{"Parquet"}},
		{"[object Object]", []byte("[object Object]"), "not_parquet", []string{"Parquet"}},
		{"magic alone", []byte("PAR1"), "not_parquet", nil},
		{"truncated", good[:len(good)-100], "truncated_parquet", []string{"end"}},
		{"truncated by one", good[:len(good)-1], "truncated_parquet", nil},
		{"truncated to half", good[:len(good)/2], "truncated_parquet", nil},
		{"no head", good[8:], "", nil},
		{"footer longer than the file", longFooter, "", []string{"footer"}},
		{"encrypted footer", encrypted, "encrypted_parquet", []string{"encrypt"}},
		{"encrypted by pyarrow, plain footer", encryptedFile(t, "plain"), "encrypted_parquet", []string{"encrypt"}},
		{"encrypted by pyarrow", encryptedFile(t, "encrypted"), "encrypted_parquet", []string{"encrypt"}},
		{"duplicate columns", fixture(t, "different", "pyarrow_dup_cols.parquet"), "unsupported_parquet", []string{`"a"`}},
		{"no columns", fixture(t, "different", "pyarrow_zero_cols.parquet"), "unsupported_parquet", []string{"no columns"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := g.upload(g.id, "bad.parquet", test.content, nil)
			if err != nil {
				t.Fatal(err)
			}
			var r refusal
			a.decode(t, http.StatusBadRequest, &r)
			code := test.code
			if code == "" { // either is a fair name for it
				code = r.Code
			}
			a.refused(t, http.StatusBadRequest, code, test.words...)
			if code == "internal" || strings.HasPrefix(code, "invalid_m") {
				t.Errorf("code %s", code)
			}
			g.unchanged(t)
		})
	}
}

// encryptedFile has pyarrow write a file with Parquet's own encryption, with
// the footer "encrypted" or "plain".
func encryptedFile(t *testing.T, footer string) []byte {
	t.Helper()
	stdout, stderr, err := command(t, "", nil, testtool.Python(t, "writers"), script("python", "encrypted.py"), footer)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	return latin1(stdout)
}

// TestHostileFiles uploads every hostile footer as the first file of a dataset
// and as a later one. Each gets its verdict quickly, with the process alive and
// its memory bounded.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	g := guard(t, srv.admin())
	accepted := acceptable()
	before := peakMemory(t, srv.pid)
	slowest := time.Duration(0)
	for _, name := range fixtureNames(t, "hostile") {
		t.Run(name, func(t *testing.T) {
			content := fixture(t, "hostile", name)
			a, err := g.upload(g.id, "hostile.parquet", content, nil)
			if err != nil {
				t.Fatal(err)
			}
			slowest = max(slowest, a.took)
			want := http.StatusBadRequest
			if accepted[name] {
				want = http.StatusConflict // another schema than the dataset's
			}
			var r refusal
			a.decode(t, want, &r)
			a.refused(t, want, r.Code)
			switch r.Code {
			case "not_parquet", "truncated_parquet", "invalid_parquet", "encrypted_parquet", "parquet_limit", "unsupported_parquet", "schema_mismatch":
			default:
				t.Errorf("code %s: %s", r.Code, a.body)
			}
			g.unchanged(t)

			id := g.create(t)
			if a, err = g.upload(id, "hostile.parquet", content, nil); err != nil {
				t.Fatal(err)
			}
			slowest = max(slowest, a.took)
			if accepted[name] != (a.status == http.StatusOK) {
				t.Errorf("as the first file: %d %s", a.status, a.body)
			}
			if files := g.files(t, id); len(files) == 1 != accepted[name] {
				t.Errorf("lists %+v", files)
			}
		})
	}
	if slowest > 5*time.Second {
		t.Errorf("the slowest verdict took %v", slowest)
	}
	grown := peakMemory(t, srv.pid) - before
	if grown > 64<<20 {
		t.Errorf("the server grew by %d MB", grown>>20)
	}
	t.Logf("slowest verdict %v, memory grew by %d MB", slowest, grown>>20)
}

// acceptable names the hostile fixtures whose footers are sound as far as a
// footer can show.
func acceptable() map[string]bool {
	sound := map[string]bool{}
	for _, name := range []string{"f10_valid_rg", "f34_colindex_oob", "f36_colindex_len_2G", "f37_sorting_idx_oob", "f39_ordinal_oob",
		"f41_ordinal_oob_with_index", "f51_logical_99", "f65_map_key_optional_group", "f69_encoding_neg", "f71_rows_huge", "f73_bloom_off_neg",
		"f85_statistics_huge"} {
		sound[name+".parquet"] = true
	}
	return sound
}
