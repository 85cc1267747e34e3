package catalogtest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// dropping is a deletion of a dataset.
func (e *env) dropping(d dataset.Dataset) dataset.DatasetDeletion {
	return dataset.DatasetDeletion{ID: newName("drop-"), Tenant: e.tenant, DatasetID: d.ID}
}

func (e *env) drop(t testing.TB, d dataset.Dataset) dataset.DatasetDeleted {
	t.Helper()
	done, err := e.DeleteDataset(e.ctx, e.dropping(d))
	if err != nil {
		t.Fatalf("deleting a dataset: %v", err)
	}
	return done
}

func deleteDatasetTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"a deleted dataset is as unknown as one that never was": testDeletedIsUnknown,
		"a deletion of a dataset says what went": func(t *testing.T, e *env) {
			d := e.create(t)
			files := e.append(t, d, "a", "bb", "ccc")
			e.delete(t, d, "bb")
			del := e.dropping(d)
			want := dataset.DatasetDeleted{DatasetID: d.ID, FileCount: 2, TotalSizeBytes: files[0].SizeBytes + files[2].SizeBytes}
			for range 3 { // the second time its answer was lost, the third time the dataset is purged as well
				if done, err := e.DeleteDataset(e.ctx, del); err != nil || done != want {
					t.Fatalf("got %+v, %v; want %+v", done, err, want)
				}
				e.purgeAll(t, e.remover())
			}
			_, err := e.DeleteDataset(e.ctx, e.dropping(d))
			wantCode(t, err, fault.CodeDatasetNotFound)
		},
		"a deletion of a dataset under a known key answers the same": testDropReplay,
		"a deletion of another version is refused": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "a")
			del := e.dropping(d)
			del.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			for _, version := range []int64{1, 3, -1} {
				del.IfVersion = version
				_, err := e.DeleteDataset(e.ctx, del)
				wantCode(t, err, fault.CodeVersionMismatch)
				if got := err.(*fault.Error).Details["version"]; got != int64(2) {
					t.Errorf("it says that the version is %v", got)
				}
			}
			if got := e.dataset(t, d.ID); got.Version != 2 || len(e.list(t, d, 10)) != 1 {
				t.Fatalf("the dataset is %+v", got)
			}
			del.IfVersion = 2 // a refused deletion leaves its key free
			if done, err := e.DeleteDataset(e.ctx, del); err != nil || done.Replayed || done.FileCount != 1 {
				t.Fatalf("got %+v, %v", done, err)
			}
			del.ID, del.IfVersion, del.Idempotency = newName("drop-"), 1, dataset.Idempotency{}
			_, err := e.DeleteDataset(e.ctx, del) // that there is none comes before the version
			wantCode(t, err, fault.CodeDatasetNotFound)
		},
		"an id is used once": func(t *testing.T, e *env) {
			idem := dataset.Idempotency{Key: "k", Fingerprint: "f"}
			made, err := e.CreateDataset(e.ctx, e.tenant, e.newDataset(), idem)
			if err != nil {
				t.Fatal(err)
			}
			e.drop(t, made)
			for range 2 { // the second time it is purged
				_, err := e.CreateDataset(e.ctx, e.tenant, made, dataset.Idempotency{})
				wantCode(t, err, fault.CodeDatasetNotFound)
				_, err = e.CreateDataset(e.ctx, e.tenant, e.newDataset(), idem)
				wantCode(t, err, fault.CodeDatasetNotFound)
				if page, err := e.Datasets(e.ctx, e.tenant, "", 10); err != nil || len(page.Datasets) != 0 {
					t.Fatalf("listed %+v, %v", page, err)
				}
				e.purgeAll(t, e.remover())
			}
		},
		"pages of datasets go on over deleted ones": func(t *testing.T, e *env) {
			var want []string
			for i := range 9 {
				if d := e.create(t); i%3 == 0 {
					want = append([]string{d.ID}, want...)
				} else {
					e.drop(t, d)
				}
			}
			for limit := 1; limit < 5; limit++ {
				var got []string
				for after, more := "", true; more; {
					page, err := e.Datasets(e.ctx, e.tenant, after, limit)
					if err != nil {
						t.Fatal(err)
					}
					for _, d := range page.Datasets {
						got = append(got, d.ID)
					}
					after, more = page.Next, page.Next != ""
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("%d at a time: listed %v, want %v", limit, got, want)
				}
			}
		},
		"one of many deletes a dataset": func(t *testing.T, e *env) {
			d, other := e.create(t), e.create(t)
			e.append(t, d, "a")
			wantOneWinner(t, race(8, func(int) error {
				_, err := e.DeleteDataset(e.ctx, e.dropping(d))
				return err
			}), fault.CodeDatasetNotFound)
			for i, err := range race(8, func(int) error { // the same request, sent at once
				del := e.dropping(other)
				del.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
				_, err := e.DeleteDataset(e.ctx, del)
				return err
			}) {
				if err != nil {
					t.Errorf("request %d: %v", i, err)
				}
			}
		},
	}
}

// testDeletedIsUnknown does everything to a deleted dataset, before and after it
// is purged, and to one that never was.
func testDeletedIsUnknown(t *testing.T, e *env) {
	d, kept := e.create(t), e.create(t)
	idem := func(key string) dataset.Idempotency { return dataset.Idempotency{Key: key, Fingerprint: "f"} }
	first := e.request(d, "a", "b")
	first.Idempotency = idem("append")
	if _, err := e.Append(e.ctx, first); err != nil {
		t.Fatal(err)
	}
	update := dataset.Update{Tenant: e.tenant, DatasetID: d.ID, Name: new("n"), Idempotency: idem("update")}
	if _, err := e.UpdateDataset(e.ctx, update); err != nil {
		t.Fatal(err)
	}
	deletion := e.deletion(d, "b")
	deletion.Idempotency = idem("delete")
	if _, err := e.DeleteFile(e.ctx, deletion); err != nil {
		t.Fatal(err)
	}
	again := deletion
	again.ID = newName("delete-")
	e.append(t, d, "b") // so that the repeated deletion finds another file
	ready := e.complete(t, d, "upload")
	e.append(t, kept, "a")
	want, wantList := e.dataset(t, kept.ID), e.list(t, kept, 10)
	e.drop(t, d)

	_, never := e.Dataset(e.ctx, e.tenant, "dataset-never")
	operations := map[string]func() error{
		"Dataset":         func() error { _, err := e.Dataset(e.ctx, e.tenant, d.ID); return err },
		"Exists":          func() error { return e.Exists(e.ctx, e.tenant, d.ID) },
		"File":            func() error { _, err := e.File(e.ctx, e.tenant, d.ID, "a"); return err },
		"File, none":      func() error { _, err := e.File(e.ctx, e.tenant, d.ID, "none"); return err },
		"Files":           func() error { _, err := e.Files(e.ctx, e.tenant, d.ID, 0, 10); return err },
		"Files, later":    func() error { _, err := e.Files(e.ctx, e.tenant, d.ID, 1, 1); return err },
		"Append":          func() error { _, err := e.Append(e.ctx, e.request(d, "new")); return err },
		"Append, again":   func() error { _, err := e.Append(e.ctx, first); return err },
		"Append, taken":   func() error { _, err := e.Append(e.ctx, e.request(d, "a")); return err },
		"Append, uploads": func() error { _, err := e.Append(e.ctx, e.appendOf(d, ready...)); return err },
		"Append, schema": func() error {
			a := e.request(d, "new")
			a.Schema = columns("other bool")
			_, err := e.Append(e.ctx, a)
			return err
		},
		"UpdateDataset":         func() error { _, err := e.UpdateDataset(e.ctx, update); return err },
		"DeleteFile":            func() error { _, err := e.DeleteFile(e.ctx, e.deletion(d, "a")); return err },
		"DeleteFile, known key": func() error { _, err := e.DeleteFile(e.ctx, again); return err },
		"DeleteFile, known id":  func() error { _, err := e.DeleteFile(e.ctx, deletion); return err },
		"DeleteFile, none":      func() error { _, err := e.DeleteFile(e.ctx, e.deletion(d, "none")); return err },
		"DeleteDataset":         func() error { _, err := e.DeleteDataset(e.ctx, e.dropping(d)); return err },
		"DeleteDataset, another": func() error {
			del := e.dropping(kept)
			del.Tenant = newName("tenant-")
			_, err := e.DeleteDataset(e.ctx, del)
			return err
		},
	}
	for _, when := range []string{"deleted", "being purged", "purged"} {
		for name, operation := range operations {
			if err := operation(); !reflect.DeepEqual(err, never) {
				t.Errorf("%s, %s: %v", when, name, err)
			}
		}
		if page, err := e.Datasets(e.ctx, e.tenant, "", 10); err != nil || len(page.Datasets) != 1 || !reflect.DeepEqual(page.Datasets[0], want) {
			t.Errorf("%s: listed %+v, %v", when, page, err)
		}
		if when == "deleted" {
			e.purge(t, e.remover())
		} else {
			e.purgeAll(t, e.remover())
		}
	}
	if got := e.dataset(t, kept.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("the other dataset was %+v and is %+v", want, got)
	}
	wantFiles(t, e.list(t, kept, 10), wantList)
}

func testDropReplay(t *testing.T, e *env) {
	d, other := e.create(t), e.create(t)
	e.append(t, d, "a")
	first := e.dropping(d)
	first.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
	done, err := e.DeleteDataset(e.ctx, first)
	if err != nil || done.Replayed || done.FileCount != 1 {
		t.Fatalf("got %+v, %v", done, err)
	}
	again := first
	again.ID = newName("drop-")
	for range 2 { // the second time it is purged
		replay, err := e.DeleteDataset(e.ctx, again)
		if want := (dataset.DatasetDeleted{DatasetID: d.ID, FileCount: 1, TotalSizeBytes: done.TotalSizeBytes, Replayed: true}); err != nil || replay != want {
			t.Fatalf("repeated: %+v, %v, want %+v", replay, err, want)
		}
		if same, err := e.DeleteDataset(e.ctx, first); err != nil || same != done {
			t.Fatalf("the same request: %+v, %v, want %+v", same, err, done)
		}
		for name, change := range map[string]func(*dataset.DatasetDeletion){
			"another request": func(d *dataset.DatasetDeletion) { d.Idempotency.Fingerprint = "g" },
			"another dataset": func(d *dataset.DatasetDeletion) { d.DatasetID = other.ID },
			"no dataset":      func(d *dataset.DatasetDeletion) { d.DatasetID = fmt.Sprint(other.ID, "0") },
		} {
			reused := again
			change(&reused)
			if _, err := e.DeleteDataset(e.ctx, reused); !fault.Is(err, fault.CodeIdempotencyKeyReused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		e.purgeAll(t, e.remover())
	}
	a := e.request(other, "c")
	a.Idempotency = first.Idempotency
	_, err = e.Append(e.ctx, a)
	wantCode(t, err, fault.CodeIdempotencyKeyReused)
	e.clock.advance(dataset.IdempotencyWindow + time.Second)
	_, err = e.DeleteDataset(e.ctx, again)
	wantCode(t, err, fault.CodeDatasetNotFound)
}
