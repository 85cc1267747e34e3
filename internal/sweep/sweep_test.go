package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
	"github.com/parqueue/parqueue/internal/sweep"
)

const tenant = "acme"

// bench is a catalog, a store, a clock that moves when it is told, and a dataset.
type bench struct {
	*sqlite.Catalog
	ctx                 context.Context
	store               *memory
	now                 time.Time
	dataset             string
	datasets, deletions int
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{ctx: context.Background(), store: newMemory(), now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	catalog, err := sqlite.Open(b.ctx, filepath.Join(t.TempDir(), "catalog.db"), sqlite.WithClock(b.clock))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = catalog.Close() })
	b.Catalog = catalog
	if err := b.sweeper().Prepare(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.newDataset(t)
	return b
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

func (b *bench) newDataset(t failer) {
	b.datasets++
	b.dataset = fmt.Sprint("dataset-", b.datasets)
	if _, err := b.CreateDataset(b.ctx, tenant, dataset.Dataset{ID: b.dataset, CreatedAt: b.now}, dataset.Idempotency{}); err != nil {
		t.Fatalf("creating a dataset: %v", err)
	}
}

func (b *bench) clock() time.Time { return b.now }

func (b *bench) sweeper(options ...sweep.Option) *sweep.Sweeper {
	return sweep.New(b.store, b.Catalog, append([]sweep.Option{sweep.WithClock(b.clock)}, options...)...)
}

// sweep sweeps once, and fails unless it was a whole pass.
func (b *bench) sweep(t testing.TB) sweep.Report {
	t.Helper()
	r, err := b.sweeper().Sweep(b.ctx)
	if err != nil || !r.Finished || r.Failed > 0 {
		t.Fatalf("swept %+v, %v", r, err)
	}
	return r
}

// file makes a file whose bytes are in the store.
func (b *bench) file(name string) dataset.File {
	id := "file-" + uuid.Must(uuid.NewV7()).String()
	f := dataset.File{ID: id, Name: name, SizeBytes: 10, ObjectKey: dataset.FileKey(tenant, id), UploadedAt: b.now}
	b.store.put(f.ObjectKey, b.now)
	return f
}

func (b *bench) append(files ...dataset.File) error {
	_, err := b.Append(b.ctx, dataset.Append{Tenant: tenant, DatasetID: b.dataset, Files: files, Schema: columns})
	return err
}

var columns = schema.Schema{Fields: []schema.Field{{Name: "a", Type: "int64"}}}

// newUpload has the parts of an upload open that the catalog does not know yet.
func (b *bench) newUpload(name string) dataset.Upload {
	id := "upload-" + uuid.Must(uuid.NewV7()).String()
	u := dataset.Upload{
		ID: id, DatasetID: b.dataset, FileID: dataset.FileIDOf(id), FileName: name, SizeBytes: 10, PartSize: dataset.MinPartSize,
		ObjectKey: dataset.FileKey(tenant, dataset.FileIDOf(id)), PartsID: "parts-" + id, CreatedAt: b.now, ExpiresAt: b.now.Add(dataset.UploadLifetime),
	}
	b.store.open(u.ObjectKey, u.PartsID, b.now)
	return u
}

// upload begins an upload.
func (b *bench) upload(t failer, name string) dataset.Upload {
	t.Helper()
	created, err := b.CreateUpload(b.ctx, tenant, b.newUpload(name), dataset.Idempotency{})
	if err != nil {
		t.Fatalf("creating an upload: %v", err)
	}
	return created
}

// complete joins an upload's parts and notes it.
func (b *bench) complete(u dataset.Upload) (dataset.Upload, error) {
	b.store.join(u.ObjectKey, u.PartsID)
	return b.CompleteUpload(b.ctx, tenant, u.ID, dataset.Completion{Schema: columns, ExpiresAt: b.now.Add(dataset.UploadLifetime)})
}

func (b *bench) wait(d time.Duration) { b.now = b.now.Add(d) }

const day = 24 * time.Hour

// wantKeys fails unless the store has exactly these objects.
func (b *bench) wantKeys(t testing.TB, files ...dataset.File) {
	t.Helper()
	var got, want []string
	for key := range b.store.objects {
		got = append(got, key)
	}
	for _, f := range files {
		want = append(want, f.ObjectKey)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the store has\n%q, want\n%q", got, want)
	}
}

func TestSweepRemovesWhatNobodyRefersTo(t *testing.T) {
	b := newBench(t)
	listed, deleted, orphan := b.file("listed"), b.file("deleted"), b.file("orphan")
	if err := b.append(listed, deleted); err != nil {
		t.Fatal(err)
	}
	if _, err := b.DeleteFile(b.ctx, dataset.Deletion{ID: "deletion-1", Tenant: tenant, DatasetID: b.dataset, Name: "deleted"}); err != nil {
		t.Fatal(err)
	}
	b.store.open(dataset.FileKey(tenant, "file-direct"), "1", b.now) // a direct upload that stopped half-way
	b.store.open(listed.ObjectKey, "2", b.now)                       // an ingestion that was begun twice
	b.store.put("files/else/where", b.now)
	b.wait(day - time.Hour)
	young := b.file("young")
	if r := b.sweep(t); r.Asked != 0 || len(r.Found) != 0 {
		t.Fatalf("of things too young found %+v", r)
	}
	b.wait(13 * time.Hour)
	r := b.sweep(t)
	want := sweep.Report{
		Finished: true, Objects: 5, OpenParts: 2, Asked: 6, RemovedObjects: 2, RemovedBytes: 20, AbortedParts: 2,
		Found: map[sweep.Kind]int{sweep.Orphan: 2, sweep.Leftover: 2, sweep.Foreign: 1},
	}
	if !reflect.DeepEqual(r, want) {
		t.Fatalf("swept\n%+v, want\n%+v", r, want)
	}
	delete(b.store.objects, "files/else/where") // it was left alone
	b.wantKeys(t, listed, young)
	if err := b.append(orphan); !fault.Is(err, fault.CodeUploadClosed) {
		t.Fatalf("appending what was swept: %v", err)
	}
	if err := b.append(young); err != nil {
		t.Fatal(err)
	}
}

// A file that goes as one can come when its upload was given up already: its URL is
// good for some minutes. It is found like any other that nobody needs.
func TestSweepRemovesWhatCameTooLate(t *testing.T) {
	b := newBench(t)
	u := b.newUpload("late")
	u.PartsID = ""
	u, err := b.CreateUpload(b.ctx, tenant, u, dataset.Idempotency{})
	if err != nil || !u.Whole() {
		t.Fatalf("created %+v, %v", u, err)
	}
	if _, err := b.AbortUpload(b.ctx, tenant, u.ID); err != nil {
		t.Fatal(err)
	}
	b.sweep(t)
	b.wait(12 * time.Hour)
	b.store.put(u.ObjectKey, b.now)
	b.sweep(t)
	b.wantKeys(t, u.File())
	for range 4 {
		b.wait(12 * time.Hour)
		b.sweep(t)
	}
	b.wantKeys(t)
}

// An upload that was never appended goes when its time is over, however it was
// left, and long before the catalog forgets it.
func TestSweepRemovesExpiredUploads(t *testing.T) {
	b := newBench(t)
	open, joined, complete, late := b.upload(t, "open"), b.upload(t, "joined"), b.upload(t, "complete"), b.upload(t, "late")
	kept := b.upload(t, "kept")
	b.store.join(joined.ObjectKey, joined.PartsID)
	if _, err := b.complete(complete); err != nil {
		t.Fatal(err)
	}
	for b.now.Before(open.ExpiresAt.Add(-time.Hour)) {
		b.wait(12 * time.Hour)
		if r := b.sweep(t); len(r.Found) > 0 {
			t.Fatalf("after %v swept %+v", b.now.Sub(open.CreatedAt), r)
		}
	}
	b.now = open.ExpiresAt.Add(-time.Minute)
	for _, u := range []dataset.Upload{late, kept} {
		if _, err := b.complete(u); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		b.wait(12 * time.Hour)
		b.sweep(t)
	}
	b.wantKeys(t, late.File(), kept.File())
	if len(b.store.parts) != 0 {
		t.Fatalf("open are %+v", b.store.parts)
	}
	for _, u := range []dataset.Upload{open, joined, complete} {
		if got, err := b.Upload(b.ctx, tenant, u.ID); err != nil || got.State != dataset.UploadAborted {
			t.Errorf("%s is %s, %v", u.FileName, got.State, err)
		}
	}
	got, err := b.Upload(b.ctx, tenant, kept.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(b.ctx, dataset.Append{Tenant: tenant, DatasetID: b.dataset, Files: []dataset.File{got.File()}, Uploads: []string{kept.ID}, Schema: columns}); err != nil {
		t.Fatal(err)
	}
	for range 2 * 9 {
		b.wait(12 * time.Hour)
		b.sweep(t)
	}
	b.wantKeys(t, kept.File())
	if got := b.now.Sub(late.CreatedAt); got > dataset.UploadKept/2 {
		t.Fatalf("it took %v", got)
	}
}

// Most passes ask about few objects.
func TestSweepAsksWhenTheAnswerMayHaveChanged(t *testing.T) {
	b := newBench(t)
	for n := range 30 {
		if err := b.append(b.file(fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
	var asked []int
	for range 60 {
		b.wait(12 * time.Hour)
		asked = append(asked, b.sweep(t).Asked)
	}
	full, other := 0, 0
	for n, a := range asked {
		if n == 0 || n%14 == 0 {
			full += a
		} else {
			other += a
		}
	}
	if full != 4*30 || other < 30 || other > 3*30 {
		t.Fatalf("asked %v", asked)
	}
}

// A file that was deleted long after it was stored, and whose object a crash left,
// is found within the week.
func TestSweepFindsOldLeftovers(t *testing.T) {
	b := newBench(t)
	f := b.file("a")
	if err := b.append(f); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		b.wait(12 * time.Hour)
		b.sweep(t)
	}
	b.wantKeys(t, f)
	if _, err := b.DeleteFile(b.ctx, dataset.Deletion{ID: "deletion-1", Tenant: tenant, DatasetID: b.dataset, Name: "a"}); err != nil {
		t.Fatal(err)
	}
	for range 15 {
		b.wait(12 * time.Hour)
		b.sweep(t)
	}
	b.wantKeys(t)
}

// Where the catalog is another one than the store's files were listed in, nothing
// is removed.
func TestSweepLeavesAloneWhatIsOlderThanTheCatalog(t *testing.T) {
	b := newBench(t)
	old := b.file("old")
	b.store.open(old.ObjectKey, "1", b.now)
	b.wait(time.Minute)
	other := newBench(t)
	other.store, other.now = b.store, b.now
	if err := other.SaveProgress(b.ctx, "sweep", []byte("{}")); err != nil { // as if it had never been swept
		t.Fatal(err)
	}
	if err := other.sweeper().Prepare(b.ctx); err != nil {
		t.Fatal(err)
	}
	other.wait(time.Minute)
	other.file("young")
	other.wait(10 * day)
	r := other.sweep(t)
	if r.Found[sweep.Foreign] != 2 || r.Found[sweep.Orphan] != 1 {
		t.Fatalf("swept %+v", r)
	}
	other.wantKeys(t, old)
}

// A clock that was years ahead for a while does not end the sweeping until then.
func TestSweepAfterAWrongClock(t *testing.T) {
	b := newBench(t)
	b.wait(10 * 365 * day)
	b.sweep(t)
	b.wait(-10 * 365 * day)
	b.file("orphan")
	b.wait(2 * day)
	if r := b.sweep(t); r.RemovedObjects != 1 {
		t.Fatalf("swept %+v", r)
	}
}

// A pass that is cut off is continued, page by page.
func TestSweepIsContinued(t *testing.T) {
	b := newBench(t)
	for n := range 1100 {
		b.file("orphan")
		b.store.open(dataset.FileKey(tenant, "file-direct"), fmt.Sprintf("%04d", n), b.now)
	}
	b.wait(2 * day)
	removed, aborted := 0, 0
	for n := 0; ; n++ {
		ctx, cancel := context.WithCancel(b.ctx)
		pages := 0
		s := sweep.New(onePage{b.store, &pages, cancel}, b.Catalog, sweep.WithClock(b.clock))
		r, err := s.Sweep(ctx)
		cancel()
		removed, aborted = removed+r.RemovedObjects, aborted+r.AbortedParts
		if err == nil && r.Finished {
			break
		}
		if n > 20 {
			t.Fatalf("not finished: %+v, %v", r, err)
		}
		b.wait(time.Hour)
	}
	if removed != 1100 || aborted != 1100 {
		t.Fatalf("removed %d and aborted %d", removed, aborted)
	}
	b.wantKeys(t)
}

// onePage is a store that lets one page be worked on before its caller is cut off.
type onePage struct {
	*memory
	pages  *int
	cancel func()
}

func (p onePage) List(ctx context.Context, prefix, after string, limit int) ([]dataset.Listed, bool, error) {
	if *p.pages++; *p.pages > 1 {
		p.cancel()
	}
	return p.memory.List(ctx, prefix, after, limit)
}

func (p onePage) ListOpenParts(ctx context.Context, prefix, afterKey, afterID string, limit int) ([]dataset.OpenParts, bool, error) {
	if *p.pages++; *p.pages > 1 {
		p.cancel()
	}
	return p.memory.ListOpenParts(ctx, prefix, afterKey, afterID, limit)
}

// Near its deadline a Sweep begins nothing.
func TestSweepEndsBeforeItsDeadline(t *testing.T) {
	b := newBench(t)
	b.file("orphan")
	b.wait(2 * day)
	ctx, cancel := context.WithTimeout(b.ctx, 50*time.Second)
	defer cancel()
	if r, err := b.sweeper().Sweep(ctx); err != nil || r.Finished || b.store.lists > 0 {
		t.Fatalf("swept %+v, %v", r, err)
	}
	b.sweep(t)
	b.wantKeys(t)
}

// What fails is told, does not hold the rest up, and is tried again by the next pass.
func TestSweepGoesOnAfterAFailure(t *testing.T) {
	b := newBench(t)
	for b.now.Before(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)) {
		b.wait(12 * time.Hour)
		b.sweep(t)
	}
	stuck := b.upload(t, "stuck")
	b.file("other")
	b.store.join(stuck.ObjectKey, stuck.PartsID)
	b.wait(2*dataset.UploadLifetime + 2*day)
	outage := errors.New("outage")
	b.store.before = func(operation, key string) error {
		if operation == "abort" && key == stuck.ObjectKey {
			return outage
		}
		return nil
	}
	r, err := b.sweeper().Sweep(b.ctx)
	if !errors.Is(err, outage) || !r.Finished || r.Failed != 1 || r.RemovedObjects != 1 {
		t.Fatalf("swept %+v, %v", r, err)
	}
	b.wantKeys(t, stuck.File())
	b.store.before = nil
	b.wait(12 * time.Hour)
	if r := b.sweep(t); !r.Full || r.Found[sweep.Leftover] != 1 {
		t.Fatalf("swept %+v", r)
	}
	b.wantKeys(t)
}

// Between two passes only the tasks are done, each time.
func TestSweepDoesItsTasks(t *testing.T) {
	b := newBench(t)
	done, broken := 0, errors.New("broken")
	s := b.sweeper(
		sweep.WithTask("count", func(context.Context) (any, error) { done++; return done, nil }),
		sweep.WithTask("fail", func(context.Context) (any, error) { return nil, broken }),
	)
	for n := 1; n <= 3; n++ {
		r, err := s.Sweep(b.ctx)
		if !errors.Is(err, broken) || !r.Finished || r.Tasks["count"] != n || b.store.lists != 1 {
			t.Fatalf("swept %+v, %v, after %d lists", r, err, b.store.lists)
		}
		b.wait(time.Minute)
	}
}

// An append that comes between the sweeper's look and its claim wins, and one that
// comes between the claim and the removal is refused.
func TestSweepAndAppendRace(t *testing.T) {
	for name, during := range map[string]func(b *bench, race func() error) (dataset.Sweepable, sweep.Catalog){
		"before the claim": func(b *bench, race func() error) (dataset.Sweepable, sweep.Catalog) {
			return b.store, meddledWith{b.Catalog, race}
		},
		"before the removal": func(b *bench, race func() error) (dataset.Sweepable, sweep.Catalog) {
			return afterClaim{b.store, race}, b.Catalog
		},
	} {
		b := newBench(t)
		f, u := b.file("a"), b.upload(t, "b")
		if _, err := b.complete(u); err != nil {
			t.Fatal(err)
		}
		b.wait(2 * day)
		var appended error
		once := false
		store, catalog := during(b, func() error {
			if !once {
				once = true
				appended = b.append(f)
			}
			return nil
		})
		r, err := sweep.New(store, catalog, sweep.WithClock(b.clock)).Sweep(b.ctx)
		if err != nil || !r.Finished || r.Found[sweep.Orphan] != 1 {
			t.Fatalf("%s: swept %+v, %v", name, r, err)
		}
		if name == "before the claim" {
			if appended != nil || r.RemovedObjects != 0 {
				t.Fatalf("%s: appended %v, swept %+v", name, appended, r)
			}
			b.wantKeys(t, f, u.File())
		} else {
			if !fault.Is(appended, fault.CodeUploadClosed) || r.RemovedObjects != 1 {
				t.Fatalf("%s: appended %v, swept %+v", name, appended, r)
			}
			b.wantKeys(t, u.File())
		}
	}
}

// afterClaim is a store before whose removals others go on.
type afterClaim struct {
	*memory
	others func() error
}

func (s afterClaim) DeleteMany(ctx context.Context, keys []string) error {
	return errors.Join(s.others(), s.memory.DeleteMany(ctx, keys))
}
