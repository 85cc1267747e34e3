package e2e

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamage flips a byte of a stored file. Its download must not look whole,
// whatever the file's size.
func TestDamage(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	for number, size := range []int{0, 100 << 10, 2 << 20, 10 << 20} {
		id := c.create(t)
		c.mustUpload(t, id, "a.parquet", padded(t, number, size))
		flipStored(t, srv.data, padded(t, number, size))
		body := strings.NewReader(`{"dataset_id":"` + id + `","file_name":"a.parquet"}`)
		r, err := http.NewRequest(http.MethodPost, srv.url+"/download-from-dataset", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Key "+srv.key)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			continue // cut off before its header: as good
		}
		if _, err := io.ReadAll(answer.Body); err == nil && answer.StatusCode == http.StatusOK {
			t.Errorf("a damaged file with %d more bytes is handed out as a whole one", size)
		}
		answer.Body.Close()
	}
}

// flipStored changes one byte of the stored file that has some content.
func flipStored(t *testing.T, data string, content []byte) {
	t.Helper()
	flipped := 0
	err := filepath.WalkDir(filepath.Join(data, "objects"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		stored, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(stored, content) {
			return err
		}
		flipped++
		stored[len(stored)/2] ^= 1
		return os.WriteFile(path, stored, 0o600)
	})
	if err != nil || flipped != 1 {
		t.Fatalf("%d files were changed, %v", flipped, err)
	}
}
