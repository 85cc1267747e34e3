package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestOrder has eight clients upload at once while another lists. Positions are
// dense, each client's files come in its order, and every list begins with the
// one before.
func TestOrder(t *testing.T) {
	t.Parallel()
	const clients, each = 8, 25
	c := serve(t, setup{}).admin()
	id := c.create(t)
	content := map[string][]byte{}
	for i := range clients * each {
		content[fileName(i/each, i%each)] = parquet(t, i)
	}
	var mu sync.Mutex
	told := map[string]int64{} // positions that uploads were answered with

	var uploads errgroup.Group
	for n := range clients {
		uploads.Go(func() error {
			for k := range each {
				name := fileName(n, k)
				a, err := c.upload(id, name, content[name], nil)
				if err != nil {
					return err
				}
				f, err := a.file()
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				mu.Lock()
				told[name] = f.Position
				mu.Unlock()
			}
			return nil
		})
	}
	done := make(chan struct{})
	var lister errgroup.Group
	lists := 0
	lister.Go(func() error {
		for last := []listed(nil); ; lists++ {
			ended := false
			select {
			case <-done:
				ended = true
			default:
			}
			files, err := c.list(id)
			if err != nil {
				return err
			}
			if err := extends(last, files); err != nil {
				return err
			}
			if last = files; ended {
				return nil
			}
		}
	})
	if err := uploads.Wait(); err != nil {
		t.Error(err)
	}
	close(done)
	if err := lister.Wait(); err != nil {
		t.Error(err)
	}

	files := c.files(t, id)
	if len(files) != clients*each {
		t.Fatalf("%d files, want %d", len(files), clients*each)
	}
	next := make([]int, clients)
	for i, f := range files {
		var n, k int
		if _, err := fmt.Sscanf(f.FileName, "client-%d-%d.parquet", &n, &k); err != nil {
			t.Fatal(err)
		}
		if f.Position != int64(i) || told[f.FileName] != f.Position {
			t.Errorf("%s is listed %d. at position %d, its upload was told %d", f.FileName, i, f.Position, told[f.FileName])
		}
		if next[n] != k {
			t.Errorf("%s comes where client %d's file %d belongs", f.FileName, n, next[n])
		}
		next[n]++
		if string(c.download(t, id, f.FileName)) != string(content[f.FileName]) {
			t.Errorf("%s came back with other bytes", f.FileName)
		}
	}
	t.Logf("%d lists in the meantime", lists)
}

func fileName(client, number int) string {
	return fmt.Sprintf("client-%d-%02d.parquet", client, number)
}

// file is what an upload was answered.
func (a answer) file() (listed, error) {
	var f listed
	if a.status != http.StatusOK {
		return f, fmt.Errorf("answered %d %s", a.status, a.body)
	}
	return f, jsonInto(a.body, &f)
}

// extends reports how a list fails to begin with an earlier one, or has gaps.
func extends(earlier, later []listed) error {
	if len(later) < len(earlier) {
		return fmt.Errorf("a list of %d files came after one of %d", len(later), len(earlier))
	}
	for i, f := range later {
		if f.Position != int64(i) {
			return fmt.Errorf("%s is at position %d of the list and says %d", f.FileName, i, f.Position)
		}
		if i < len(earlier) && f.FileID != earlier[i].FileID {
			return fmt.Errorf("position %d was %s and became %s", i, earlier[i].FileName, f.FileName)
		}
	}
	return nil
}

// TestIdempotency repeats uploads under an Idempotency-Key.
func TestIdempotency(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id, content := c.create(t), parquet(t, 1)
	key := map[string]string{"Idempotency-Key": "upload-1"}
	send := func(name string, number int, header map[string]string) answer {
		t.Helper()
		a, err := c.upload(id, name, parquet(t, number), header)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := send("a.parquet", 1, key)
	want, err := first.file()
	if err != nil {
		t.Fatal(err)
	}
	send("b.parquet", 2, nil)
	again := send("a.parquet", 1, key)
	if got, err := again.file(); err != nil || got.FileID != want.FileID || got.Position != want.Position || got.UploadedAt != want.UploadedAt {
		t.Errorf("the repeated upload was answered %d %s, the first one %s", again.status, again.body, first.body)
	}
	send("a.parquet", 3, key).refused(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	send("c.parquet", 1, key).refused(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	send("a.parquet", 1, nil).refused(t, http.StatusConflict, "file_exists")
	send("d.parquet", 4, map[string]string{"Idempotency-Key": "with space"}).refused(t, http.StatusBadRequest, "invalid_request", "Idempotency-Key")
	names, all := []string{"a.parquet", "b.parquet"}, map[string][]byte{"a.parquet": content, "b.parquet": parquet(t, 2)}
	c.wantFiles(t, id, names, all)

	ids := sameKeyAtOnce(t, c, id)
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("one upload, sent six times at once, made %q", ids)
	}
	all["e.parquet"] = parquet(t, 5)
	c.wantFiles(t, id, append(names, "e.parquet"), all)

	create := request{method: http.MethodPost, path: "/create-dataset", header: map[string]string{"Idempotency-Key": "create-1"}}
	one, two := c.must(t, create), c.must(t, create)
	if datasetID.FindString(string(one.body)) != datasetID.FindString(string(two.body)) {
		t.Errorf("create-dataset repeated: %s and %s", one.body, two.body)
	}
	srv.stop(t)
	c = serve(t, setup{data: srv.data}).admin()
	if got, err := send("a.parquet", 1, key).file(); err != nil || got.FileID != want.FileID {
		t.Errorf("repeated after a restart: %+v %v", got, err)
	}
}

// sameKeyAtOnce sends one upload six times in parallel and returns the ids of
// the files that were answered.
func sameKeyAtOnce(t *testing.T, c client, id string) []string {
	t.Helper()
	content := parquet(t, 5)
	ids := make([]string, 6)
	var group errgroup.Group
	for i := range ids {
		group.Go(func() error {
			a, err := c.upload(id, "e.parquet", content, map[string]string{"Idempotency-Key": "upload-5"})
			if err != nil {
				return err
			}
			f, err := a.file()
			ids[i] = f.FileID
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	return ids
}

// TestFirstFilesRace uploads first files of two schemas at once. One schema
// wins.
func TestFirstFilesRace(t *testing.T) {
	t.Parallel()
	c := serve(t, setup{}).admin()
	contents := [][]byte{parquet(t, 1), fixture(t, "different", "pyarrow_dict_int.parquet")}
	for round := range 5 {
		id := c.create(t)
		var mu sync.Mutex
		var taken []int
		var group errgroup.Group
		for i := range 8 {
			group.Go(func() error {
				a, err := c.upload(id, fmt.Sprintf("%d.parquet", i), contents[i%2], nil)
				if err != nil {
					return err
				}
				switch a.status {
				case http.StatusOK:
					mu.Lock()
					taken = append(taken, i%2)
					mu.Unlock()
				case http.StatusConflict:
				default:
					return fmt.Errorf("answered %d %s", a.status, a.body)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		files := c.files(t, id)
		if len(taken) != 4 || len(files) != 4 || len(slices.Compact(taken)) != 1 {
			t.Errorf("round %d: took %v, lists %d files", round, taken, len(files))
		}
	}
}
