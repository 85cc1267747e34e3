package catalogtest

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func deleteTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"a deleted file leaves its position empty": func(t *testing.T, e *env) {
			d := e.create(t)
			files := e.append(t, d, "a", "b", "c")
			before := e.dataset(t, d.ID)
			if got := e.delete(t, d, "b"); got != files[1] {
				t.Fatalf("deleted %+v, want %+v", got, files[1])
			}
			wantFiles(t, e.list(t, d, 10), []dataset.File{files[0], files[2]})
			_, err := e.File(e.ctx, e.tenant, d.ID, "b")
			wantCode(t, err, fault.CodeFileNotFound)

			want, got := before, e.dataset(t, d.ID)
			want.FileCount, want.TotalRows, want.TotalSizeBytes = 2, before.TotalRows-files[1].RowCount, before.TotalSizeBytes-files[1].SizeBytes
			if want.Version++; !got.UpdatedAt.After(before.UpdatedAt) {
				t.Errorf("updated at %v, before that %v", got.UpdatedAt, before.UpdatedAt)
			}
			want.UpdatedAt = got.UpdatedAt
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("the dataset is %+v, want %+v", got, want)
			}
			last := e.append(t, d, "d")
			if last[0].Position != 3 {
				t.Fatalf("the next file is at %d", last[0].Position)
			}
			wantFiles(t, e.list(t, d, 10), []dataset.File{files[0], files[2], last[0]})
		},
		"a deleted file's name is free": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "a", "b")
			for round := range 3 {
				e.delete(t, d, "a")
				again := e.append(t, d, "a")
				if again[0].Position != int64(2+round) {
					t.Fatalf("the new file is at %d", again[0].Position)
				}
				got, err := e.File(e.ctx, e.tenant, d.ID, "a")
				if err != nil || got != again[0] {
					t.Fatalf("got %+v, %v; want %+v", got, err, again[0])
				}
				_, err = e.Append(e.ctx, e.request(d, "a"))
				wantTaken(t, err, "a")
			}
		},
		"a file is deleted once": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "a", "b")
			e.delete(t, d, "a")
			before := e.dataset(t, d.ID)
			for _, name := range []string{"a", "never"} {
				_, err := e.DeleteFile(e.ctx, e.deletion(d, name))
				wantCode(t, err, fault.CodeFileNotFound)
			}
			if after := e.dataset(t, d.ID); !reflect.DeepEqual(before, after) {
				t.Fatalf("the dataset was %+v and is %+v", before, after)
			}
		},
		"the schema stays when its file is deleted": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "first")
			e.delete(t, d, "first")
			got := e.dataset(t, d.ID)
			if got.Schema == nil || got.SchemaFile != "first" || got.FileCount != 0 || got.NextPosition != 1 || got.TotalRows != 0 || got.TotalSizeBytes != 0 {
				t.Fatalf("the dataset is %+v", got)
			}
			a := e.request(d, "second")
			a.Schema = columns("other bool")
			_, err := e.Append(e.ctx, a)
			wantCode(t, err, fault.CodeSchemaMismatch)
			e.append(t, d, "second")
		},
		"sums that had ended at the largest number come down again": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.request(d, "a", "b", "c")
			for i := range a.Files {
				a.Files[i].SizeBytes, a.Files[i].RowCount = 1<<62+int64(i), 1<<62
			}
			if _, err := e.Append(e.ctx, a); err != nil {
				t.Fatal(err)
			}
			for _, want := range []struct {
				name       string
				size, rows int64
			}{{"a", math.MaxInt64, math.MaxInt64}, {"b", 1<<62 + 2, 1 << 62}, {"c", 0, 0}} {
				e.delete(t, d, want.name)
				if got := e.dataset(t, d.ID); got.TotalSizeBytes != want.size || got.TotalRows != want.rows {
					t.Fatalf("without %s: %d bytes, %d rows; want %d, %d", want.name, got.TotalSizeBytes, got.TotalRows, want.size, want.rows)
				}
			}
		},
		"pages over empty positions": testPagesOverGaps,
		"a page survives the deletion of what it began at": func(t *testing.T, e *env) {
			d := e.create(t)
			files := e.append(t, d, "a", "b", "c", "d")
			page, err := e.Files(e.ctx, e.tenant, d.ID, 0, 2)
			if err != nil || !page.More {
				t.Fatalf("got %+v, %v", page, err)
			}
			e.delete(t, d, "b")
			e.delete(t, d, "c")
			page, err = e.Files(e.ctx, e.tenant, d.ID, page.Next, 2)
			if err != nil || page.More {
				t.Fatalf("got %+v, %v", page, err)
			}
			wantFiles(t, page.Files, files[3:])
		},
		"a deletion under a known key deletes nothing": testDeleteReplay,
		"the same deletion again is the same deletion": func(t *testing.T, e *env) {
			d := e.create(t)
			files := e.append(t, d, "a")
			del := e.deletion(d, "a")
			for range 3 {
				done, err := e.DeleteFile(e.ctx, del)
				if err != nil || done.Replayed || done.File != files[0] {
					t.Fatalf("got %+v, %v", done, err)
				}
			}
			if got := e.dataset(t, d.ID); got.FileCount != 0 || got.Version != 3 {
				t.Fatalf("the dataset is %+v", got)
			}
		},
		"an append is known again after its files were deleted": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.request(d, "a", "b")
			done, err := e.Append(e.ctx, a)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a", "b"} {
				e.delete(t, d, name)
				again, err := e.Append(e.ctx, a)
				if err != nil || again.Replayed {
					t.Fatalf("without %s: %+v, %v", name, again, err)
				}
				wantFiles(t, again.Files, done.Files)
			}
			if got := e.dataset(t, d.ID); got.FileCount != 0 || got.NextPosition != 2 {
				t.Fatalf("the dataset is %+v", got)
			}
			more := a
			more.Files = append(e.files("new"), a.Files...) // another append, with files that were there
			_, err = e.Append(e.ctx, more)
			wantTaken(t, err, "a")
			e.append(t, d, "a") // another file
			for range 2 {       // the second time it has been deleted as well
				again, err := e.Append(e.ctx, a)
				if err != nil || again.Replayed {
					t.Fatalf("got %+v, %v", again, err)
				}
				wantFiles(t, again.Files, done.Files)
				_, _ = e.DeleteFile(e.ctx, e.deletion(d, "a"))
			}
			if got := e.list(t, d, 10); len(got) != 0 {
				t.Fatalf("listed %v", nameList(got))
			}
		},
		"one of many deletes a file":       testOneDeletes,
		"order under writers and deleters": testOrderWithDeletes,
	}
}

// testPagesOverGaps lists a dataset in which runs of files were deleted, from
// every position, in pages of every size.
func testPagesOverGaps(t *testing.T, e *env) {
	const n = 24
	d := e.create(t)
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("f", i)
	}
	left := e.append(t, d, names...)
	for _, gone := range [][2]int{{0, 3}, {5, 6}, {8, 9}, {9, 16}, {20, 24}} {
		for i := gone[0]; i < gone[1]; i++ {
			e.delete(t, d, names[i])
			left = slices.DeleteFunc(left, func(f dataset.File) bool { return f.Name == names[i] })
		}
	}
	for from := range int64(n + 2) {
		want := slices.DeleteFunc(slices.Clone(left), func(f dataset.File) bool { return f.Position < from })
		for limit := 1; limit <= n+1; limit++ {
			page, err := e.Files(e.ctx, e.tenant, d.ID, from, limit)
			if err != nil {
				t.Fatal(err)
			}
			wantFiles(t, page.Files, want[:min(limit, len(want))])
			if more := len(page.Files) == limit; page.More != more || more && page.Next != page.Files[limit-1].Position+1 {
				t.Fatalf("from %d, %d files: %v, more %v, next %d", from, limit, nameList(page.Files), page.More, page.Next)
			}
			if page.Dataset.FileCount != int64(len(left)) || page.Dataset.NextPosition != n {
				t.Fatalf("the dataset is %+v", page.Dataset)
			}
		}
	}
	for limit := 1; limit <= n; limit++ {
		wantFiles(t, e.list(t, d, limit), left)
	}
	for _, f := range left {
		e.delete(t, d, f.Name)
	}
	if got := e.list(t, d, 2); len(got) != 0 {
		t.Fatalf("listed %v", nameList(got))
	}
}

func testDeleteReplay(t *testing.T, e *env) {
	d, other := e.create(t), e.create(t)
	files := e.append(t, d, "a", "b")
	e.append(t, other, "a")
	first := e.deletion(d, "a")
	first.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
	if done, err := e.DeleteFile(e.ctx, first); err != nil || done.Replayed || done.File != files[0] {
		t.Fatalf("got %+v, %v", done, err)
	}
	again := first
	again.ID = newName("delete-")
	for range 2 { // the second time another file has the name
		done, err := e.DeleteFile(e.ctx, again)
		if err != nil || !done.Replayed || done.File != files[0] {
			t.Fatalf("repeated: %+v, %v", done, err)
		}
		if done, err = e.DeleteFile(e.ctx, first); err != nil || done.Replayed || done.File != files[0] {
			t.Fatalf("the same request: %+v, %v", done, err)
		}
		_, _ = e.Append(e.ctx, e.request(d, "a"))
	}
	if got := e.list(t, d, 10); len(got) != 2 {
		t.Fatalf("listed %v", nameList(got))
	}
	for name, change := range map[string]func(*dataset.Deletion){
		"another request":  func(d *dataset.Deletion) { d.Idempotency.Fingerprint = "g" },
		"another dataset":  func(d *dataset.Deletion) { d.DatasetID = other.ID },
		"no file and used": func(d *dataset.Deletion) { d.Name, d.Idempotency.Fingerprint = "none", "g" },
	} {
		reused := again
		change(&reused)
		if _, err := e.DeleteFile(e.ctx, reused); !fault.Is(err, fault.CodeIdempotencyKeyReused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := e.request(d, "c")
	a.Idempotency = first.Idempotency
	_, err := e.Append(e.ctx, a)
	wantCode(t, err, fault.CodeIdempotencyKeyReused)

	missing := e.deletion(d, "none") // a refused deletion leaves its key free
	missing.Idempotency = dataset.Idempotency{Key: "k2", Fingerprint: "f"}
	_, err = e.DeleteFile(e.ctx, missing)
	wantCode(t, err, fault.CodeFileNotFound)
	missing.Name, missing.Idempotency.Fingerprint = "b", "g"
	if done, err := e.DeleteFile(e.ctx, missing); err != nil || done.File != files[1] {
		t.Fatalf("got %+v, %v", done, err)
	}
	e.clock.advance(dataset.IdempotencyWindow + time.Second)
	if done, err := e.DeleteFile(e.ctx, again); err != nil || done.Replayed || done.File.Position != 2 {
		t.Fatalf("after the window: %+v, %v", done, err)
	}
}

func testOneDeletes(t *testing.T, e *env) {
	d := e.create(t)
	e.append(t, d, "a", "b")
	wantOneWinner(t, race(8, func(int) error {
		_, err := e.DeleteFile(e.ctx, e.deletion(d, "a"))
		return err
	}), fault.CodeFileNotFound)
	if got := e.dataset(t, d.ID); got.FileCount != 1 || got.Version != 3 {
		t.Fatalf("the dataset is %+v", got)
	}
	for i, err := range race(8, func(int) error { // the same request, sent at once
		del := e.deletion(d, "b")
		del.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
		_, err := e.DeleteFile(e.ctx, del)
		return err
	}) {
		if err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if got := e.dataset(t, d.ID); got.FileCount != 0 || got.Version != 4 {
		t.Fatalf("the dataset is %+v", got)
	}
}

// testOrderWithDeletes has writers append and delete while readers list. No
// file ever moves, comes back or is listed out of order, and what was deleted
// before a list began is not in it.
func testOrderWithDeletes(t *testing.T, e *env) {
	const writers, each = 6, 5
	d := e.create(t)
	var mu sync.Mutex
	gone := map[string]bool{} // ids of deleted files
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, limit := range []int{1000, 3} {
		readers.Go(func() {
			places := map[int64]string{}
			for {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				before := make(map[string]bool, len(gone))
				for id := range gone {
					before[id] = true
				}
				mu.Unlock()
				last := int64(-1)
				for _, f := range e.list(t, d, limit) {
					if f.Position <= last || before[f.ID] || places[f.Position] != "" && places[f.Position] != f.ID {
						t.Errorf("%+v is listed after %d; deleted before: %v, at its position was %q", f, last, before[f.ID], places[f.Position])
					}
					last, places[f.Position] = f.Position, f.ID
				}
			}
		})
	}
	kept := make([]dataset.File, writers)
	for i, err := range race(writers, func(w int) error {
		for k := range each { // every writer appends under one name and deletes it again, but for the last time
			name := fmt.Sprint("w", w)
			a, err := e.Append(e.ctx, e.request(d, name, fmt.Sprint(name, "-", k)))
			if err != nil {
				return err
			}
			kept[w] = a.Files[0]
			if k == each-1 {
				return nil
			}
			deleted, err := e.DeleteFile(e.ctx, e.deletion(d, name))
			if err != nil {
				return err
			}
			if deleted.File != a.Files[0] {
				return fmt.Errorf("deleted %+v, appended %+v", deleted.File, a.Files[0])
			}
			mu.Lock()
			gone[deleted.File.ID] = true
			mu.Unlock()
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	close(done)
	readers.Wait()
	got := e.dataset(t, d.ID)
	list := e.list(t, d, 7)
	size, rows := dataset.Sums(list)
	if n := int64(len(list)); n != writers*(each+1) || got.FileCount != n || got.NextPosition != 2*writers*each ||
		got.TotalSizeBytes != size || got.TotalRows != rows || got.Version != 1+writers*(2*each-1) {
		t.Fatalf("%d files are listed, of %d bytes and %d rows, and the dataset is %+v", n, size, rows, got)
	}
	for _, f := range kept {
		if !slices.Contains(list, f) {
			t.Errorf("%+v is not listed", f)
		}
	}
}
