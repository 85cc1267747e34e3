package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// library is a published Python client, with its command line.
type library struct {
	venv    string // of test/requirements
	module  string
	noun    string // what it calls a dataset
	command string
	config  string // its file under $HOME
	prefix  string // what its base URL has after the address
}

func libraries() []library {
	return []library{
		{"sutro", "sutro", "dataset", "sutro", ".sutro/config.json", "/sdk"},
		{"materialized-intelligence", "materialized_intelligence", "stage", "mi", ".materialized_intelligence/config.json", ""},
		// A slash at the end makes this client send double ones.
		{"materialized-intelligence", "materialized_intelligence", "stage", "mi", ".materialized_intelligence/config.json", "/sdk/"},
	}
}

func (l library) String() string { return l.venv + strings.ReplaceAll(l.prefix, "/", "_") }

// offline keeps the clients from asking the world whether they are up to date.
func offline(home string) []string {
	return []string{"HOME=" + home, "HTTPS_PROXY=http://127.0.0.1:9", "HTTP_PROXY=", "http_proxy=", "NO_PROXY=127.0.0.1",
		"PYTHONIOENCODING=utf-8", "POLARS_TABLE_WIDTH=600", "TZ=UTC"}
}

// TestLibraries runs the unmodified client libraries: create, upload of several
// files, of a folder and into a new dataset, the lists, and downloads of one
// file and of all.
func TestLibraries(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	for _, l := range libraries() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()
			content := map[string][]byte{}
			ordered := map[string][]byte{"a.parquet": parquet(t, 1), "b.parquet": parquet(t, 2), "c.parquet": parquet(t, 3)}
			folder := map[string][]byte{"données.parquet": parquet(t, 4), "x y.parquet": parquet(t, 5), "z.parquet": parquet(t, 6)}
			for _, set := range []map[string][]byte{ordered, folder} {
				for name, bytes := range set {
					content[name] = bytes
				}
			}
			work := t.TempDir()
			files, dir, out := filepath.Join(work, "files"), filepath.Join(work, "folder"), filepath.Join(work, "out")
			write(t, files, ordered)
			write(t, dir, folder)

			stdout, stderr, err := command(t, work, offline(work), testtool.Python(t, l.venv), script("python", "library.py"),
				l.module, srv.url+l.prefix, srv.key, files, dir, out)
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, stdout, stderr)
			}
			var seen struct {
				Auth           map[string]any `json:"auth"`
				Quotas         []map[string]any
				ID             string
				Uploaded       string
				FolderOrder    []string `json:"folder_order"`
				FolderUploaded string   `json:"folder_uploaded"`
				Duplicate      *string
				NewID          string   `json:"new_id"`
				NewFiles       []string `json:"new_files"`
				Rows           []map[string]any
				Files          []string
			}
			lastLine(t, stdout, &seen)

			if seen.Auth["authenticated"] != true {
				t.Errorf("try_authentication returned %v", seen.Auth)
			}
			for _, quota := range seen.Quotas {
				if quota["row_quota"] == nil || quota["token_quota"] == nil {
					t.Errorf("get_quotas returned %v", seen.Quotas)
				}
			}
			if len(seen.Quotas) == 0 {
				t.Error("get_quotas returned nothing")
			}
			if seen.Uploaded != seen.ID || seen.FolderUploaded != seen.ID {
				t.Errorf("uploads to %s returned %q and %q:\n%s", seen.ID, seen.Uploaded, seen.FolderUploaded, stdout)
			}
			if seen.Duplicate != nil {
				t.Errorf("uploading a name twice returned %q, want None", *seen.Duplicate)
			}
			want := append([]string{"b.parquet", "a.parquet", "c.parquet"}, seen.FolderOrder...)
			if !slices.Equal(seen.Files, want) {
				t.Errorf("lists %q, want %q", seen.Files, want)
			}
			if !slices.Equal(seen.NewFiles, want[:1]) {
				t.Errorf("the new %s lists %q, want %q", l.noun, seen.NewFiles, want[:1])
			}
			wantRow(t, seen.Rows, l.noun+"_id", seen.ID, len(want))
			srv.admin().wantFiles(t, seen.ID, want, content)
			sameFiles(t, filepath.Join(out, "one"), map[string][]byte{"a.parquet": content["a.parquet"]})
			sameFiles(t, filepath.Join(out, "all"), content)
		})
	}
}

// wantRow looks for a dataset's row in what list_datasets returned, with
// everything that the documentation names.
func wantRow(t *testing.T, rows []map[string]any, idField, id string, files int) {
	t.Helper()
	for _, row := range rows {
		if row[idField] != id {
			continue
		}
		for _, name := range []string{"created_at", "updated_at", "datetime_added", "total_size_bytes", "schema"} {
			if row[name] == nil {
				t.Errorf("the row has no %s: %v", name, row)
			}
		}
		if row["file_count"] != float64(files) {
			t.Errorf("file_count is %v, want %d", row["file_count"], files)
		}
		return
	}
	t.Errorf("no row with %s %s in %v", idField, id, rows)
}

// sameFiles checks that a folder has these files and no others.
func sameFiles(t *testing.T, dir string, want map[string][]byte) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, want[entry.Name()]) {
			t.Errorf("%s has other bytes than were uploaded", entry.Name())
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%s has %d files, want %d", dir, len(entries), len(want))
	}
}

// script is a file under testdata.
func script(path ...string) string {
	return filepath.Join(append([]string{testtool.Root(), "test", "e2e", "testdata"}, path...)...)
}

// lastLine decodes the JSON that a script prints at its end.
func lastLine(t testing.TB, stdout string, into any) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), into); err != nil {
		t.Fatalf("the script did not print JSON at its end: %v\n%s", err, stdout)
	}
}
