package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerify damages a server's folder and has it say what is wrong.
func TestVerify(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	var files []listed
	for i := range 4 {
		files = append(files, c.mustUpload(t, id, fmt.Sprint(i, ".parquet"), parquet(t, i)))
	}
	type verification struct {
		Checked  int
		Sound    int
		Problems []struct {
			FileName string `json:"file_name"`
			Position int64
			Problem  string
		}
		NextCursor string `json:"next_cursor"`
	}
	verify := func(fields map[string]any) (v verification) {
		t.Helper()
		fields["dataset_id"] = id
		c.json(t, "/verify-dataset", fields).decode(t, http.StatusOK, &v)
		return v
	}
	if v := verify(map[string]any{}); v.Checked != 4 || v.Sound != 4 || len(v.Problems) != 0 || v.NextCursor != "" {
		t.Errorf("untouched: %+v", v)
	}
	if err := os.Remove(storedFile(t, srv.data, files[1].FileID)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(storedFile(t, srv.data, files[3].FileID), 10); err != nil {
		t.Fatal(err)
	}
	first := verify(map[string]any{"limit": 2})
	if first.Checked != 2 || first.Sound != 1 || len(first.Problems) != 1 || first.Problems[0].FileName != "1.parquet" ||
		first.Problems[0].Position != 1 || first.Problems[0].Problem != "missing" || first.NextCursor == "" {
		t.Errorf("the first half: %+v", first)
	}
	second := verify(map[string]any{"cursor": first.NextCursor})
	if second.Checked != 2 || second.Sound != 1 || len(second.Problems) != 1 || second.Problems[0].FileName != "3.parquet" ||
		second.Problems[0].Problem != "size" || second.NextCursor != "" {
		t.Errorf("the second half: %+v", second)
	}
}

// storedFile finds the file that holds a dataset's file in a server's folder.
func storedFile(t *testing.T, data, fileID string) string {
	t.Helper()
	found := ""
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(d.Name(), fileID) && strings.Contains(path, "files") {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no object of %s under %s: %v", fileID, data, err)
	}
	return found
}
