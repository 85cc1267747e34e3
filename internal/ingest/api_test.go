package ingest_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/keys"
)

// overAPI answers for the rejections of a world, with at most so many bytes a list.
func overAPI(w *world, limit int) http.Handler {
	return api.New(api.Config{
		Rejections:    w.rejections(),
		Principal:     func(*http.Request) (keys.Principal, error) { return owner, nil },
		Log:           slog.New(slog.DiscardHandler),
		ResponseLimit: limit,
	}).Handler()
}

// A list of rejections gives back the compressor that it took: after many lists
// the next one is compressed as well.
func TestListsOfRejectionsGiveBackTheirCompressor(t *testing.T) {
	handler := overAPI(rejected(t), 0)
	for n := range 100 {
		r := httptest.NewRequest(http.MethodPost, "/list-rejections", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept-Encoding", "gzip")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		if got := recorder.Header().Get("Content-Encoding"); recorder.Code != http.StatusOK || got != "gzip" {
			t.Fatalf("list %d: %d, encoded as %q, of %d bytes", n, recorder.Code, got, recorder.Body.Len())
		}
	}
}

// The endpoints that are about rejections. Their tests are here because the inbox
// in memory is.
func TestRejectionsOverTheAPI(t *testing.T) {
	w := rejected(t)
	handler := func(limit int) http.Handler { return overAPI(w, limit) }
	limit := 0
	post := func(path, body string, status int) map[string]any {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		handler(limit).ServeHTTP(recorder, r)
		var answer map[string]any
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || recorder.Code != status {
			t.Fatalf("%s %s: %d %s", path, body, recorder.Code, recorder.Body)
		}
		return answer
	}
	page := post("/list-rejections", `{"dataset_id":"dataset-1","limit":1}`, 200)
	first := page["rejections"].([]any)[0].(map[string]any)
	reason := first["reason"].(map[string]any)
	if len(page["rejections"].([]any)) != 1 || first["rejection_id"] != "dataset-1/a" || first["dataset_id"] != arriving || first["file_name"] != "a" ||
		first["object_key"] != "incoming/dataset-1/a" || first["size_bytes"] != 10.0 || first["rejected_at"] == "" || reason["code"] != "not_parquet" || reason["hint"] == "" {
		t.Errorf("the first page is %v", page)
	}
	next := post("/sdk/list-rejections", `{"stage_id":"dataset-1","cursor":"`+page["next_cursor"].(string)+`"}`, 200)
	if rows := next["rejections"].([]any); len(rows) != 1 || next["next_cursor"] != nil || rows[0].(map[string]any)["rejection_id"] != "dataset-1/b" {
		t.Errorf("the next page is %v", next)
	}
	limit = 1000
	count := 0
	for cursor, more := "", true; more; { // as many as fit
		short := post("/list-rejections", `{"cursor":"`+cursor+`"}`, 200)
		count += len(short["rejections"].([]any))
		cursor, more = short["next_cursor"].(string)
	}
	if count != 5 {
		t.Errorf("in short pages there are %d rejections", count)
	}
	if answer := post("/retry-rejection", `{"rejection_id":"dataset-1/a"}`, 200); answer["retried"] != true || answer["file_name"] != "a" {
		t.Errorf("retried: %v", answer)
	}
	if answer := post("/retry-rejection", `{"rejection_id":"dataset-1/a"}`, 404); answer["code"] != "rejection_not_found" || answer["rejection_id"] != "dataset-1/a" {
		t.Errorf("retried again: %v", answer)
	}
	if answer := post("/delete-rejection", `{"rejection_id":"dataset-1/b"}`, 200); answer["deleted"] != true {
		t.Errorf("deleted: %v", answer)
	}
	for path, bodies := range map[string][]string{
		"/retry-rejection":  {``, `{"rejection_id":7}`, `{"rejection_id":""}`},
		"/delete-rejection": {`{}`},
		"/list-rejections":  {`{"limit":0}`, `{"limit":501}`, `{"cursor":"ü"}`, `{"cursor":7}`},
	} {
		for _, body := range bodies {
			if answer := post(path, body, 400); answer["code"] != "invalid_request" {
				t.Errorf("%s %s: %v", path, body, answer)
			}
		}
	}
}
