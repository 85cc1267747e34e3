package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestChangesOfADataset reads a dataset, changes it and deletes files of it, over
// a restart.
func TestChangesOfADataset(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	var sizes [3]int
	for i := range sizes {
		content := parquet(t, i)
		sizes[i] = len(content)
		c.mustUpload(t, id, fmt.Sprint(i, ".parquet"), content)
	}
	get := func(c client) map[string]any {
		t.Helper()
		var d map[string]any
		c.json(t, "/get-dataset", map[string]any{"dataset_id": id}).decode(t, http.StatusOK, &d)
		return d
	}
	if d := get(c); d["version"] != 4.0 || d["file_count"] != 3.0 || d["total_size_bytes"] != float64(sizes[0]+sizes[1]+sizes[2]) {
		t.Errorf("the dataset is %v", d)
	}
	c.json(t, "/update-dataset", map[string]any{"dataset_id": id, "name": "week 47", "if_version": 3}).
		refused(t, http.StatusConflict, "version_mismatch", "get-dataset", "4")
	c.json(t, "/update-dataset", map[string]any{"dataset_id": id, "name": "week 47", "if_version": 4}).decode(t, http.StatusOK, new(map[string]any))
	remove := map[string]any{"dataset_id": id, "file_name": "1.parquet"}
	c.json(t, "/delete-dataset-file", remove).decode(t, http.StatusOK, new(map[string]any))
	srv.stop(t)

	c = serve(t, setup{data: srv.data}).admin()
	if d := get(c); d["version"] != 6.0 || d["name"] != "week 47" || d["file_count"] != 2.0 || d["next_position"] != 3.0 ||
		d["total_size_bytes"] != float64(sizes[0]+sizes[2]) {
		t.Errorf("the dataset is %v", d)
	}
	c.json(t, "/delete-dataset-file", remove).refused(t, http.StatusNotFound, "file_not_found", "list-dataset-files")
	c.json(t, "/download-from-dataset", remove).refused(t, http.StatusNotFound, "file_not_found", "list-dataset-files")
	content := parquet(t, 7)
	if f := c.mustUpload(t, id, "1.parquet", content); f.Position != 3 {
		t.Errorf("the name's new file is at position %d", f.Position)
	}
	if got := c.names(t, id); !slices.Equal(got, []string{"0.parquet", "2.parquet", "1.parquet"}) {
		t.Errorf("listed %q", got)
	}
	if !bytes.Equal(c.download(t, id, "1.parquet"), content) {
		t.Error("the name's new file came back with other bytes")
	}
	sdk := client{c.url + "/sdk", c.key}
	if a := sdk.json(t, "/list-dataset-files", map[string]any{"dataset_id": id}); !strings.Contains(string(a.body), `["0.parquet","2.parquet","1.parquet"]`) {
		t.Errorf("for the libraries: %s", a.body)
	}
}

// TestDeletesAtOnce has clients upload and delete under the same names while
// another lists. Each file is deleted once, and positions are never used again.
func TestDeletesAtOnce(t *testing.T) {
	t.Parallel()
	const clients, rounds = 6, 8
	c := serve(t, setup{}).admin()
	id := c.create(t)
	var mu sync.Mutex
	uploaded, deleted := map[string]int64{}, map[string]bool{} // by file id

	var group errgroup.Group
	for n := range clients {
		group.Go(func() error {
			name := fmt.Sprintf("%d.parquet", n/2) // two clients share a name
			for k := range rounds {
				a, err := c.upload(id, name, parquet(t, n*rounds+k), nil)
				if err != nil {
					return err
				}
				if f, err := a.file(); err == nil {
					mu.Lock()
					uploaded[f.FileID] = f.Position
					mu.Unlock()
				} else if a.status != http.StatusConflict {
					return err
				}
				body := fmt.Sprintf(`{"dataset_id":%q,"file_name":%q}`, id, name)
				if a, err = c.do(request{path: "/delete-dataset-file", contentType: "application/json", body: strings.NewReader(body)}); err != nil {
					return err
				}
				if a.status == http.StatusNotFound {
					continue
				}
				var gone listed
				if err := jsonInto(a.body, &gone); err != nil || a.status != http.StatusOK {
					return fmt.Errorf("deleting %s: %d %s", name, a.status, a.body)
				}
				mu.Lock()
				if deleted[gone.FileID] {
					t.Errorf("%s was deleted twice", gone.FileID)
				}
				deleted[gone.FileID] = true
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	positions := map[int64]string{}
	for fileID, position := range uploaded {
		if other := positions[position]; other != "" {
			t.Errorf("%s and %s were both at position %d", other, fileID, position)
		}
		positions[position] = fileID
	}
	for i := range int64(len(uploaded)) {
		if positions[i] == "" {
			t.Errorf("no file was ever at position %d", i)
		}
	}
	left := c.files(t, id)
	if len(left) != len(uploaded)-len(deleted) {
		t.Errorf("%d files were uploaded, %d deleted, %d are listed", len(uploaded), len(deleted), len(left))
	}
	for _, f := range left {
		if deleted[f.FileID] || uploaded[f.FileID] != f.Position {
			t.Errorf("%+v is listed; deleted: %v", f, deleted[f.FileID])
		}
		c.download(t, id, f.FileName)
	}
}
