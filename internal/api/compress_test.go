package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
)

// list asks for a dataset's files as a client that accepts some encodings.
func list(id, fields string, accepts ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/list-dataset-files", strings.NewReader(`{"dataset_id":"`+id+`"`+fields+`}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header["Accept-Encoding"] = accepts
	return r
}

// fill adds files of which nothing but the entries is there, with names of which
// some bytes do not compress.
func (f *fixture) fill(id string, files int) {
	f.t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	for added := 0; added < files; added += dataset.MaxAppendUploads {
		a := dataset.Append{Tenant: f.who.Tenant, DatasetID: id, Schema: schema.Schema{Fields: []schema.Field{{Name: "a", Type: "int64"}}}}
		for n := added; n < min(added+dataset.MaxAppendUploads, files); n++ {
			var name [8]byte
			random.Read(name[:])
			a.Files = append(a.Files, dataset.File{ID: fmt.Sprint("file-", n), Name: hex.EncodeToString(name[:]), UploadedAt: time.Now()})
		}
		if _, err := f.catalog.Append(f.t.Context(), a); err != nil {
			f.t.Fatal(err)
		}
	}
}

// plain is an answer's body without its compression.
func plain(t *testing.T, w *httptest.ResponseRecorder) []byte {
	t.Helper()
	if w.Header().Get("Content-Encoding") == "" {
		return w.Body.Bytes()
	}
	z, err := gzip.NewReader(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestListingsAreCompressedForWhoAcceptsIt(t *testing.T) {
	f := newFixture(t)
	id := f.filled(9)
	want := f.do(list(id, "")).Body.String()
	for accepts, gzipped := range map[string]bool{
		"gzip": true, "GZip": true, "x-gzip": true, "gzip, deflate": true, "gzip, deflate, br, zstd": true, "*": true,
		"gzip;q=0.5": true, "gzip ; Q=1.000": true, "br;q=1, gzip;q=0.1": true, "identity;q=0.5, gzip;q=0.5": true, "*;q=0.2": true,
		"deflate, gzip;q=1.0, *;q=0.5": true, "br, *": true, "identity;q=0, *": true,

		"": false, "br": false, "identity": false, "deflate, br": false, "gzip;q=0": false, "gzip;q=0.0, *": false, "*;q=0": false,
		"identity, gzip;q=0.5": false, "gzip;q=": false, "gzip;q=x": false, "gzip;q=2": false, "gzip;q=NaN": false, "gzip;p=1": false,
		"gzipped": false, ";": false, ",,": false, "gzip;q=1;q=1": false,
	} {
		w := f.do(list(id, "", accepts))
		if got := w.Header().Get("Content-Encoding"); (got == "gzip") != gzipped || !gzipped && got != "" {
			t.Errorf("Accept-Encoding: %s answers with %q", accepts, got)
		}
		if got := string(plain(t, w)); got != want {
			t.Errorf("Accept-Encoding: %s lists %s, want %s", accepts, got, want)
		}
		if got := w.Header().Get("Vary"); got != "Accept-Encoding" {
			t.Errorf("Accept-Encoding: %s varies with %q", accepts, got)
		}
		if gzipped && w.Body.Len() > len(want)/3 {
			t.Errorf("%d bytes are compressed to %d", len(want), w.Body.Len())
		}
	}
	if w := f.do(list(id, "", "br", "gzip")); w.Header().Get("Content-Encoding") != "gzip" {
		t.Error("the second header is not read")
	}
	if w := f.do(list(id, `,"limit":1`, "gzip")); w.Header().Get("Content-Encoding") != "" {
		t.Error("a short listing is compressed")
	}
	if w := f.do(list("dataset-none", "", "gzip")); w.Code != http.StatusNotFound || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("an error is answered with %d %v", w.Code, w.Header())
	}
}

// Every list is compressed, and no file is, whatever its type.
func TestOtherListingsAndDownloads(t *testing.T) {
	f := newFixture(t)
	for range 9 {
		f.post("/create-dataset", `{"name":"`+strings.Repeat("n", 100)+`"}`)
	}
	r := httptest.NewRequest(http.MethodPost, "/list-datasets", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	if w := f.do(r); w.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(string(plain(t, w)), "nnnn") {
		t.Errorf("list-datasets answers with %v", w.Header())
	}
	_, created := f.post("/create-dataset", "")
	id := created["dataset_id"].(string)
	f.upload("/upload-to-dataset", id, "a.parquet", parquet(t))
	r = httptest.NewRequest(http.MethodPost, "/download-from-dataset", strings.NewReader(`{"dataset_id":"`+id+`","file_name":"a.parquet"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept-Encoding", "gzip")
	if w := f.do(r); w.Header().Get("Content-Encoding") != "" || !bytes.Equal(w.Body.Bytes(), parquet(t)) {
		t.Errorf("a download answers with %v and %d bytes", w.Header(), w.Body.Len())
	}
}

// A compressed answer may be as long as a plain one, so it holds more.
func TestCompressedListingsKeepTheLimit(t *testing.T) {
	const files, limit = 8000, 200_000
	f := newFixture(t)
	_, created := f.post("/create-dataset", "")
	id := created["dataset_id"].(string)
	f.fill(id, files)
	f.config.ResponseLimit = limit
	listed := map[string]int{}
	for _, accepts := range []string{"identity", "gzip"} {
		var page struct {
			Files []struct{ Position int }
			Next  string `json:"next_cursor"`
		}
		n := 0
		for cursor := ""; ; cursor = `,"cursor":"` + page.Next + `"` {
			page.Files, page.Next = nil, ""
			w := f.do(list(id, cursor, accepts))
			if w.Body.Len() > limit {
				t.Fatalf("%s: an answer has %d bytes", accepts, w.Body.Len())
			}
			if err := json.Unmarshal(plain(t, w), &page); err != nil {
				t.Fatal(err)
			}
			for _, file := range page.Files {
				if file.Position != n {
					t.Fatalf("%s: position %d follows %d files", accepts, file.Position, n)
				}
				n++
			}
			if listed[accepts] == 0 {
				listed[accepts] = n
			}
			if page.Next == "" {
				break
			}
		}
		if n != files {
			t.Errorf("%s: %d files", accepts, n)
		}
	}
	if listed["gzip"] < listed["identity"]*5/4 {
		t.Errorf("the first answers have %v files", listed)
	}
}

// stuck is a caller that reads nothing until it is let go, or that is gone.
type stuck struct {
	http.ResponseWriter
	began, goOn chan struct{}
	err         error
}

func (s stuck) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.began <- struct{}{}
	<-s.goOn
	return s.ResponseWriter.Write(p)
}

func TestCompressorsAreBounded(t *testing.T) {
	f := newFixture(t)
	id := f.filled(9)
	handler := api.New(f.config).Handler()
	gone := stuck{ResponseWriter: httptest.NewRecorder(), err: errors.New("gone")}
	for range 100 { // each gives back what it took
		func() {
			defer func() { _ = recover() }()
			handler.ServeHTTP(gone, list(id, "", "gzip"))
		}()
	}
	if got := encodingOf(handler, id); got != "gzip" {
		t.Fatalf("after callers that left, a listing is answered with %q", got)
	}
	const many = 16
	slow := stuck{ResponseWriter: httptest.NewRecorder(), began: make(chan struct{}), goOn: make(chan struct{})}
	done := make(chan struct{})
	for range many {
		go func() {
			handler.ServeHTTP(stuck{httptest.NewRecorder(), slow.began, slow.goOn, nil}, list(id, "", "gzip"))
			done <- struct{}{}
		}()
	}
	for range many {
		<-slow.began
	}
	if got := encodingOf(handler, id); got != "" {
		t.Errorf("beside %d others a listing is answered with %q", many, got)
	}
	go func() {
		for range slow.began { // what they write after the first time
		}
	}()
	close(slow.goOn)
	for range many {
		<-done
	}
	close(slow.began)
	if got := encodingOf(handler, id); got != "gzip" {
		t.Errorf("after them a listing is answered with %q", got)
	}
}

func encodingOf(handler http.Handler, id string) string {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, list(id, "", "gzip"))
	return w.Header().Get("Content-Encoding")
}

// ending is a context that is about to end.
type ending struct{ context.Context }

func (ending) Deadline() (time.Time, bool) { return time.Now(), true }

// A listing that takes too long for its request ends with a cursor, and gets on.
func TestListingEndsBeforeItsTimeIsOver(t *testing.T) {
	f := newFixture(t)
	id := f.filled(3)
	cursor := ""
	for n := range 3 {
		r := list(id, cursor)
		page := decode(t, f.do(r.WithContext(ending{r.Context()})))
		files, next := page["files"].([]any), page["next_cursor"]
		if len(files) != 1 || files[0].(map[string]any)["position"] != float64(n) || (next == nil) != (n == 2) {
			t.Fatalf("answer %d is %v", n, page)
		}
		cursor = fmt.Sprintf(`,"cursor":%q`, next)
	}
}
