package catalogtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// remover stands between a Purger and a store, whose deleted datasets of other
// tenants it hides, and is the objects that the files have. It can fail once.
type remover struct {
	Store
	tenant string
	page   int // the most that a page holds

	mu      sync.Mutex
	objects map[string]bool
	parts   map[string]bool
	calls   int
	failAt  int // the call that fails, from 1; 0 for none
	failed  bool
}

func (e *env) remover() *remover {
	return &remover{Store: e.Store, tenant: e.tenant, page: 1000, objects: map[string]bool{}, parts: map[string]bool{}}
}

var errInjected = errors.New("injected")

// call does one step, and fails when it is done if it is to. A step that fails
// before it leaves what the one before it left.
func (r *remover) call(step func() error) error {
	r.mu.Lock()
	r.calls++
	fails := r.calls == r.failAt
	r.failed = r.failed || fails
	r.mu.Unlock()
	err := step()
	if fails && err == nil {
		return errInjected
	}
	return err
}

func (r *remover) DeletedDatasets(ctx context.Context, after dataset.DeletedDataset, limit int) (mine []dataset.DeletedDataset, err error) {
	err = r.call(func() error {
		for len(mine) < limit {
			page, err := r.Store.DeletedDatasets(ctx, after, limit)
			if err != nil || len(page) == 0 {
				return err
			}
			for _, after = range page {
				if after.Tenant == r.tenant && len(mine) < limit {
					mine = append(mine, after)
				}
			}
		}
		return nil
	})
	return mine, err
}

func (r *remover) Remnants(ctx context.Context, d dataset.DeletedDataset, limit int) (files []dataset.Remnant, err error) {
	err = r.call(func() (err error) {
		files, err = r.Store.Remnants(ctx, d, min(limit, r.page))
		return err
	})
	return files, err
}

func (r *remover) RemoveRemnants(ctx context.Context, d dataset.DeletedDataset, files []dataset.Remnant) error {
	return r.call(func() error { return r.Store.RemoveRemnants(ctx, d, files) })
}

func (r *remover) RemainingUploads(ctx context.Context, d dataset.DeletedDataset, limit int) (uploads []dataset.Upload, err error) {
	err = r.call(func() (err error) {
		uploads, err = r.Store.RemainingUploads(ctx, d, min(limit, r.page))
		return err
	})
	return uploads, err
}

func (r *remover) AbortUpload(ctx context.Context, tenant, id string) (u dataset.Upload, err error) {
	err = r.call(func() (err error) {
		u, err = r.Store.AbortUpload(ctx, tenant, id)
		return err
	})
	return u, err
}

func (r *remover) RemoveUploads(ctx context.Context, d dataset.DeletedDataset, uploads []dataset.Upload) error {
	return r.call(func() error { return r.Store.RemoveUploads(ctx, d, uploads) })
}

func (r *remover) EndPurge(ctx context.Context, d dataset.DeletedDataset) error {
	return r.call(func() error { return r.Store.EndPurge(ctx, d) })
}

// DeleteMany implements dataset.Disposal.
func (r *remover) DeleteMany(_ context.Context, keys []string) error {
	return r.call(func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, key := range keys {
			delete(r.objects, key)
		}
		return nil
	})
}

// AbortParts implements dataset.Disposal.
func (r *remover) AbortParts(_ context.Context, _, id string) error {
	return r.call(func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.parts, id)
		return nil
	})
}

// keep stores an object.
func (r *remover) keep(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.objects[key] = true
}

// left are the objects and parts that are still there.
func (r *remover) left() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left []string
	for _, stored := range []map[string]bool{r.objects, r.parts} {
		for key := range stored {
			left = append(left, key)
		}
	}
	return left
}

func (e *env) purger(r *remover) *dataset.Purger {
	return dataset.NewPurger(r, r, r, e.clock.Now)
}

// purge removes what can be removed now.
func (e *env) purge(t testing.TB, r *remover) dataset.Purged {
	t.Helper()
	done, err := e.purger(r).Purge(e.ctx)
	if err != nil {
		t.Fatalf("purging: %v", err)
	}
	return done
}

// purgeAll purges to the end: once now, and once when everything has settled.
func (e *env) purgeAll(t testing.TB, r *remover) {
	t.Helper()
	e.purge(t, r)
	e.clock.advance(dataset.SettleTime)
	e.purge(t, r)
	if left, err := r.DeletedDatasets(e.ctx, dataset.DeletedDataset{}, 10); err != nil || len(left) > 0 {
		t.Fatalf("still to be purged are %v, %v", left, err)
	}
}

// traces are what the store holds of the env's tenant.
func (e *env) traces(t testing.TB) []string {
	t.Helper()
	traced, ok := e.Store.(Traced)
	if !ok {
		t.Fatal("the store shows no traces")
	}
	return traced.Traces(t, e.tenant)
}

// doomed makes a dataset that has something of everything, and its objects: also
// those of deleted files, whose removal came to nothing.
func (e *env) doomed(t testing.TB, r *remover) dataset.Dataset {
	t.Helper()
	d := e.create(t)
	named := dataset.Update{Tenant: e.tenant, DatasetID: d.ID, Name: new("to be forgotten"), Metadata: json.RawMessage(`{"to be":"forgotten"}`)}
	if _, err := e.UpdateDataset(e.ctx, named); err != nil {
		t.Fatal(err)
	}
	keep := func(files ...dataset.File) {
		for _, f := range files {
			r.keep(f.ObjectKey)
		}
	}
	keep(e.append(t, d, "a", "b", "c", "d")...)
	e.delete(t, d, "b")
	e.delete(t, d, "c")
	keep(e.append(t, d, "c")...) // the name of one that was deleted
	uploads := e.complete(t, d, "appended", "complete", "aborted")
	if _, err := e.Append(e.ctx, e.appendOf(d, uploads[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := e.AbortUpload(e.ctx, e.tenant, uploads[2].ID); err != nil {
		t.Fatal(err)
	}
	open := e.open(t, d, "open")
	for _, u := range append(uploads, open) {
		r.keep(u.ObjectKey)
	}
	r.parts[open.PartsID] = true
	return d
}

// wantPurged fails unless of everything that came since the store had some traces
// the used id is all that is left.
func (e *env) wantPurged(t testing.TB, before []string, r *remover) {
	t.Helper()
	if left := r.left(); len(left) > 0 {
		t.Errorf("the objects %v are left", left)
	}
	after := e.traces(t)
	for _, trace := range before {
		if !slices.Contains(after, trace) {
			t.Errorf("gone or changed is\n%s", trace)
		}
	}
	after = slices.DeleteFunc(after, func(s string) bool { return slices.Contains(before, s) })
	if len(after) != 1 || strings.Contains(after[0], "forgotten") {
		t.Errorf("%d traces are left:\n%q", len(after), after)
	}
}

func purgeTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"a purge leaves nothing behind":             testPurge,
		"a purge goes on wherever it was cut off":   testPurgeFaults,
		"of a purge that races nothing is left":     testPurgeRaces,
		"two purges at once":                        testTwoPurges,
		"an append and a deletion of the dataset":   testAppendsAndDrop,
		"uploads and a deletion of the dataset":     testUploadsAndDrop,
		"what comes late is found by the last look": testLateComers,
		"deleted datasets, in pages": func(t *testing.T, e *env) {
			var want []string
			for range 5 {
				d := e.create(t)
				want = append(want, d.ID)
			}
			slices.Reverse(want)
			for _, id := range want {
				e.drop(t, dataset.Dataset{ID: id})
			}
			for limit := 1; limit < 7; limit++ {
				var got []string
				for after, more := (dataset.DeletedDataset{}), true; more; {
					page, err := e.remover().DeletedDatasets(e.ctx, after, limit)
					if err != nil {
						t.Fatal(err)
					}
					for _, after = range page {
						got = append(got, after.ID)
					}
					more = len(page) == limit
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%d at a time: %v, want %v", limit, got, want)
				}
			}
		},
		"what a purge fails with keeps it from no other dataset": func(t *testing.T, e *env) {
			r := e.remover()
			e.drop(t, e.doomed(t, r))
			e.drop(t, e.doomed(t, r))
			objects := len(r.left())
			r.calls, r.failAt = 0, 2 // the first one about a dataset
			if _, err := e.purger(r).Purge(e.ctx); !errors.Is(err, errInjected) || len(r.left()) != objects/2 {
				t.Fatalf("%d of %d objects are left, and it said %v", len(r.left()), objects, err)
			}
		},
		"a purge ends with its context": func(t *testing.T, e *env) {
			r := e.remover()
			e.doomed(t, r)
			d := e.doomed(t, r)
			e.drop(t, d)
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			if done, err := e.purger(r).Purge(ctx); err != nil || done != (dataset.Purged{}) {
				t.Fatalf("got %+v, %v", done, err)
			}
		},
	}
}

func testPurge(t *testing.T, e *env) {
	r := e.remover()
	e.doomed(t, r) // stays
	kept, before := len(r.left()), e.traces(t)
	for _, page := range []int{1000, 2, 1} {
		r.page = page
		mine := e.remover()
		mine.page = page
		d := e.doomed(t, mine)
		e.drop(t, d)
		if done := e.purge(t, mine); done.Datasets != 0 || done.Files < 5 || done.Uploads != 4 || len(mine.left()) > 0 {
			t.Fatalf("purged %+v, left %v", done, mine.left())
		}
		if done := e.purge(t, mine); done != (dataset.Purged{}) {
			t.Errorf("purged once more: %+v", done)
		}
		e.clock.advance(dataset.SettleTime)
		if done := e.purge(t, mine); done != (dataset.Purged{Datasets: 1}) {
			t.Errorf("at the end: %+v", done)
		}
		e.wantPurged(t, before, mine)
		before = e.traces(t)
	}
	if len(r.left()) != kept {
		t.Errorf("of %d objects of another dataset %d are left", kept, len(r.left()))
	}
}

// testPurgeFaults has every call of a purge fail once, after it did its work, and
// continues with a new purger.
func testPurgeFaults(t *testing.T, e *env) {
	for failAt := 1; ; failAt++ {
		r, before := e.remover(), e.traces(t)
		r.page = 3
		e.drop(t, e.doomed(t, r))
		e.clock.advance(dataset.SettleTime)
		r.calls, r.failAt = 0, failAt
		_, err := e.purger(r).Purge(e.ctx)
		reached := r.failed
		if reached != errors.Is(err, errInjected) {
			t.Fatalf("call %d failed: %v, and the purge said %v", failAt, reached, err)
		}
		r.failAt = 0
		e.purge(t, r)
		e.wantPurged(t, before, r)
		if t.Failed() {
			t.Fatalf("after a fault at call %d", failAt)
		}
		if !reached {
			if failAt < 15 {
				t.Fatalf("a purge makes %d calls", failAt-1)
			}
			return
		}
	}
}

func testTwoPurges(t *testing.T, e *env) {
	r, before := e.remover(), e.traces(t)
	r.page = 2
	e.drop(t, e.doomed(t, r))
	e.clock.advance(dataset.SettleTime)
	for i, err := range race(4, func(int) error {
		_, err := e.purger(r).Purge(e.ctx)
		return err
	}) {
		if err != nil {
			t.Errorf("purge %d: %v", i, err)
		}
	}
	e.purgeAll(t, r)
	e.wantPurged(t, before, r)
}

// testAppendsAndDrop has writers append until the dataset is gone. What was
// acknowledged is purged with its objects, and what was not is nowhere.
func testAppendsAndDrop(t *testing.T, e *env) {
	const writers, enough = 4, 10
	r, before := e.remover(), e.traces(t)
	d := e.create(t)
	acknowledged := make(chan string, 1000)
	began := make(chan struct{})
	var once sync.Once
	write := func(w int) error {
		for k := 0; ; k++ {
			a := e.request(d, fmt.Sprintf("w%d-%d", w, k))
			objectKey := a.Files[0].ObjectKey
			r.keep(objectKey) // the bytes come first
			_, err := e.Append(e.ctx, a)
			if err == nil {
				acknowledged <- objectKey
				if len(acknowledged) >= enough {
					once.Do(func() { close(began) })
				}
				continue
			}
			if err := r.DeleteMany(e.ctx, []string{objectKey}); err != nil { // as Service.Append does
				return err
			}
			if !fault.Is(err, fault.CodeConflict) { // which says that others were quicker
				return err
			}
		}
	}
	for i, err := range race(writers+1, func(n int) error {
		if n < writers {
			return write(n)
		}
		<-began
		done, err := e.DeleteDataset(e.ctx, e.dropping(d))
		if err == nil && done.FileCount < enough {
			err = fmt.Errorf("%d files were deleted", done.FileCount)
		}
		return err
	}) {
		if i == writers && err != nil || i < writers && !fault.Is(err, fault.CodeDatasetNotFound) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if len(r.left()) != len(acknowledged) {
		t.Errorf("%d files were acknowledged, and there are %d objects", len(acknowledged), len(r.left()))
	}
	e.purgeAll(t, r)
	e.wantPurged(t, before, r)
}

// testPurgeRaces has a purge begin before the writers have noticed.
func testPurgeRaces(t *testing.T, e *env) {
	r, before := e.remover(), e.traces(t)
	d := e.create(t)
	uploads := e.complete(t, d, "a", "b", "c", "d")
	for _, u := range uploads {
		r.keep(u.ObjectKey)
	}
	race(6, func(n int) error {
		switch n {
		case 0:
			_, _ = e.DeleteDataset(e.ctx, e.dropping(d))
			_, _ = e.purger(r).Purge(e.ctx)
		case 1:
			_, _ = e.purger(r).Purge(e.ctx)
		default:
			_, _ = e.Append(e.ctx, e.appendOf(d, uploads[n-2]))
		}
		return nil
	})
	e.purgeAll(t, r)
	e.wantPurged(t, before, r)
}

// testUploadsAndDrop appends uploads while the dataset is deleted: each is either
// a file of it or not, and all are gone.
func testUploadsAndDrop(t *testing.T, e *env) {
	r, before := e.remover(), e.traces(t)
	d := e.create(t)
	uploads := e.complete(t, d, "a", "b", "c", "d", "e")
	for _, u := range uploads {
		r.keep(u.ObjectKey)
	}
	for i, err := range race(len(uploads)+1, func(n int) error {
		if n == len(uploads) {
			_, err := e.DeleteDataset(e.ctx, e.dropping(d))
			return err
		}
		_, err := e.Append(e.ctx, e.appendOf(d, uploads[n]))
		return err
	}) {
		if err != nil && (i == len(uploads) || !fault.Is(err, fault.CodeDatasetNotFound)) {
			t.Errorf("%d: %v", i, err)
		}
	}
	e.purge(t, r)
	for _, u := range uploads {
		_, err := e.Upload(e.ctx, e.tenant, u.ID)
		wantCode(t, err, fault.CodeUploadNotFound)
		_, err = e.CompleteUpload(e.ctx, e.tenant, u.ID, e.completion(u))
		wantCode(t, err, fault.CodeUploadNotFound)
	}
	e.purgeAll(t, r)
	e.wantPurged(t, before, r)
}

// testLateComers creates an upload whose request had begun before the dataset was
// deleted, and ends after it was purged.
func testLateComers(t *testing.T, e *env) {
	r, before := e.remover(), e.traces(t)
	d := e.doomed(t, r)
	e.drop(t, d)
	e.purge(t, r)
	late := e.open(t, d, "late")
	r.keep(late.ObjectKey)
	r.parts[late.PartsID] = true
	e.clock.advance(dataset.SettleTime - time.Minute)
	if done := e.purge(t, r); done.Uploads != 1 || done.Datasets != 0 {
		t.Fatalf("purged %+v", done)
	}
	e.clock.advance(time.Minute)
	if done := e.purge(t, r); done.Datasets != 1 {
		t.Fatalf("purged %+v", done)
	}
	e.wantPurged(t, before, r)
}
