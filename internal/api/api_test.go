package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// memory is an object store in memory. The real ones are tested where they are;
// this one fails on demand.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	getErr  error         // what Get fails with
	read    func() []byte // what Get reads instead of the object, if set
	opened  func()        // called when Get begins, if set
	got     []dataset.Range

	deleteErr error // what Delete fails with
	statErr   error // what Stat fails with

	ask   sync.Mutex
	asked func() // called when Stat begins, if set
}

func (m *memory) Put(_ context.Context, key string, body io.Reader, _ int64) (dataset.Stored, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return dataset.Stored{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = b
	return dataset.Stored{SizeBytes: int64(len(b)), CRC64NVME: sum(b)}, nil
}

func (m *memory) Get(_ context.Context, key string, part dataset.Range) (io.ReadCloser, error) {
	if m.opened != nil {
		m.opened()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.getErr != nil {
		return nil, m.getErr
	}
	if m.read != nil {
		return io.NopCloser(bytes.NewReader(m.read())), nil
	}
	object, ok := m.objects[key]
	if !ok {
		return nil, errNoObject()
	}
	m.got = append(m.got, part)
	length := part.Length
	if length == 0 {
		length = int64(len(object)) - part.Offset
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(object), part.Offset, length)), nil
}

func (m *memory) Stat(_ context.Context, key string) (dataset.Stored, error) {
	m.ask.Lock()
	if m.asked != nil {
		m.asked()
	}
	m.ask.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	object, ok := m.objects[key]
	if !ok {
		return dataset.Stored{}, errNoObject()
	}
	return dataset.Stored{SizeBytes: int64(len(object)), CRC64NVME: sum(object)}, m.statErr
}

func errNoObject() error {
	return fault.New(fault.CodeFileNotFound, "The file's bytes are not in the store.", "List the dataset again.")
}

// sum stands for a checksum.
func sum(object []byte) string { return fmt.Sprintf("%x", crc32.ChecksumIEEE(object)) }

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deleteErr == nil {
		delete(m.objects, key)
	}
	return m.deleteErr
}

func (m *memory) PresignGet(_ context.Context, _, name string, _ time.Duration) (string, error) {
	return "https://bucket.example/" + name + "?X-Amz-Signature=s3cr3t", nil
}

// fixture is an API over the embedded catalog.
type fixture struct {
	t       *testing.T
	config  api.Config
	catalog *sqlite.Catalog
	objects *memory
	who     keys.Principal
	log     *bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	catalog, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { catalog.Close() })
	f := &fixture{t: t, catalog: catalog, objects: &memory{objects: make(map[string][]byte)}, log: new(bytes.Buffer)}
	f.who = keys.Principal{Tenant: "acme", KeyID: "key-1", Scopes: []keys.Scope{keys.ScopeWrite}}
	f.config = api.Config{
		Service:   dataset.NewService(catalog, f.objects),
		Principal: func(*http.Request) (keys.Principal, error) { return f.who, nil },
		Log:       slog.New(slog.NewJSONHandler(f.log, nil)),
	}
	return f
}

// do sends a request to the API as it is configured now.
func (f *fixture) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	api.New(f.config).Handler().ServeHTTP(w, r)
	return w
}

// post sends JSON and reads the answer's.
func (f *fixture) post(path, body string) (int, map[string]any) {
	f.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := f.do(r)
	return w.Code, decode(f.t, w)
}

func decode(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Fatalf("Content-Type is %q: %s", got, w.Body)
	}
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return answer
}

// parquet is a small real file.
func parquet(t *testing.T) []byte {
	t.Helper()
	file, err := os.ReadFile("../footer/testdata/same/pyarrow_default.parquet")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// upload sends a form with a file.
func (f *fixture) upload(path, id, name string, file []byte, header ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	form.WriteField("dataset_id", id)
	part, err := form.CreateFormFile("file", name)
	if err != nil {
		f.t.Fatal(err)
	}
	part.Write(file)
	form.Close()
	r := httptest.NewRequest(http.MethodPost, path, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return f.do(r)
}

// filled makes a dataset of some files and returns its id.
func (f *fixture) filled(files int) string {
	f.t.Helper()
	_, created := f.post("/create-dataset", "")
	id := created["dataset_id"].(string)
	for i := range files {
		if w := f.upload("/upload-to-dataset", id, fmt.Sprintf("f%03d.parquet", i), parquet(f.t)); w.Code != http.StatusOK {
			f.t.Fatalf("upload %d: %s", i, w.Body)
		}
	}
	return id
}

func TestRoutes(t *testing.T) {
	f := newFixture(t)
	for _, test := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/try-authentication", 200, ""},
		{"GET", "//try-authentication/", 200, ""},
		{"GET", "/sdk//try-authentication", 200, ""},
		{"GET", "/create-stage", 200, ""},
		{"GET", "/sdk/create-stage", 200, ""},
		{"POST", "//create-stage", 200, ""},
		{"POST", "/list-stages", 200, ""},
		{"GET", "/", 404, "route_not_found"},
		{"GET", "/sdk", 404, "route_not_found"},
		{"GET", "/sdk/sdk/try-authentication", 404, "route_not_found"},
		{"GET", "/try-authentication/x", 404, "route_not_found"},
		{"POST", "/try-authentication", 405, "method_not_allowed"},
		{"DELETE", "/create-dataset", 405, "method_not_allowed"},
		{"GET", "/upload-to-dataset", 405, "method_not_allowed"},
	} {
		w := f.do(httptest.NewRequest(test.method, test.path, nil))
		answer := decode(t, w)
		if w.Code != test.status || (test.code != "" && answer["code"] != test.code) {
			t.Errorf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
		if w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s %s has no request id", test.method, test.path)
		}
		if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", test.method, test.path)
		}
	}
}

func TestErrorShape(t *testing.T) {
	f := newFixture(t)
	status, answer := f.post("/list-dataset-files", `{"dataset_id": "dataset-0192f0c1-2345-7abc-8def-0123456789ab"}`)
	if status != http.StatusNotFound || answer["code"] != "dataset_not_found" || answer["error"] == "" ||
		answer["error"] != answer["message"] || answer["hint"] == "" {
		t.Fatalf("%d %v", status, answer)
	}
}

func TestFields(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	for _, test := range []struct {
		name, contentType, body string
		status                  int
		code, text              string
	}{
		{"JSON", "application/json", `{"dataset_id":"` + id + `"}`, 200, "", ""},
		{"JSON with unknown fields", "application/json; charset=utf-8", `{"dataset_id":"` + id + `","x":[{}]}`, 200, "", ""},
		{"the other name", "application/json", `{"stage_id":"` + id + `"}`, 200, "", ""},
		{"JSON called a form", "application/x-www-form-urlencoded", ` {"dataset_id":"` + id + `"}`, 200, "", ""},
		{"a form", "application/x-www-form-urlencoded", "dataset_id=" + id, 200, "", ""},
		{"nothing", "application/json", "", 400, "invalid_request", `"dataset_id" is missing`},
		{"a list", "application/json", `[1]`, 400, "invalid_json", "not one JSON object"},
		{"null", "application/json", `null`, 400, "invalid_json", "not one JSON object"},
		{"half", "application/json", `{"dataset_id":"` + id, 400, "invalid_json", "not one JSON object"},
		{"two objects", "application/json", `{"dataset_id":"` + id + `"}{}`, 400, "invalid_json", "not one JSON object"},
		{"a field twice", "application/json", `{"dataset_id":"` + id + `","dataset_id":"x"}`, 400, "invalid_json", "twice"},
		{"a form called JSON", "application/json", "dataset_id=" + id, 400, "invalid_json", "not one JSON object"},
		{"a form's field twice", "application/x-www-form-urlencoded", "dataset_id=" + id + "&dataset_id=x", 400, "invalid_request", "given twice"},
		{"a number", "application/json", `{"dataset_id":7}`, 400, "invalid_request", "is a number"},
		{"an object", "application/json", `{"dataset_id":{}}`, 400, "invalid_request", "is an object"},
		{"null in a field", "application/json", `{"dataset_id":null}`, 400, "invalid_request", "is null"},
		{"an empty id", "application/json", `{"dataset_id":""}`, 400, "invalid_request", "is missing"},
		{"another type", "text/csv", `dataset_id`, 415, "unsupported_media_type", `"text/csv"`},
		{"a large body", "application/json", `{"dataset_id":"` + strings.Repeat("x", 200<<10) + `"}`, 413, "request_too_large", "128 KiB"},
		{"a deep body", "application/json", `{"a":` + strings.Repeat("[", 60_000) + strings.Repeat("]", 60_000) + `}`, 400, "invalid_json", "not one JSON object"},
		{"limit of no use", "application/json", `{"dataset_id":"` + id + `","limit":0}`, 400, "invalid_request", `"limit"`},
		{"a foreign cursor", "application/json", `{"dataset_id":"` + id + `","cursor":"p1.-1"}`, 400, "invalid_request", "cursor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/list-dataset-files", strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			w := f.do(r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.code) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if sentence, _ := decode(t, w)["error"].(string); !strings.Contains(sentence, test.text) {
				t.Fatalf("%q does not say %q", sentence, test.text)
			}
		})
	}
}

func TestListingIsCutWhereItMustBe(t *testing.T) {
	f := newFixture(t)
	id := f.filled(7)
	whole := f.names(t, id, `"limit":10000`)
	if len(whole) != 7 {
		t.Fatalf("listed %v", whole)
	}
	for limit := 1; limit <= 8; limit++ {
		if got := f.names(t, id, fmt.Sprintf(`"limit":%d`, limit)); !equal(got, whole) {
			t.Errorf("in pages of %d: %v", limit, got)
		}
	}
	f.config.ResponseLimit = 1 // even then every page has a file
	if got := f.names(t, id, `"limit":10000`); !equal(got, whole) {
		t.Errorf("in small answers: %v", got)
	}
	f.config.ResponseLimit = 3000
	_, page := f.post("/list-dataset-files", `{"dataset_id":"`+id+`"}`)
	if n := len(page["files"].([]any)); n < 1 || n == 7 || page["next_cursor"] == nil {
		t.Errorf("an answer of 3,000 bytes has %d files, next_cursor %v", n, page["next_cursor"])
	}
}

// names lists a dataset page by page.
func (f *fixture) names(t *testing.T, id, fields string) []string {
	t.Helper()
	var names []string
	cursor := ""
	for range 100 {
		status, page := f.post("/list-dataset-files", `{"dataset_id":"`+id+`",`+fields+cursor+`}`)
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, page)
		}
		for _, file := range page["files"].([]any) {
			names = append(names, file.(map[string]any)["file_name"].(string))
		}
		next, ok := page["next_cursor"].(string)
		if !ok {
			return names
		}
		cursor = `,"cursor":"` + next + `"`
	}
	t.Fatal("the listing does not end")
	return nil
}

func equal(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

func TestDatasetsAreListedInPages(t *testing.T) {
	f := newFixture(t)
	var want []string
	for range 5 {
		_, created := f.post("/create-dataset", "")
		want = append([]string{created["dataset_id"].(string)}, want...)
	}
	var got []string
	cursor := ""
	for range 10 {
		_, page := f.post("/list-datasets", `{"limit":2`+cursor+`}`)
		for _, d := range page["datasets"].([]any) {
			got = append(got, d.(map[string]any)["dataset_id"].(string))
		}
		next, ok := page["next_cursor"].(string)
		if !ok {
			break
		}
		cursor = `,"cursor":"` + next + `"`
	}
	if !equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestNamesAreListedForClientsThatWantStrings(t *testing.T) {
	f := newFixture(t)
	id := f.filled(2)
	for _, path := range []string{"/sdk/list-dataset-files", "/list-stage-files", "/sdk/list-stage-files"} {
		_, answer := f.post(path, `{"stage_id":"`+id+`"}`)
		if got := fmt.Sprint(answer["files"]); got != "[f000.parquet f001.parquet]" {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestUploadLimit(t *testing.T) {
	f := newFixture(t)
	id := f.filled(0)
	f.config.UploadLimit = 1000
	w := f.upload("/upload-to-dataset", id, "a.parquet", parquet(t))
	answer := decode(t, w)
	if w.Code != http.StatusRequestEntityTooLarge || answer["limit_bytes"] != 1000.0 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	hint, _ := answer["hint"].(string)
	for _, endpoint := range []string{"create-upload", "complete-upload"} {
		if answer["use"] != "create-upload" || !strings.Contains(hint, endpoint) {
			t.Errorf("the answer does not say to call %s: %s", endpoint, w.Body)
		}
	}
	if len(f.objects.objects) != 0 {
		t.Fatal("bytes were stored")
	}
}

func TestRefusedUploadsLeaveNoBytes(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	before := len(f.objects.objects)
	for name, w := range map[string]*httptest.ResponseRecorder{
		"a taken name":       f.upload("/upload-to-dataset", id, "f000.parquet", parquet(t)),
		"no dataset":         f.upload("/upload-to-dataset", "dataset-0192f0c1-2345-7abc-8def-0123456789ab", "a.parquet", parquet(t)),
		"not an id":          f.upload("/upload-to-dataset", "../x", "a.parquet", parquet(t)),
		"no file":            f.upload("/upload-to-dataset", id, "a.parquet", []byte("id,name\n1,x\n")),
		"two ids":            f.upload("/upload-to-dataset?dataset_id=x", id, "a.parquet", parquet(t)),
		"a bad idempotency":  f.upload("/upload-to-dataset", id, "a.parquet", parquet(t), "Idempotency-Key", "a b"),
		"large and no magic": f.upload("/upload-to-dataset", id, "a.parquet", make([]byte, 6<<20)),
		"large and unsound":  f.upload("/upload-to-dataset", id, "a.parquet", append([]byte("PAR1"), make([]byte, 6<<20)...)),
	} {
		if w.Code < 400 || w.Code == 500 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if after := len(f.objects.objects); after != before {
		t.Errorf("there are %d objects, there were %d", after, before)
	}
}

func TestRepeatedUploadHasNoSecondEffect(t *testing.T) {
	f := newFixture(t)
	id := f.filled(0)
	first := decode(t, f.upload("/upload-to-dataset", id, "a.parquet", parquet(t), "Idempotency-Key", "k1"))
	again := f.upload("/upload-to-dataset", id, "a.parquet", parquet(t), "Idempotency-Key", "k1")
	second := decode(t, again)
	if again.Code != http.StatusOK || first["file_id"] != second["file_id"] || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Fatalf("%d: %v, then %v", again.Code, first, second)
	}
	if len(f.objects.objects) != 1 {
		t.Fatalf("%d objects are stored", len(f.objects.objects))
	}
	other := f.upload("/upload-to-dataset", id, "b.parquet", parquet(t), "Idempotency-Key", "k1")
	if other.Code != http.StatusUnprocessableEntity {
		t.Fatalf("another request with the key: %d %s", other.Code, other.Body)
	}
}

func TestScopes(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	f.who.Scopes = []keys.Scope{keys.ScopeRead}
	if w := f.upload("/upload-to-dataset", id, "b.parquet", parquet(t)); w.Code != http.StatusForbidden {
		t.Errorf("upload with a read key: %d %s", w.Code, w.Body)
	}
	if status, answer := f.post("/create-dataset", ""); status != http.StatusForbidden {
		t.Errorf("create with a read key: %d %v", status, answer)
	}
	f.who.Datasets = []string{"dataset-0192f0c1-2345-7abc-8def-0123456789ab"}
	if status, answer := f.post("/list-dataset-files", `{"dataset_id":"`+id+`"}`); status != http.StatusNotFound {
		t.Errorf("a dataset that the key does not reach: %d %v", status, answer)
	}
	if _, answer := f.post("/list-datasets", ""); len(answer["datasets"].([]any)) != 0 {
		t.Errorf("listed %v", answer)
	}
}

// What the store says goes to the log; the caller hears that it was the server.
func TestForeignErrorsAreLoggedNotSent(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	f.objects.getErr = errors.New("dial tcp 10.1.2.3: secret host is down")
	status, answer := f.post("/download-from-dataset", `{"dataset_id":"`+id+`","file_name":"f000.parquet"}`)
	if status != http.StatusInternalServerError || answer["code"] != string(fault.CodeInternal) || strings.Contains(fmt.Sprint(answer), "10.1.2.3") {
		t.Fatalf("%d %v", status, answer)
	}
	if !strings.Contains(f.log.String(), "10.1.2.3") {
		t.Fatal("the log does not have the error")
	}
}

// A download that stops early must not look whole to anyone.
func TestHalfADownloadIsCutOff(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	f.objects.read = func() []byte { return []byte("half") }
	server := httptest.NewServer(api.New(f.config).Handler())
	defer server.Close()
	answer, err := http.Post(server.URL+"/download-from-dataset", "application/json",
		strings.NewReader(`{"dataset_id":"`+id+`","file_name":"f000.parquet"}`))
	if err != nil {
		return // cut before the header: as good
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err == nil {
		t.Fatal("half a file reads like a whole one")
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	f := newFixture(t)
	f.config.Service = nil
	status, answer := f.post("/create-dataset", "")
	if status != http.StatusInternalServerError || answer["code"] != string(fault.CodeInternal) {
		t.Fatalf("%d %v", status, answer)
	}
}

// A client that is still sending when it is refused gets to read the refusal.
func TestRefusalIsReadByAClientThatSends(t *testing.T) {
	f := newFixture(t)
	f.config.Principal = func(*http.Request) (keys.Principal, error) {
		return keys.Principal{}, fault.New(fault.CodeUnauthorized, "No.", "Send a key.")
	}
	server := httptest.NewServer(api.New(f.config).Handler())
	defer server.Close()
	answer, err := http.Post(server.URL+"/upload-to-dataset", "multipart/form-data; boundary=B", bytes.NewReader(make([]byte, 20<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("WWW-Authenticate") == "" {
		t.Fatalf("%d %v", answer.StatusCode, answer.Header)
	}
}

// Uploads beyond the bound wait, and those that may not upload can't take a turn.
func TestUploadsWaitForTheirTurn(t *testing.T) {
	f := newFixture(t)
	id := f.filled(0)
	f.config.UploadsAtOnce = 1
	refuse := false
	f.config.Principal = func(r *http.Request) (keys.Principal, error) {
		if r.Header.Get("Authorization") == "" && refuse {
			return keys.Principal{}, fault.New(fault.CodeUnauthorized, "No.", "Send a key.")
		}
		return f.who, nil
	}
	handler := api.New(f.config).Handler()
	serve := func(ctx context.Context, body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/upload-to-dataset?dataset_id="+id, body)
		r.Header.Set("Content-Type", "multipart/form-data; boundary=B")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	slow, slowBody := io.Pipe()
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- serve(t.Context(), slow) }()
	io.WriteString(slowBody, "--B\r\n") // returns when the first upload is being read

	leaving, leave := context.WithCancel(t.Context())
	second := make(chan *httptest.ResponseRecorder)
	go func() { second <- serve(leaving, strings.NewReader("--B--")) }()
	select {
	case <-second:
		t.Fatal("the second upload was read beside the first")
	case <-time.After(50 * time.Millisecond):
	}
	leave()
	if w := <-second; w.Code == http.StatusOK {
		t.Fatalf("an upload whose sender left: %d", w.Code)
	}
	f.who.Scopes = []keys.Scope{keys.ScopeRead}
	if w := serve(t.Context(), strings.NewReader("--B--")); w.Code != http.StatusForbidden {
		t.Fatalf("an upload with a read key waits for a turn: %d", w.Code)
	}
	refuse = true
	if w := serve(t.Context(), strings.NewReader("--B--")); w.Code != http.StatusUnauthorized {
		t.Fatalf("an upload without a key waits for a turn: %d", w.Code)
	}
	slowBody.Close()
	<-first
}

// Answers are read in terminals: nothing in them is escaped for HTML's sake.
func TestAnswersAreReadable(t *testing.T) {
	f := newFixture(t)
	id := f.filled(0)
	const name = "<b>&.parquet"
	if w := f.upload("/upload-to-dataset", id, name, parquet(t)); !strings.Contains(w.Body.String(), name) {
		t.Errorf("upload: %s", w.Body)
	}
	for _, path := range []string{"/list-dataset-files", "/sdk/list-dataset-files"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"dataset_id":"`+id+`"}`))
		r.Header.Set("Content-Type", "application/json")
		if w := f.do(r); !strings.Contains(w.Body.String(), name) {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	other, err := os.ReadFile("../footer/testdata/different/polars_snappy.parquet")
	if err != nil {
		t.Fatal(err)
	}
	if w := f.upload("/upload-to-dataset", id, "b.parquet", other); !strings.Contains(w.Body.String(), "map<string,int32>") {
		t.Errorf("mismatch: %s", w.Body)
	}
}

func TestNameOfADatasetInTheQuery(t *testing.T) {
	f := newFixture(t)
	answer := decode(t, f.do(httptest.NewRequest(http.MethodGet, "/create-dataset?name=week+47", nil)))
	if answer["name"] != "week 47" {
		t.Fatalf("got %v", answer)
	}
}

// Whatever a request says of its body, the answer does not wait for the rest of it.
func TestAnswerDoesNotWaitForABodyThatDoesNotCome(t *testing.T) {
	f := newFixture(t)
	server := httptest.NewServer(api.New(f.config).Handler())
	defer server.Close()
	for name, test := range map[string]struct {
		request string
		status  int
	}{
		"a refusal, and the body waits for 100": {"POST /nowhere HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 50000000\r\n\r\n", 404},
		"a success that reads no body":          {"GET /try-authentication HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, test.request)
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != test.status {
				t.Fatalf("%d", answer.StatusCode)
			}
		})
	}
}

func TestContentLengthIsOnlyAClaim(t *testing.T) {
	f := newFixture(t)
	id := f.filled(0)
	body := "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nPAR1\r\n--B--\r\n"
	r := httptest.NewRequest(http.MethodPost, "/upload-to-dataset?dataset_id="+id, strings.NewReader(body))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=B")
	r.ContentLength = math.MaxInt64
	if w := f.do(r); w.Code != http.StatusBadRequest {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestAnIDThatIsLeftEmptyElsewhereIsNoID(t *testing.T) {
	f := newFixture(t)
	id := f.filled(0)
	if w := f.upload("/upload-to-dataset?dataset_id=", id, "a.parquet", parquet(t), "X-Dataset-Id", ""); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestTextThatIsNoText(t *testing.T) {
	f := newFixture(t)
	for body, code := range map[string]string{
		"{\"name\":\"a\xffb\"}":           "invalid_json",
		"{\"metadata\":{\"a\":\"\xff\"}}": "invalid_json",
		`{"name":"\ud800"}`:               "invalid_request",
	} {
		if status, answer := f.post("/create-dataset", body); status != http.StatusBadRequest || answer["code"] != code {
			t.Errorf("%q: %d %v", body, status, answer)
		}
	}
	for _, body := range []string{`{"name":"\ufffd"}`, "{\"name\":\"\uFFFD\"}", `{"name":"\ud83c\udf89"}`} {
		if status, answer := f.post("/create-dataset", body); status != http.StatusOK {
			t.Errorf("%q: %d %v", body, status, answer)
		}
	}
}

func TestCompressedBodiesAreRefused(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/list-datasets", "/upload-to-dataset"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("\x1f\x8b"))
		r.Header.Set("Content-Encoding", "gzip")
		if w := f.do(r); w.Code != http.StatusUnsupportedMediaType || !strings.Contains(w.Body.String(), "gzip") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// What fails in a request whose sender left is no defect of the server.
func TestSenderThatLeftIsNoDefect(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	ctx, leave := context.WithCancel(t.Context())
	f.objects.getErr = errors.New("some driver's words for a context that ended")
	leave()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/download-from-dataset", strings.NewReader(`{"dataset_id":"`+id+`","file_name":"f000.parquet"}`))
	r.Header.Set("Content-Type", "application/json")
	if w := f.do(r); w.Code != http.StatusBadRequest || strings.Contains(f.log.String(), `"level":"ERROR"`) {
		t.Fatalf("%d %s, log %s", w.Code, w.Body, f.log)
	}
}
