package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client sends requests as the tests need them, not as a library would.
type client struct {
	url string // with a prefix such as /sdk, when one is wanted
	key string // "" sends no Authorization
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// refusal is the JSON of every error.
type refusal struct {
	Error   string         `json:"error"`
	Message string         `json:"message"`
	Code    string         `json:"code"`
	Hint    string         `json:"hint"`
	Details map[string]any `json:"-"` // every member
}

// listed is a file as list-dataset-files shows it.
type listed struct {
	FileID     string `json:"file_id"`
	FileName   string `json:"file_name"`
	Position   int64  `json:"position"`
	RowCount   int64  `json:"row_count"`
	SizeBytes  int64  `json:"size_bytes"`
	UploadedAt string `json:"uploaded_at"`
	Schema     struct {
		Fields []field `json:"fields"`
	} `json:"schema"`
}

// field is a column of a schema as clients see it.
type field struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// request is what do sends.
type request struct {
	method      string // POST when empty
	path        string // with its query
	contentType string // no header when empty
	body        io.Reader
	header      map[string]string
}

// do sends a request and reads the answer. It follows no redirect.
func (c client) do(r request) (answer, error) {
	if r.method == "" {
		r.method = http.MethodPost
	}
	req, err := http.NewRequest(r.method, c.url+r.path, r.body)
	if err != nil {
		return answer{}, err
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Key "+c.key)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	started := time.Now()
	resp, err := httpClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	return answer{resp.StatusCode, resp.Header, body, time.Since(started)}, nil
}

var httpClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 32},
}

// must is do for a test that goes no further without an answer.
func (c client) must(t testing.TB, r request) answer {
	t.Helper()
	a, err := c.do(r)
	if err != nil {
		t.Fatalf("%s: %v", r.path, err)
	}
	return a
}

// json posts an object, or anything else that encodes to JSON.
func (c client) json(t testing.TB, path string, value any) answer {
	t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return c.must(t, request{path: path, contentType: "application/json", body: bytes.NewReader(body)})
}

// create makes a dataset.
func (c client) create(t testing.TB) string {
	t.Helper()
	a := c.must(t, request{method: http.MethodGet, path: "/create-dataset"})
	var made struct {
		DatasetID string `json:"dataset_id"`
	}
	a.decode(t, http.StatusOK, &made)
	if !strings.HasPrefix(made.DatasetID, "dataset-") {
		t.Fatalf("create-dataset answered the id %q", made.DatasetID)
	}
	return made.DatasetID
}

// upload sends one file and returns the answer, whatever it is.
func (c client) upload(datasetID, name string, content []byte, header map[string]string) (answer, error) {
	contentType, body := form(text("dataset_id", datasetID), file(name, content))
	return c.do(request{path: "/upload-to-dataset", contentType: contentType, body: bytes.NewReader(body), header: header})
}

// mustUpload is upload for a file that has to be taken.
func (c client) mustUpload(t testing.TB, datasetID, name string, content []byte) listed {
	t.Helper()
	a, err := c.upload(datasetID, name, content, nil)
	if err != nil {
		t.Fatalf("uploading %s: %v", name, err)
	}
	f, err := a.file()
	if err != nil {
		t.Fatalf("uploading %s: %v", name, err)
	}
	return f
}

// files lists a dataset.
func (c client) files(t testing.TB, datasetID string) []listed {
	t.Helper()
	files, err := c.list(datasetID)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// list is files for goroutines.
func (c client) list(datasetID string) ([]listed, error) {
	a, err := c.do(request{path: "/list-dataset-files", contentType: "application/json",
		body: strings.NewReader(`{"dataset_id":"` + datasetID + `"}`)})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("list-dataset-files: %d %s", a.status, a.body)
	}
	var list struct {
		Files []listed `json:"files"`
	}
	return list.Files, json.Unmarshal(a.body, &list)
}

// names lists a dataset's names.
func (c client) names(t testing.TB, datasetID string) []string {
	t.Helper()
	names := []string{}
	for _, f := range c.files(t, datasetID) {
		names = append(names, f.FileName)
	}
	return names
}

// download fetches one file.
func (c client) download(t testing.TB, datasetID, name string) []byte {
	t.Helper()
	a := c.json(t, "/download-from-dataset", map[string]string{"dataset_id": datasetID, "file_name": name})
	if a.status != http.StatusOK {
		t.Fatalf("downloading %q: %d %s", name, a.status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("downloading %q: Content-Type %q, want application/octet-stream", name, got)
	}
	return a.body
}

// wantFiles checks a listing's names and order, its positions, and every byte.
func (c client) wantFiles(t testing.TB, datasetID string, names []string, content map[string][]byte) {
	t.Helper()
	files := c.files(t, datasetID)
	got := []string{}
	for i, f := range files {
		got = append(got, f.FileName)
		if f.Position != int64(i) {
			t.Errorf("%s is at position %d, want %d", f.FileName, f.Position, i)
		}
		if f.SizeBytes != int64(len(content[f.FileName])) {
			t.Errorf("%s has %d bytes, want %d", f.FileName, f.SizeBytes, len(content[f.FileName]))
		}
	}
	if !slices.Equal(got, names) {
		t.Fatalf("the dataset lists\n%q, want\n%q", got, names)
	}
	for _, name := range names {
		if !bytes.Equal(c.download(t, datasetID, name), content[name]) {
			t.Errorf("%s came back with other bytes", name)
		}
	}
}

// decode checks the status and reads the JSON.
func (a answer) decode(t testing.TB, status int, into any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d, want %d: %s", a.status, status, tail(string(a.body), 2000))
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("the answer is not JSON: %v: %s", err, tail(string(a.body), 2000))
	}
}

// refused checks that an answer is an error of the one shape, with a status and
// a code, and that its words contain every one of words.
func (a answer) refused(t testing.TB, status int, code string, words ...string) refusal {
	t.Helper()
	var r refusal
	a.decode(t, status, &r)
	if err := json.Unmarshal(a.body, &r.Details); err != nil {
		t.Fatal(err)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q, want application/json", got)
	}
	if r.Code != code {
		t.Errorf("code %q, want %q: %s", r.Code, code, a.body)
	}
	if r.Error == "" || r.Error != r.Message {
		t.Errorf("error %q and message %q, want the same sentence", r.Error, r.Message)
	}
	if r.Hint == "" {
		t.Errorf("no hint: %s", a.body)
	}
	all := strings.ToLower(r.Message + "\n" + r.Hint)
	for _, word := range words {
		if !strings.Contains(all, strings.ToLower(word)) {
			t.Errorf("neither message nor hint says %q: %s", word, a.body)
		}
	}
	return r
}

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(t testing.TB, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
