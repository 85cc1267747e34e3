package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// TestNodeFetch uploads, lists and downloads with what Node itself has.
func TestNodeFetch(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	dir, id := t.TempDir(), srv.admin().create(t)
	content := map[string][]byte{"z.parquet": parquet(t, 1), "a b.parquet": parquet(t, 2), "日本.parquet": parquet(t, 3)}
	write(t, dir, content)
	order := []string{"z.parquet", "a b.parquet", "日本.parquet"}

	var seen struct {
		Uploads []struct {
			Status int
			Body   listed
		}
		Files   []string
		Hashes  map[string]string
		Missing struct {
			Status int
			Type   string
			Body   refusal
		}
	}
	runNode(t, dir, &seen, "own_formdata.mjs", append([]string{srv.url, srv.key, id}, order...)...)
	for i, upload := range seen.Uploads {
		if upload.Status != http.StatusOK || upload.Body.FileID == "" || upload.Body.Position != int64(i) {
			t.Errorf("upload %d answered %+v", i, upload)
		}
	}
	if !slices.Equal(seen.Files, order) {
		t.Errorf("lists %q, want %q", seen.Files, order)
	}
	for name, bytes := range content {
		if sum := sha256.Sum256(bytes); seen.Hashes[name] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s came back with other bytes", name)
		}
	}
	if m := seen.Missing; m.Status != http.StatusNotFound || m.Type != "application/json" || m.Body.Error != "File not found in dataset" {
		t.Errorf("a missing file answered %+v", m)
	}
}

// TestFormDataPackage sends what people write with the form-data package of the
// documented example. Where it cannot work, the answer names the cause.
func TestFormDataPackage(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	dir := t.TempDir()
	write(t, dir, map[string][]byte{"data.parquet": parquet(t, 1)})
	for way, want := range map[string]struct {
		name   string // of the file, where the way works
		status int
		code   string
		words  []string
	}{
		"node-fetch":                              {name: "data.parquet"},
		"node-fetch, no headers of the form":      {name: "data.parquet"},
		"own fetch, form as buffer":               {name: "buffer.parquet"},
		"own FormData with a Blob without a name": {name: "blob"},
		// Node's fetch turns the package's form into this text.
		"own fetch":                         {status: 400, code: "invalid_multipart", words: []string{"[object FormData]", "form-data", "Blob"}},
		"own fetch, no headers of the form": {status: 400, code: "invalid_multipart", words: []string{"[object FormData]", "form-data", "Blob"}},
		"own FormData with a stream":        {status: 400, code: "invalid_request", words: []string{"file", "Blob"}},
		"own FormData with a type":          {status: 400, code: "invalid_multipart", words: []string{"boundary", "Content-Type"}},
		"node-fetch, no file name":          {status: 400, code: "invalid_request", words: []string{"file name"}},
	} {
		t.Run(way, func(t *testing.T) {
			id := srv.admin().create(t)
			var seen struct {
				Status     int
				Type, Body string
			}
			runNode(t, dir, &seen, "form_data.cjs", way, srv.url+"/upload-to-dataset", srv.key, id, "data.parquet")
			a := answer{status: seen.Status, header: http.Header{"Content-Type": {seen.Type}}, body: []byte(seen.Body)}
			if want.name != "" {
				var f listed
				a.decode(t, http.StatusOK, &f)
				srv.admin().wantFiles(t, id, []string{want.name}, map[string][]byte{want.name: parquet(t, 1)})
				return
			}
			a.refused(t, want.status, want.code, want.words...)
			srv.admin().wantFiles(t, id, []string{}, nil)
		})
	}
}

// runNode runs a script of testdata/node and decodes what it prints.
func runNode(t testing.TB, dir string, into any, name string, args ...string) {
	t.Helper()
	modules := "NODE_PATH=" + filepath.Clean(testtool.NodeModules(t))
	stdout, stderr, err := command(t, dir, []string{modules}, "node", append([]string{script("node", name)}, args...)...)
	if err != nil {
		t.Fatalf("node: %v\n%s\n%s", err, stdout, stderr)
	}
	lastLine(t, stdout, into)
}
