package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// TestCompressedListings lists enough files for the list to be compressed. The
// clients accept that and know nothing of it; curl does when it is told to.
func TestCompressedListings(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	admin := srv.admin()
	id, content := admin.create(t), parquet(t, 1)
	var names []string
	for n := range 20 {
		names = append(names, fmt.Sprintf("%s-%02d.parquet", strings.Repeat("long", 25), n))
		if a, err := admin.upload(id, names[n], content, nil); err != nil || a.status != 200 {
			t.Fatalf("%d, %v", a.status, err)
		}
	}
	clients := map[string]func(t *testing.T) []string{
		"requests": python("writers", "requests", srv.url, srv.key, id),
		"node": func(t *testing.T) (seen []string) {
			runNode(t, t.TempDir(), &seen, "list_files.mjs", srv.url, srv.key, id)
			return seen
		},
		"curl": func(t *testing.T) []string {
			plain, compressed := curlList(t, srv, id), curlList(t, srv, id, "--compressed")
			if plain != compressed {
				t.Errorf("curl lists %s, and %s with --compressed", plain, compressed)
			}
			var seen struct{ Files []listed }
			if err := json.Unmarshal([]byte(compressed), &seen); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, f := range seen.Files {
				names = append(names, f.FileName)
			}
			return names
		},
	}
	for _, l := range libraries() {
		clients[l.String()] = python(l.venv, l.module, srv.url+l.prefix, srv.key, id)
		path := strings.TrimRight(l.prefix, "/") + "/list-" + l.noun + "-files"
		body := strings.NewReader(`{"dataset_id":"` + id + `"}`)
		a := admin.must(t, request{path: path, contentType: "application/json", body: body, header: map[string]string{"Accept-Encoding": "gzip"}})
		if got := a.header.Get("Content-Encoding"); got != "gzip" {
			t.Errorf("what %s asks for is answered with %q", l, got)
		}
	}
	for name, list := range clients {
		t.Run(name, func(t *testing.T) {
			if seen := list(t); !slices.Equal(seen, names) {
				t.Errorf("lists %q", seen)
			}
		})
	}
}

// python lists with a client of a virtual environment.
func python(venv, module, url, key, id string) func(t *testing.T) []string {
	return func(t *testing.T) (seen []string) {
		t.Helper()
		stdout, stderr, err := command(t, t.TempDir(), offline(t.TempDir()), testtool.Python(t, venv), script("python", "list_files.py"), module, url, key, id)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, stdout, stderr)
		}
		lastLine(t, stdout, &seen)
		return seen
	}
}

// curlList is what curl prints of a list.
func curlList(t *testing.T, srv *server, id string, args ...string) string {
	t.Helper()
	args = append(args, "--silent", "--show-error", "--fail", "-H", "Authorization: Key "+srv.key, "--data", `{"dataset_id":"`+id+`"}`, srv.url+"/list-dataset-files")
	stdout, stderr, err := command(t, t.TempDir(), nil, "curl", args...)
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, stderr)
	}
	return stdout
}
