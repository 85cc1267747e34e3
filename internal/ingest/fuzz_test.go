package ingest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// Whatever a list is, it is one of different names that files can have, and stays
// the same when it is written again; or it is refused.
func FuzzParseOrder(f *testing.F) {
	for _, text := range []string{`["a","b"]`, "[]", "null", `["a","a"]`, `["_order.json"]`, "\ufeff[\"a\"]", `["a"] x`, `["\ud800"]`, `["é"]`, "[[[[", `{"a":1}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		names, err := parseOrder(text)
		if err != nil {
			if !fault.Is(err, fault.CodeInvalidOrder) {
				t.Fatalf("refused with %v", err)
			}
			if _, err := json.Marshal(faultOf(err).Body()); err != nil {
				t.Fatal(err)
			}
			return
		}
		for n, name := range names {
			if dataset.CheckFileName(name) != nil || name == orderName || slices.Contains(names[:n], name) {
				t.Fatalf("%q has %q", names, name)
			}
		}
		again, err := json.Marshal(names)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := parseOrder(again); err != nil || !slices.Equal(same, names) {
			t.Fatalf("%q was written and read as %q, %v", names, same, err)
		}
	})
}

// Whatever a key is, it is that of a file for a dataset, or of nothing; and where it
// is rejected is a place that list-rejections shows and retry-rejection finds.
func FuzzPlaceOf(f *testing.F) {
	for _, key := range []string{"incoming/dataset-1/a.parquet", "incoming//a", "incoming/dataset-1/", "incoming/../x", "rejected/dataset-1/a", "incoming/_/a",
		"incoming/dataset-1/a.error.json", "incoming/dataset-1/" + strings.Repeat("n", 255), "incoming/dataset-1/\xff", "incoming/dataset-1/.."} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		p := placeOf(key)
		if p.datasetID != "" && (!p.incoming || fileAt(p.datasetID, p.name).key != key || !dataset.IDCanExist(p.datasetID)) {
			t.Fatalf("%q is taken for %+v", key, p)
		}
		for _, at := range p.rejectedAt("01a1fe68-2eb8-7cad-8a72-126ecb6e4250") {
			id, ok := strings.CutPrefix(at, RejectedPrefix)
			if !ok || !canBeRejection(id) || len(at+errorSuffix) > 1024 || strings.HasSuffix(at, errorSuffix) {
				t.Fatalf("%q is rejected at %q", key, at)
			}
			_, name, _ := strings.Cut(id, "/")
			if len(name+errorSuffix) > 255 {
				t.Fatalf("%q is rejected as %q, which no file system takes", key, name)
			}
		}
	})
}
