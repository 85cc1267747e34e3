package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestDeleteDataset deletes a dataset beside others. It is gone at once and for
// good, over a restart as well; its bytes go, and nobody else's do.
func TestDeleteDataset(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	kept, content, names := c.create(t), map[string][]byte{}, []string{"a.parquet", "b.parquet"}
	id := c.create(t)
	for i, name := range names {
		content[name] = parquet(t, i)
		c.mustUpload(t, kept, name, content[name])
		c.mustUpload(t, id, name, content[name])
	}
	if n := storedFiles(t, srv.data); n != 4 {
		t.Fatalf("%d objects are stored", n)
	}
	var upload struct {
		ID string `json:"upload_id"`
	}
	begin := map[string]any{"dataset_id": id, "file_name": "large.parquet", "size_bytes": 20_000_000}
	c.json(t, "/create-upload", begin).decode(t, http.StatusOK, &upload)

	body := map[string]any{"dataset_id": id, "file_name": "a.parquet", "name": "n", "upload_ids": []string{upload.ID}, "size_bytes": 20_000_000}
	paths := []string{
		"/get-dataset", "/update-dataset", "/list-dataset-files", "/download-from-dataset", "/delete-dataset-file", "/verify-dataset",
		"/create-upload", "/append-files", "/list-uploads", "/delete-dataset",
	}
	stranger, _ := newKey(t, srv.data, "other", "admin")
	for _, path := range paths {
		client{srv.url, stranger}.json(t, path, body).refused(t, http.StatusNotFound, "dataset_not_found")
	}
	c.wantFiles(t, id, names, content)

	deletion := func(c client) answer {
		return c.must(t, request{path: "/delete-dataset", contentType: "application/json", body: strings.NewReader(`{"dataset_id":"` + id + `"}`),
			header: map[string]string{"Idempotency-Key": "once"}})
	}
	var deleted map[string]any
	deletion(c).decode(t, http.StatusOK, &deleted)
	if size := float64(len(content["a.parquet"]) + len(content["b.parquet"])); deleted["dataset_id"] != id || deleted["state"] != "deleting" ||
		deleted["file_count"] != 2.0 || deleted["total_size_bytes"] != size {
		t.Errorf("answered %v", deleted)
	}
	gone := func(c client) {
		t.Helper()
		never := map[string]any{}
		for name, value := range body {
			never[name] = value
		}
		never["dataset_id"] = "dataset-0192f0c1-2345-7abc-8def-0123456789ab"
		for _, path := range paths {
			want := c.json(t, path, never).refused(t, http.StatusNotFound, "dataset_not_found")
			if got := c.json(t, path, body).refused(t, http.StatusNotFound, "dataset_not_found"); !reflect.DeepEqual(got, want) {
				t.Errorf("%s answers %v, and %v about a dataset that never was", path, got, want)
			}
		}
		if a, err := c.upload(id, "new.parquet", content["a.parquet"], nil); err != nil || a.status != http.StatusNotFound {
			t.Errorf("uploading: %d, %v", a.status, err)
		}
		for _, path := range []string{"/get-upload", "/complete-upload", "/abort-upload"} {
			if a := c.json(t, path, map[string]any{"upload_id": upload.ID}); a.status != http.StatusNotFound {
				t.Errorf("%s answered %d %s", path, a.status, a.body)
			}
		}
		if list := string(c.json(t, "/list-datasets", map[string]any{}).body); strings.Contains(list, id) || !strings.Contains(list, kept) {
			t.Errorf("listed %s", list)
		}
		var again map[string]any
		deletion(c).decode(t, http.StatusOK, &again)
		if !reflect.DeepEqual(again, deleted) {
			t.Errorf("repeated: %v, at first it was %v", again, deleted)
		}
		c.wantFiles(t, kept, names, content)
	}
	gone(c)
	wantStored(t, srv.data, 2)
	srv.stop(t)
	gone(serve(t, setup{data: srv.data}).admin())
	wantStored(t, srv.data, 2)
}

// TestKillWhilePurging kills the server while it removes the files of a deleted
// dataset. The next one goes on.
func TestKillWhilePurging(t *testing.T) {
	t.Parallel()
	const files, rounds = 120, 2
	srv := serve(t, setup{})
	kept, content := srv.admin().create(t), map[string][]byte{"a.parquet": parquet(t, 1)}
	srv.admin().mustUpload(t, kept, "a.parquet", content["a.parquet"])
	interrupted := 0
	for round := range rounds {
		c := srv.admin()
		id := c.create(t)
		for i := range files {
			c.mustUpload(t, id, fmt.Sprintf("%03d.parquet", i), content["a.parquet"])
		}
		c.json(t, "/delete-dataset", map[string]any{"dataset_id": id}).decode(t, http.StatusOK, new(map[string]any))
		time.Sleep(time.Duration(round) * 10 * time.Millisecond)
		srv.kill()
		left := storedFiles(t, srv.data) - 1
		t.Logf("round %d: %d of %d files were left", round, left, files)
		if left > 0 {
			interrupted++
		}
		srv = serve(t, setup{data: srv.data})
		srv.admin().json(t, "/get-dataset", map[string]any{"dataset_id": id}).refused(t, http.StatusNotFound, "dataset_not_found")
		wantStored(t, srv.data, 1)
		srv.admin().wantFiles(t, kept, []string{"a.parquet"}, content)
	}
	if interrupted == 0 {
		t.Error("no kill came before the end of a purge, so nothing was shown")
	}
}

// storedFiles counts the objects that a server keeps of files, and of their parts.
func storedFiles(t testing.TB, data string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(data, "objects", "buckets"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			n++
		}
		return nil // what is not there was removed meanwhile
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantStored waits until a server keeps so many objects.
func wantStored(t testing.TB, data string, want int) {
	t.Helper()
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(10 * time.Millisecond) {
		n := storedFiles(t, data)
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d objects are stored, want %d", n, want)
		}
	}
}
