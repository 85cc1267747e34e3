package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/keys"
)

func TestGetDataset(t *testing.T) {
	f := newFixture(t)
	_, created := f.post("/create-dataset", `{"name":"n","metadata":{"a":[1]}}`)
	id := created["dataset_id"].(string)
	f.upload("/upload-to-dataset", id, "a.parquet", parquet(t))
	for _, body := range []string{`{"dataset_id":"` + id + `"}`, `{"stage_id":"` + id + `"}`} {
		status, got := f.post("/get-dataset", body)
		if status != http.StatusOK || got["dataset_id"] != id || got["name"] != "n" || fmt.Sprint(got["metadata"]) != "map[a:[1]]" ||
			got["file_count"] != 1.0 || got["total_size_bytes"] != float64(len(parquet(t))) || got["row_count"] == 0.0 ||
			got["version"] != 2.0 || got["next_position"] != 1.0 || len(got["schema"].(map[string]any)["fields"].([]any)) == 0 {
			t.Errorf("%s: %d %v", body, status, got)
		}
	}
}

func TestUpdateDataset(t *testing.T) {
	f := newFixture(t)
	_, created := f.post("/create-dataset", `{"name":"n","metadata":{"a":1}}`)
	id := created["dataset_id"].(string)
	for _, test := range []struct {
		fields   string
		status   int
		code     string
		name     string
		metadata string
		version  float64
	}{
		{`"name":"m"`, 200, "", "m", "map[a:1]", 2},
		{`"metadata":{"b":2}`, 200, "", "m", "map[b:2]", 3},
		{`"name":"","metadata":{}`, 200, "", "", "map[]", 4},
		{`"name":"x","if_version":4`, 200, "", "x", "map[]", 5},
		{`"name":"y","if_version":4`, 409, "version_mismatch", "x", "map[]", 5},
		{`"name":"y","if_version":"5"`, 200, "", "y", "map[]", 6}, // as a form has it
		{``, 400, "invalid_request", "y", "map[]", 6},
		{`"if_version":6`, 400, "invalid_request", "y", "map[]", 6},
		{`"name":"z","if_version":0`, 400, "invalid_request", "y", "map[]", 6},
		{`"name":"z","if_version":1.5`, 400, "invalid_request", "y", "map[]", 6},
		{`"name":"z","if_version":null`, 400, "invalid_request", "y", "map[]", 6},
		{`"name":null`, 400, "invalid_request", "y", "map[]", 6},
		{`"name":7`, 400, "invalid_request", "y", "map[]", 6},
		{`"name":"a\u0000b"`, 400, "invalid_name", "y", "map[]", 6},
		{`"metadata":null`, 400, "invalid_metadata", "y", "map[]", 6},
		{`"name":"z","metadata":[]`, 400, "invalid_metadata", "y", "map[]", 6},
	} {
		body := `{"dataset_id":"` + id + `"`
		if test.fields != "" {
			body += "," + test.fields
		}
		status, answer := f.post("/update-dataset", body+"}")
		if code, _ := answer["code"].(string); status != test.status || code != test.code {
			t.Errorf("%s: %d %v", test.fields, status, answer)
		}
		_, got := f.post("/get-dataset", `{"dataset_id":"`+id+`"}`)
		if got["name"] != test.name || fmt.Sprint(got["metadata"]) != test.metadata || got["version"] != test.version {
			t.Errorf("after %s the dataset is %v", test.fields, got)
		}
		if test.status == http.StatusOK && fmt.Sprint(answer) != fmt.Sprint(got) {
			t.Errorf("%s answered %v, the dataset is %v", test.fields, answer, got)
		}
	}
}

// keyed posts JSON under an Idempotency-Key.
func (f *fixture) keyed(path, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	return f.do(r)
}

func TestRepeatedUpdateHasNoSecondEffect(t *testing.T) {
	f := newFixture(t)
	id := f.filled(0)
	body := `{"dataset_id":"` + id + `","name":"n","if_version":1}`
	for range 2 {
		if w := f.keyed("/update-dataset", "k", body); w.Code != http.StatusOK || decode(t, w)["version"] != 2.0 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for _, other := range []string{`"name":"m","if_version":1`, `"name":"n","if_version":2`, `"name":"n"`, `"metadata":{},"if_version":1`} {
		if w := f.keyed("/update-dataset", "k", `{"dataset_id":"`+id+`",`+other+`}`); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s under the same key: %d %s", other, w.Code, w.Body)
		}
	}
}

func TestDeleteDatasetFile(t *testing.T) {
	f := newFixture(t)
	id := f.filled(3)
	body := `{"dataset_id":"` + id + `","file_name":"f001.parquet"}`
	first := f.keyed("/delete-dataset-file", "k", body)
	deleted := decode(t, first)
	if first.Code != http.StatusOK || deleted["deleted"] != true || deleted["position"] != 1.0 || deleted["file_name"] != "f001.parquet" ||
		deleted["dataset_id"] != id || deleted["file_id"] == "" || first.Header().Get("Idempotency-Replayed") != "" {
		t.Fatalf("%d %v", first.Code, deleted)
	}
	if len(f.objects.objects) != 2 {
		t.Errorf("%d objects are stored", len(f.objects.objects))
	}
	again := f.keyed("/delete-dataset-file", "k", body)
	if again.Code != http.StatusOK || again.Body.String() != first.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("repeated: %d %s", again.Code, again.Body)
	}
	for name, test := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"deleted":       {body, 404, "file_not_found"},
		"never there":   {`{"dataset_id":"` + id + `","file_name":"none"}`, 404, "file_not_found"},
		"cannot be":     {`{"dataset_id":"` + id + `","file_name":"../a"}`, 404, "file_not_found"},
		"no name":       {`{"dataset_id":"` + id + `"}`, 400, "invalid_request"},
		"null":          {`{"dataset_id":"` + id + `","file_name":null}`, 400, "invalid_request"},
		"a list":        {`{"dataset_id":"` + id + `","file_name":["f000.parquet"]}`, 400, "invalid_request"},
		"no dataset":    {`{"dataset_id":"dataset-0192f0c1-2345-7abc-8def-0123456789ab","file_name":"f000.parquet"}`, 404, "dataset_not_found"},
		"not a dataset": {`{"dataset_id":"x","file_name":"f000.parquet"}`, 404, "dataset_not_found"},
	} {
		if status, answer := f.post("/delete-dataset-file", test.body); status != test.status || answer["code"] != test.code {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	if status, answer := f.post("/download-from-dataset", body); status != http.StatusNotFound || answer["code"] != "file_not_found" {
		t.Errorf("downloading it: %d %v", status, answer)
	}
	if w := f.upload("/upload-to-dataset", id, "f001.parquet", parquet(t)); w.Code != http.StatusOK || decode(t, w)["position"] != 3.0 {
		t.Fatalf("uploading it again: %d %s", w.Code, w.Body)
	}
	if got := f.names(t, id, `"limit":1`); !equal(got, []string{"f000.parquet", "f002.parquet", "f001.parquet"}) {
		t.Errorf("listed %v", got)
	}
	if again = f.keyed("/delete-dataset-file", "k", body); again.Code != http.StatusOK || len(f.objects.objects) != 3 {
		t.Errorf("repeated once more: %d %s, %d objects", again.Code, again.Body, len(f.objects.objects))
	}
}

// A file is deleted when the catalog says so. That its bytes could not be removed
// is nothing that its owner could act on.
func TestDeleteWhoseBytesStay(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	f.objects.deleteErr = errors.New("the store is away")
	body := `{"dataset_id":"` + id + `","file_name":"f000.parquet"}`
	if w := f.keyed("/delete-dataset-file", "k", body); w.Code != http.StatusOK || len(f.objects.objects) != 1 {
		t.Fatalf("%d %s, %d objects", w.Code, w.Body, len(f.objects.objects))
	}
	f.objects.deleteErr = nil
	if w := f.keyed("/delete-dataset-file", "k", body); w.Code != http.StatusOK || len(f.objects.objects) != 0 {
		t.Fatalf("repeated: %d %s, %d objects", w.Code, w.Body, len(f.objects.objects))
	}
}

// A cursor is a position, so it goes on where it was whatever is deleted.
func TestListingGoesOnAfterDeletes(t *testing.T) {
	for _, gone := range [][]int{{0}, {1}, {2}, {3}, {1, 2}, {2, 3, 4}, {0, 1}, {2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}} {
		f := newFixture(t)
		id := f.filled(6)
		_, page := f.post("/list-dataset-files", `{"dataset_id":"`+id+`","limit":2}`)
		want := "f000.parquet f001.parquet"
		for i := 2; i < 6; i++ {
			if !strings.Contains(fmt.Sprint(gone), fmt.Sprint(i)) {
				want += fmt.Sprintf(" f%03d.parquet", i)
			}
		}
		for _, i := range gone {
			if status, answer := f.post("/delete-dataset-file", fmt.Sprintf(`{"dataset_id":%q,"file_name":"f%03d.parquet"}`, id, i)); status != http.StatusOK {
				t.Fatalf("%d %v", status, answer)
			}
		}
		var got []string
		for range 10 {
			for _, row := range page["files"].([]any) {
				got = append(got, row.(map[string]any)["file_name"].(string))
			}
			next, ok := page["next_cursor"].(string)
			if !ok {
				break
			}
			_, page = f.post("/list-dataset-files", `{"dataset_id":"`+id+`","limit":2,"cursor":"`+next+`"}`)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("without %v: listed %v, want %s", gone, got, want)
		}
	}
}

// A download that a deletion overtakes before its first byte finds no file; one
// that is overtaken later is whole or cut off, like any whose store fails.
func TestDownloadThatIsOvertaken(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	body := `{"dataset_id":"` + id + `","file_name":"f000.parquet"}`
	f.objects.opened = func() { // the catalog has been asked, the bytes have not
		if status, answer := f.post("/delete-dataset-file", body); status != http.StatusOK {
			t.Errorf("%d %v", status, answer)
		}
	}
	if status, answer := f.post("/download-from-dataset", body); status != http.StatusNotFound || answer["code"] != "file_not_found" {
		t.Fatalf("%d %v", status, answer)
	}
}

func TestDeleteDataset(t *testing.T) {
	f := newFixture(t)
	id, kept := f.filled(3), f.filled(2)
	body := `{"dataset_id":"` + id + `"}`
	for name, test := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"another version": {`{"dataset_id":"` + id + `","if_version":3}`, 409, "version_mismatch"},
		"no version":      {`{"dataset_id":"` + id + `","if_version":0}`, 400, "invalid_request"},
		"null":            {`{"dataset_id":"` + id + `","if_version":null}`, 400, "invalid_request"},
		"nothing":         {`{}`, 400, "invalid_request"},
		"no dataset":      {`{"dataset_id":"dataset-0192f0c1-2345-7abc-8def-0123456789ab"}`, 404, "dataset_not_found"},
		"not a dataset":   {`{"dataset_id":"x"}`, 404, "dataset_not_found"},
	} {
		if status, answer := f.post("/delete-dataset", test.body); status != test.status || answer["code"] != test.code {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	if got := f.names(t, id, `"limit":10`); len(got) != 3 {
		t.Fatalf("listed %v", got)
	}
	first := f.keyed("/delete-dataset", "k", `{"dataset_id":"`+id+`","if_version":4}`)
	deleted := decode(t, first)
	if size := 3.0 * float64(len(parquet(t))); first.Code != http.StatusOK || deleted["dataset_id"] != id || deleted["state"] != "deleting" ||
		deleted["file_count"] != 3.0 || deleted["total_size_bytes"] != size || first.Header().Get("Idempotency-Replayed") != "" {
		t.Fatalf("%d %v", first.Code, deleted)
	}
	again := f.keyed("/delete-dataset", "k", `{"dataset_id":"`+id+`","if_version":4}`)
	if again.Code != http.StatusOK || again.Body.String() != first.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("repeated: %d %s", again.Code, again.Body)
	}
	if w := f.keyed("/delete-dataset", "k", body); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("another request under the same key: %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/get-dataset", "/delete-dataset", "/sdk/delete-dataset", "/list-dataset-files", "/verify-dataset"} {
		if status, answer := f.post(path, body); status != http.StatusNotFound || answer["code"] != "dataset_not_found" {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
	if w := f.upload("/upload-to-dataset", id, "new.parquet", parquet(t)); w.Code != http.StatusNotFound || decode(t, w)["code"] != "dataset_not_found" {
		t.Errorf("uploading: %d %s", w.Code, w.Body)
	}
	_, list := f.post("/list-datasets", "")
	if rows := list["datasets"].([]any); len(rows) != 1 || rows[0].(map[string]any)["dataset_id"] != kept {
		t.Errorf("listed %v", rows)
	}
	if len(f.objects.objects) != 5 { // nobody purges here, and the refused upload left nothing
		t.Errorf("%d objects are stored", len(f.objects.objects))
	}
}

func TestScopesOfChanges(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	f.who.Scopes = []keys.Scope{keys.ScopeRead}
	if status, answer := f.post("/get-dataset", `{"dataset_id":"`+id+`"}`); status != http.StatusOK {
		t.Errorf("reading with a read key: %d %v", status, answer)
	}
	changes := map[string]string{
		"/update-dataset":      `{"dataset_id":"` + id + `","name":"n"}`,
		"/delete-dataset-file": `{"dataset_id":"` + id + `","file_name":"f000.parquet"}`,
		"/delete-dataset":      `{"dataset_id":"` + id + `"}`,
	}
	for path, body := range changes {
		if status, answer := f.post(path, body); status != http.StatusForbidden {
			t.Errorf("%s with a read key: %d %v", path, status, answer)
		}
	}
	changes["/get-dataset"] = `{"dataset_id":"` + id + `"}`
	f.who.Scopes = []keys.Scope{keys.ScopeWrite, keys.ScopeRead}
	for name, who := range map[string]func(*keys.Principal){
		"another tenant":      func(p *keys.Principal) { p.Tenant = "other" },
		"a key of another id": func(p *keys.Principal) { p.Datasets = []string{"dataset-0192f0c1-2345-7abc-8def-0123456789ab"} },
	} {
		before := f.who
		who(&f.who)
		for path, body := range changes {
			if status, answer := f.post(path, body); status != http.StatusNotFound || answer["code"] != "dataset_not_found" {
				t.Errorf("%s, %s: %d %v", name, path, status, answer)
			}
		}
		f.who = before
	}
	if _, got := f.post("/get-dataset", changes["/get-dataset"]); got["version"] != 2.0 {
		t.Errorf("the dataset is %v", got)
	}
}

func TestIngestOrder(t *testing.T) {
	f := newFixture(t)
	_, usual := f.post("/create-dataset", `{}`)
	status, named := f.post("/create-dataset", `{"ingest_order":"name"}`)
	if status != http.StatusOK || usual["ingest_order"] != "arrival" || named["ingest_order"] != "name" {
		t.Fatalf("%d %v %v", status, usual, named)
	}
	for _, wrong := range []string{`"size"`, `"Name"`, `7`, `null`} {
		if status, answer := f.post("/create-dataset", `{"ingest_order":`+wrong+`}`); status != http.StatusBadRequest || answer["code"] != "invalid_request" {
			t.Errorf("created with %s: %d %v", wrong, status, answer)
		}
		if status, answer := f.post("/update-dataset", `{"dataset_id":"`+named["dataset_id"].(string)+`","ingest_order":`+wrong+`}`); status != http.StatusBadRequest || answer["code"] != "invalid_request" {
			t.Errorf("updated to %s: %d %v", wrong, status, answer)
		}
	}
	for _, order := range []string{"arrival", "name"} {
		status, updated := f.post("/update-dataset", `{"dataset_id":"`+usual["dataset_id"].(string)+`","ingest_order":"`+order+`"}`)
		_, got := f.post("/get-dataset", `{"dataset_id":"`+usual["dataset_id"].(string)+`"}`)
		if status != http.StatusOK || updated["ingest_order"] != order || got["ingest_order"] != order || got["name"] != "" {
			t.Errorf("%d %v, then %v", status, updated, got)
		}
	}
}
