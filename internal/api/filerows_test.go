package api_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A row of a list says the same of a file as the answer to its upload, and its
// name is as it was given whatever is in it.
func TestRowsOfAList(t *testing.T) {
	f := newFixture(t)
	_, created := f.post("/create-dataset", "")
	id := created["dataset_id"].(string)
	names := []string{"plain.parquet", `quoted "a" and 'b'.parquet`, "<a&b>.parquet", "日本 \u2028é🙂.parquet", "del\u0085~ .parquet"}
	var uploaded []map[string]any
	for _, name := range names {
		if w := f.upload("/upload-to-dataset", id, strings.ReplaceAll(name, `"`, "%22"), parquet(t)); w.Code == http.StatusOK {
			uploaded = append(uploaded, decode(t, w))
		}
	}
	if len(uploaded) < 3 {
		t.Fatalf("%d uploads", len(uploaded))
	}
	_, listed := f.post("/list-dataset-files", `{"dataset_id":"`+id+`"}`)
	_, sdk := f.post("/sdk/list-dataset-files", `{"dataset_id":"`+id+`"}`)
	for n, u := range uploaded {
		row := listed["files"].([]any)[n].(map[string]any)
		for name, value := range row {
			if !reflect.DeepEqual(u[name], value) {
				t.Errorf("%s is %v in the list and %v in the upload's answer", name, value, u[name])
			}
		}
		want := []string{"checksum_crc64nvme", "file_id", "file_name", "position", "row_count", "schema", "size_bytes", "uploaded_at"}
		if got := slices.Sorted(maps.Keys(row)); !slices.Equal(got, want) {
			t.Errorf("a row has %v", got)
		}
		if name := sdk["files"].([]any)[n]; name != u["file_name"] {
			t.Errorf("the list of names has %v for %v", name, u["file_name"])
		}
	}
}

func TestListWithSomeFields(t *testing.T) {
	f := newFixture(t)
	id := f.filled(2)
	_, whole := f.post("/list-dataset-files", `{"dataset_id":"`+id+`"}`)
	for _, path := range []string{"/list-dataset-files", "/sdk/list-dataset-files"} {
		for _, fields := range [][]string{{"file_name"}, {"size_bytes", "file_name"}, {"schema"}, {"position", "position"}, {"checksum_crc64nvme", "row_count", "uploaded_at", "file_id"}} {
			status, page := f.post(path, `{"dataset_id":"`+id+`","fields":["`+strings.Join(fields, `","`)+`"]}`)
			if status != http.StatusOK || len(page["files"].([]any)) != 2 {
				t.Fatalf("%s %v: %d %v", path, fields, status, page)
			}
			for n, row := range page["files"].([]any) {
				want := maps.Clone(whole["files"].([]any)[n].(map[string]any))
				maps.DeleteFunc(want, func(name string, _ any) bool { return !slices.Contains(fields, name) })
				if !reflect.DeepEqual(row, any(want)) {
					t.Errorf("%s %v: %v, want %v", path, fields, row, want)
				}
			}
		}
	}
	for _, fields := range []string{`[]`, `["object_key"]`, `[""]`, `[null]`, `null`, `"file_name"`, `{}`} {
		status, page := f.post("/list-dataset-files", `{"dataset_id":"`+id+`","fields":`+fields+`}`)
		if hint, _ := page["hint"].(string); status != http.StatusBadRequest || page["code"] != "invalid_request" || !strings.Contains(hint, "file_name") {
			t.Errorf("%s: %d %v", fields, status, page)
		}
	}
}
