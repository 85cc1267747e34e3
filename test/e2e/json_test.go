package e2e

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestBadJSON sends bodies that are not one JSON object of the right types.
func TestBadJSON(t *testing.T) {
	t.Parallel()
	g := guard(t, serve(t, setup{}).admin())
	const list, download, create = "/list-dataset-files", "/download-from-dataset", "/create-dataset"
	for _, test := range []struct {
		path, body string
		status     int
		code       string
		words      []string
	}{
		{list, ``, 400, "invalid_request", []string{"dataset_id", "missing"}},
		{list, `{}`, 400, "invalid_request", []string{"dataset_id", "missing"}},
		{list, `[]`, 400, "invalid_json", []string{"object"}},
		{list, `"` + g.id + `"`, 400, "invalid_json", []string{"object"}},
		{list, `null`, 400, "invalid_json", nil},
		{list, `{"dataset_id": "` + g.id + `"} {}`, 400, "invalid_json", nil},
		{list, `{"dataset_id": "` + g.id + `"`, 400, "invalid_json", nil},
		{list, `{"dataset_id": "` + g.id + `", "dataset_id": "x"}`, 400, "invalid_json", []string{"twice"}},
		{list, `{'dataset_id': '` + g.id + `'}`, 400, "invalid_json", nil},
		{list, `dataset_id=` + g.id, 400, "invalid_json", []string{"form"}},
		{list, "\x00\xff", 400, "invalid_json", nil},
		{list, strings.Repeat(`{"a":`, 20_000), 400, "invalid_json", nil},
		{list, `{"dataset_id": 5}`, 400, "invalid_request", []string{"dataset_id", "number", "string"}},
		{list, `{"dataset_id": null}`, 400, "invalid_request", []string{"dataset_id", "null"}},
		{list, `{"dataset_id": ["` + g.id + `"]}`, 400, "invalid_request", []string{"dataset_id", "list"}},
		{list, `{"dataset_id": ""}`, 400, "invalid_request", []string{"dataset_id"}},
		{list, `{"dataset_id": "no such"}`, 404, "dataset_not_found", nil},
		{download, `{"dataset_id": "` + g.id + `"}`, 400, "invalid_request", []string{"file_name", "missing"}},
		{download, `{"dataset_id": "` + g.id + `", "file_name": null}`, 400, "invalid_request", []string{"file_name", "null"}},
		{download, `{"dataset_id": "` + g.id + `", "file_name": 1}`, 400, "invalid_request", []string{"file_name"}},
		{download, `{"dataset_id": "` + g.id + `", "file_name": "../first.parquet"}`, 404, "file_not_found", nil},
		{download, `{"dataset_id": "` + g.id + `", "file_name": "FIRST.parquet"}`, 404, "file_not_found", nil},
		{create, `{"name": 1}`, 400, "invalid_request", []string{"name"}},
		{create, `{"name": "a\u0000b"}`, 400, "invalid_name", nil},
		{create, `{"name": "` + strings.Repeat("x", 300) + `"}`, 400, "invalid_name", []string{"255"}},
		{create, `{"metadata": "text"}`, 400, "invalid_metadata", nil},
		{create, `{"metadata": {"a": "` + strings.Repeat("x", 20<<10) + `"}}`, 400, "invalid_metadata", []string{"16 KiB"}},
	} {
		t.Run(test.path+" "+tail(test.body, 40), func(t *testing.T) {
			a := g.must(t, request{path: test.path, contentType: "application/json", body: strings.NewReader(test.body)})
			r := a.refused(t, test.status, test.code, test.words...)
			if test.code == "file_not_found" && r.Error != "File not found in dataset" {
				t.Errorf("the message that clients know is %q", r.Error)
			}
			g.unchanged(t)
		})
	}
	a := g.must(t, request{path: list, contentType: "text/csv", body: strings.NewReader("a,b")})
	a.refused(t, http.StatusUnsupportedMediaType, "unsupported_media_type", "text/csv", "JSON")
	if rows := datasets(t, g.client); len(rows) != 1 {
		t.Errorf("there are %d datasets, want the one that the test made", len(rows))
	}
}

// TestHugeJSON sends 100 MB where some bytes belong.
func TestHugeJSON(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	g := guard(t, srv.admin())
	before := peakMemory(t, srv.pid)
	for _, declared := range []bool{true, false} {
		conn := dial(t, srv)
		head := "POST /list-dataset-files HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Key " + srv.key + "\r\nContent-Type: application/json\r\n"
		open, spaces := `{"dataset_id": "`+g.id+`",`, 100<<20
		if declared {
			head += "Content-Length: " + strconv.Itoa(len(open)+spaces+1) + "\r\n\r\n"
		} else {
			head += "Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(int64(len(open)+spaces+1), 16) + "\r\n"
		}
		go func() {
			// The server may hang up before the end.
			_, _ = io.Copy(conn, io.MultiReader(strings.NewReader(head), strings.NewReader(open), io.LimitReader(blanks{}, int64(spaces)), strings.NewReader("}\r\n0\r\n\r\n")))
		}()
		readAnswer(t, conn).refused(t, http.StatusRequestEntityTooLarge, "request_too_large", "128 KiB")
		g.unchanged(t)
	}
	if grown := peakMemory(t, srv.pid) - before; grown > 32<<20 {
		t.Errorf("100 MB of JSON took %d MB of memory", grown>>20)
	}
}

// blanks is an endless reader of spaces.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
}

// TestRoutes asks for what is not there and with methods that are not taken.
func TestRoutes(t *testing.T) {
	t.Parallel()
	c := serve(t, setup{}).admin()
	c.must(t, request{path: "/nothing"}).refused(t, http.StatusNotFound, "route_not_found", "endpoint")
	for path, allow := range map[string]string{
		"/list-datasets": "POST", "/upload-to-dataset": "POST", "/download-from-dataset": "POST", "/sdk//list-dataset-files": "POST",
	} {
		a := c.must(t, request{method: http.MethodGet, path: path})
		a.refused(t, http.StatusMethodNotAllowed, "method_not_allowed", allow)
		if got := a.header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow %q, want %q", path, got, allow)
		}
	}
	for _, path := range []string{"//list-datasets", "/sdk//list-datasets", "/list-datasets/"} {
		if a := c.must(t, request{path: path}); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// datasets lists every dataset's row.
func datasets(t testing.TB, c client) []map[string]any {
	t.Helper()
	var list struct {
		Datasets []map[string]any `json:"datasets"`
	}
	c.must(t, request{path: "/list-datasets"}).decode(t, http.StatusOK, &list)
	return list.Datasets
}

// dial opens a connection that a test writes to by hand.
func dial(t testing.TB, srv *server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
