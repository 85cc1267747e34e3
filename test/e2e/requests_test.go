package e2e

import (
	"net/http"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// TestPythonRequests sends the documented Python samples. The one for uploads
// passes json= beside files=, which the library drops: the answer says so.
func TestPythonRequests(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	dir, id, content := t.TempDir(), srv.admin().create(t), parquet(t, 1)
	write(t, dir, map[string][]byte{"on disk.parquet": content})

	stdout, stderr, err := command(t, dir, nil, testtool.Python(t, "writers"), script("python", "requests_samples.py"),
		srv.url, srv.key, id, "on disk.parquet")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var seen map[string]struct {
		Status     int
		Type, Body string
	}
	lastLine(t, stdout, &seen)
	got := func(name string) answer {
		return answer{status: seen[name].Status, header: http.Header{"Content-Type": {seen[name].Type}}, body: latin1(seen[name].Body)}
	}

	got("documented").refused(t, http.StatusBadRequest, "invalid_request", "dataset_id", "json=", "files=", "data=")
	got("json type").refused(t, http.StatusUnsupportedMediaType, "unsupported_media_type", "Content-Type", "multipart")
	got("missing").refused(t, http.StatusNotFound, "file_not_found")
	for _, name := range []string{"data", "query", "path", "bearer", "list", "datasets"} {
		var any map[string]any
		got(name).decode(t, http.StatusOK, &any)
	}
	for _, name := range []string{"download", "stage download"} {
		if a := got(name); a.status != http.StatusOK || string(a.body) != string(content) {
			t.Errorf("%s answered %d with %d bytes", name, a.status, len(a.body))
		}
	}
	names := []string{"data.parquet", "query.parquet", "on disk.parquet", "bearer.parquet"}
	all := map[string][]byte{}
	for _, name := range names {
		all[name] = content
	}
	srv.admin().wantFiles(t, id, names, all)
}

// latin1 turns characters back into the bytes they stand for.
func latin1(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}
