package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// exchange is a request of testdata/vectors and what the server answers.
type exchange struct {
	Name      string          `json:"name"`
	Operation string          `json:"operation,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Kind      string          `json:"kind,omitempty"`
	Request   vectorRequest   `json:"request"`
	Answer    vectorAnswer    `json:"answer"`
}

type vectorRequest struct {
	Method  string            `json:"method"`
	Path    string            `json:"path,omitempty"`
	URL     string            `json:"url,omitempty"` // instead of a path: one that the server gave
	Key     string            `json:"key,omitempty"` // "none", "read" or a text; usually the admin's
	Headers map[string]string `json:"headers,omitempty"`
	JSON    json.RawMessage   `json:"json,omitempty"`
	Form    map[string]string `json:"form,omitempty"` // "file" names a fixture
	File    string            `json:"file,omitempty"` // the fixture that is the body
}

type vectorAnswer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"`
	JSON    any               `json:"json,omitempty"`
}

// vectorHeaders are those of an answer that clients read.
func vectorHeaders() []string {
	return []string{"Allow", "Content-Range", "Content-Type", "ETag", "Idempotency-Replayed", "Retry-After", "WWW-Authenticate", "X-Dataset-Position"}
}

// The server answers what testdata/vectors says, which the clients of all languages
// are tested with. PARQUEUE_UPDATE_VECTORS=1 writes down what it answers instead.
func TestVectors(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	read, _ := newKey(t, srv.data, "local", "read")
	player := &vectorPlayer{url: srv.url, keys: map[string]string{"": srv.key, "read": read, "none": ""}, known: map[string]string{}, count: map[string]int{}}
	for _, name := range []string{"exchanges.json", "errors.json", "assets.json"} {
		path := filepath.Join(testtool.Root(), "testdata", "vectors", name)
		var all []exchange
		decodeFile(t, path, &all)
		for i, e := range all {
			got := player.play(t, e)
			if os.Getenv("PARQUEUE_UPDATE_VECTORS") != "" {
				all[i].Answer = got
				continue
			}
			if !reflect.DeepEqual(got, e.Answer) {
				t.Errorf("%s, %q: the server answers\n%s\nwhere the vectors say\n%s", name, e.Name, indented(t, got), indented(t, e.Answer))
			}
			if (e.Kind != "") != (got.Status >= 400) {
				t.Errorf("%s, %q: the kind is %q, and the status %d", name, e.Name, e.Kind, got.Status)
			}
		}
		if os.Getenv("PARQUEUE_UPDATE_VECTORS") != "" {
			if err := os.WriteFile(path, append(indented(t, all), '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// vectorPlayer sends requests in which ids and URLs are the vectors', and gives
// the answers in the same terms.
type vectorPlayer struct {
	url   string
	keys  map[string]string
	known map[string]string // the real text of one of the vectors
	count map[string]int    // of each kind
}

func (p *vectorPlayer) play(t *testing.T, e exchange) vectorAnswer {
	t.Helper()
	c := client{url: p.url, key: e.Request.Key}
	if key, ok := p.keys[e.Request.Key]; ok {
		c.key = key
	}
	r := request{method: e.Request.Method, path: e.Request.Path, header: map[string]string{}}
	for name, value := range e.Request.Headers {
		r.header[name] = strings.ReplaceAll(value, "…", strings.ReplaceAll(e.Name, " ", "-"))
	}
	if e.Request.URL != "" {
		c, r.path = client{}, p.real(e.Request.URL)
	}
	switch {
	case e.Request.File != "":
		r.body = bytes.NewReader(vectorFixture(t, e.Request.File))
	case e.Request.Form != nil:
		name := e.Request.Form["file"]
		contentType, body := form(text("dataset_id", p.real(e.Request.Form["dataset_id"])), file(name, vectorFixture(t, name)))
		r.contentType, r.body = contentType, bytes.NewReader(body)
	case e.Request.JSON != nil:
		r.contentType, r.body = "application/json", strings.NewReader(p.real(string(e.Request.JSON)))
	}
	got := c.must(t, r)
	answer := vectorAnswer{Status: got.status}
	for _, name := range vectorHeaders() {
		if value := got.header.Get(name); value != "" && e.Request.Path != "" {
			if answer.Headers == nil {
				answer.Headers = map[string]string{}
			}
			answer.Headers[name] = value
		}
	}
	if strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(got.body, &answer.JSON); err != nil {
			t.Fatalf("%q: %v", e.Name, err)
		}
		answer.JSON = p.learn(answer.JSON, "")
	}
	return answer
}

func vectorFixture(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(testtool.Root(), "testdata", "vectors", "fixtures", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func (p *vectorPlayer) real(text string) string {
	for vector, real := range p.known {
		text = strings.ReplaceAll(text, vector, real)
	}
	return text
}

var anyID = regexp.MustCompile(`\b([a-z]+)-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b`)

// learn gives an answer in the vectors' terms: ids and URLs are numbered as they
// come, and times are all the same.
func (p *vectorPlayer) learn(value any, member string) any {
	switch v := value.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			v[name] = p.learn(v[name], name)
		}
	case []any:
		for i := range v {
			v[i] = p.learn(v[i], member)
		}
	case string:
		switch {
		case member == "url":
			return p.vector(v, "http://store.invalid/", "%s%d")
		case strings.Contains(member, "expire"):
			return "2126-11-21T09:00:00.123456Z" // whoever replays it does so before that
		case strings.HasSuffix(member, "_at"), member == "datetime_added":
			return "2026-11-21T09:00:00.123456Z"
		}
		return anyID.ReplaceAllStringFunc(v, func(id string) string {
			kind, _, _ := strings.Cut(id, "-")
			return p.vector(id, kind, "%s-00000000-0000-7000-8000-%012d")
		})
	}
	return value
}

// vector is what stands in the vectors for a real text.
func (p *vectorPlayer) vector(real, kind, format string) string {
	for vector, known := range p.known {
		if known == real {
			return vector
		}
	}
	if strings.HasPrefix(real, kind+"-00000000-") {
		return real // it was asked for, and is nobody's
	}
	p.count[kind]++
	vector := fmt.Sprintf(format, kind, p.count[kind])
	p.known[vector] = real
	return vector
}

func decodeFile(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func indented(t *testing.T, value any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
