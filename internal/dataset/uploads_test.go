package dataset_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// sparse is an object store whose objects are a file's end after a head and any
// number of zeros, which are not held. It counts what is read of them. The real stores
// are tested where they are.
type sparse struct {
	end  []byte // of every object
	size int64

	mu       sync.Mutex
	parts    map[string]bool // keys with parts under way
	objects  map[string]bool
	requests int
	bytes    int64

	listed     func() // called before parts are listed, if set
	joined     func() // called after parts were joined, if set
	completeTo error  // what completing answers after it is done, if set
}

func (s *sparse) Get(_ context.Context, key string, part dataset.Range) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.objects[key] || part.Length == 0 {
		return nil, fault.New(fault.CodeFileNotFound, "no such object", "")
	}
	s.requests++
	s.bytes += part.Length
	content := make([]byte, part.Length)
	for i := range content {
		at := part.Offset + int64(i)
		if begin := s.size - int64(len(s.end)); at >= begin {
			content[i] = s.end[at-begin]
		} else if at < 4 {
			content[i] = "PAR1"[at]
		}
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

func (s *sparse) Put(context.Context, string, io.Reader, int64) (dataset.Stored, error) {
	return dataset.Stored{}, errors.New("nothing is put")
}

func (s *sparse) PresignGet(context.Context, string, string, time.Duration) (string, error) {
	return "", errors.New("nothing is fetched")
}

func (s *sparse) set(key string, parts, object bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts[key], s.objects[key] = parts, object
}

func (s *sparse) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
	return nil
}

func (s *sparse) DeleteMany(ctx context.Context, keys []string) error {
	for _, key := range keys {
		_ = s.Delete(ctx, key)
	}
	return nil
}

func (s *sparse) CreateParts(_ context.Context, key string) (string, error) {
	s.set(key, true, false)
	return "parts", nil
}

func (s *sparse) PresignPart(_ context.Context, _, _ string, number int, _ int64, _ time.Duration) (string, error) {
	return fmt.Sprint("https://bucket.example/", number), nil
}

func (s *sparse) PresignWhole(context.Context, string, int64, time.Duration) (string, map[string]string, error) {
	return "https://bucket.example/whole", map[string]string{"If-None-Match": "*"}, nil
}

func (s *sparse) ListParts(_ context.Context, key, _ string, after, limit int) ([]dataset.Part, error) {
	if s.listed != nil {
		s.listed()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.parts[key] {
		return nil, fault.New(fault.CodeUploadNotFound, "no such parts", "")
	}
	var parts []dataset.Part
	u := dataset.Upload{SizeBytes: s.size, PartSize: testPartSize}
	for n := after + 1; n <= u.PartCount() && len(parts) < limit; n++ {
		parts = append(parts, dataset.Part{Number: n, SizeBytes: u.PartBytes(n), ETag: "e"})
	}
	return parts, nil
}

const testSum = "AAAAAAAAAAA="

func (s *sparse) CompleteParts(_ context.Context, key, _ string, parts []dataset.Part, want dataset.Stored) (dataset.Stored, error) {
	s.set(key, false, true)
	if s.joined != nil {
		s.joined()
	}
	return dataset.Stored{SizeBytes: want.SizeBytes, CRC64NVME: testSum}, s.completeTo
}

func (s *sparse) AbortParts(_ context.Context, key, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.parts, key)
	return nil
}

func (s *sparse) Stat(ctx context.Context, key string) (dataset.Stored, error) {
	return s.Joined(ctx, key)
}

func (s *sparse) Joined(_ context.Context, key string) (dataset.Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.objects[key] {
		return dataset.Stored{}, fault.New(fault.CodeFileNotFound, "no such object", "")
	}
	return dataset.Stored{SizeBytes: s.size, CRC64NVME: testSum}, nil
}

// left counts what the store holds.
func (s *sparse) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, held := range []map[string]bool{s.parts, s.objects} {
		for _, there := range held {
			if there {
				n++
			}
		}
	}
	return n
}

const testPartSize = 16 << 20

var writer = keys.Principal{Tenant: "acme", Scopes: []keys.Scope{keys.ScopeWrite}}

// uploading is a service over the embedded catalog and a sparse store.
type uploading struct {
	*dataset.Service
	catalog *sqlite.Catalog
	store   *sparse
	dataset string
	now     time.Time
}

func newUploading(t testing.TB, size int64) *uploading {
	t.Helper()
	file, err := os.ReadFile("../footer/testdata/same/pyarrow_none.parquet")
	if err != nil {
		t.Fatal(err)
	}
	u := &uploading{now: time.Now(), store: &sparse{end: file, size: size, parts: map[string]bool{}, objects: map[string]bool{}}}
	clock := func() time.Time { return u.now }
	if u.catalog, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.sqlite"), sqlite.WithClock(clock)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.catalog.Close() })
	u.Service = dataset.NewService(u.catalog, u.store, dataset.WithUploads(u.catalog, u.store), dataset.WithClock(clock))
	d, err := u.Create(t.Context(), writer, dataset.NewDataset{}, "")
	if err != nil {
		t.Fatal(err)
	}
	u.dataset = d.ID
	return u
}

func (u *uploading) begin(t testing.TB, name string) dataset.UploadView {
	t.Helper()
	view, err := u.CreateUpload(t.Context(), writer, dataset.NewUpload{DatasetID: u.dataset, FileName: name, SizeBytes: u.store.size}, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func (u *uploading) complete(t testing.TB, id string) (dataset.Completing, error) {
	t.Helper()
	return u.CompleteUpload(t.Context(), writer, id, "", true, "")
}

func (u *uploading) names(t testing.TB) []string {
	t.Helper()
	page, err := u.Files(t.Context(), writer, u.dataset, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, f := range page.Files {
		names = append(names, f.Name)
	}
	return names
}

// Of a file of any size two small pieces are read.
func TestCompletingReadsLittle(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1 << 20, 5 << 30, 100 << 30} {
		u := newUploading(t, size)
		done, err := u.complete(t, u.begin(t, "large").ID)
		if err != nil || done.Upload.State != dataset.UploadAppended || done.Upload.SizeBytes != size {
			t.Fatalf("%d bytes: %+v, %v", size, done, err)
		}
		t.Logf("of %d bytes %d were read in %d requests", size, u.store.bytes, u.store.requests)
		if u.store.requests > 2 || u.store.bytes > 128<<10 {
			t.Errorf("of %d bytes %d were read in %d requests", size, u.store.bytes, u.store.requests)
		}
	}
}

// A file that goes as one is there when it has come, is complete only then, and is
// gone when it is given up.
func TestSinglePut(t *testing.T) {
	t.Parallel()
	u := newUploading(t, 1<<20)
	begin := func(name string) dataset.UploadView {
		t.Helper()
		n := dataset.NewUpload{DatasetID: u.dataset, FileName: name, SizeBytes: u.store.size, SinglePut: true}
		view, err := u.CreateUpload(t.Context(), writer, n, 100, name)
		again, againErr := u.CreateUpload(t.Context(), writer, n, 100, name)
		if err != nil || againErr != nil || again.ID != view.ID || !view.Whole() || len(view.URLs) != 1 || len(view.URLs[0].Headers) == 0 {
			t.Fatalf("began %+v, %v; again %+v, %v", view, err, again, againErr)
		}
		return view
	}
	arrived := func(id string) int {
		t.Helper()
		view, err := u.Upload(t.Context(), writer, id, 1, 100)
		if err != nil || len(view.URLs) != 1 {
			t.Fatalf("the upload is %+v, %v", view, err)
		}
		return len(view.Arrived)
	}
	a := begin("a")
	if n := arrived(a.ID); n != 0 {
		t.Errorf("%d parts arrived, and none was sent", n)
	}
	if _, err := u.complete(t, a.ID); !fault.Is(err, fault.CodeUploadIncomplete) {
		t.Fatalf("completed with %v", err)
	}
	u.store.set(a.ObjectKey, false, true) // it is put
	if n := arrived(a.ID); n != 1 {
		t.Errorf("%d parts arrived, want 1", n)
	}
	if _, err := u.CompleteUpload(t.Context(), writer, a.ID, "AAAAAAAAAAE=", true, ""); !fault.Is(err, fault.CodeChecksumMismatch) {
		t.Errorf("with another checksum completed with %v", err)
	}
	for range 2 { // the first answer is lost
		if done, err := u.complete(t, a.ID); err != nil || done.Upload.State != dataset.UploadAppended || done.Upload.CRC64NVME != testSum {
			t.Fatalf("completed %+v, %v", done, err)
		}
	}
	b := begin("b")
	u.store.set(b.ObjectKey, false, true)
	if _, err := u.AbortUpload(t.Context(), writer, b.ID); err != nil {
		t.Fatal(err)
	}
	if n := u.store.left(); n != 1 || !slices.Equal(u.names(t), []string{"a"}) {
		t.Errorf("%d objects and the files %q are left", n, u.names(t))
	}
	large, err := u.CreateUpload(t.Context(), writer, dataset.NewUpload{DatasetID: u.dataset, FileName: "large", SizeBytes: 1 << 30, SinglePut: true}, 100, "")
	if err != nil || large.Whole() || large.URLs[0].Headers != nil {
		t.Errorf("a file of many parts is %+v, %v", large.Upload, err)
	}
}

// A completion whose answer, or whose request to the store, was lost is repeated.
func TestCompletingGoesOn(t *testing.T) {
	t.Parallel()
	u := newUploading(t, 1<<30)
	id := u.begin(t, "a").ID
	u.store.completeTo = errors.New("the connection was cut")
	if _, err := u.complete(t, id); err == nil {
		t.Fatal("a lost answer of the store is taken for success")
	}
	u.store.completeTo = nil
	for range 2 {
		done, err := u.complete(t, id)
		if err != nil || done.Upload.CRC64NVME != testSum || done.Upload.Position != 0 {
			t.Fatalf("completed %+v, %v", done, err)
		}
	}
	if got := u.names(t); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("the dataset lists %q", got)
	}
}

// An abort while an upload is being completed leaves no bytes, whichever comes
// first to the store.
func TestAbortWhileCompleting(t *testing.T) {
	t.Parallel()
	u := newUploading(t, 1<<30)
	id := u.begin(t, "a").ID
	u.store.listed = func() {
		u.store.listed = nil
		view, err := u.Upload(context.Background(), writer, id, 1, 1)
		if err != nil {
			t.Error(err)
		}
		if _, err := u.AbortUpload(context.Background(), writer, id); err != nil {
			t.Error(err)
		}
		u.store.set(view.ObjectKey, true, false) // the store was not done yet
	}
	_, err := u.complete(t, id)
	if !fault.Is(err, fault.CodeUploadClosed) {
		t.Fatalf("completed with %v", err)
	}
	if n := u.store.left(); n != 0 || len(u.names(t)) != 0 {
		t.Errorf("%d objects and the files %q are left", n, u.names(t))
	}
}

// An upload whose time is over takes nothing, and can be given up.
func TestUploadExpires(t *testing.T) {
	t.Parallel()
	u := newUploading(t, 1<<30)
	open, ready := u.begin(t, "open"), u.begin(t, "ready")
	if _, err := u.CompleteUpload(t.Context(), writer, ready.ID, "", false, ""); err != nil {
		t.Fatal(err)
	}
	u.now = u.now.Add(dataset.UploadLifetime)
	if view, err := u.Upload(t.Context(), writer, open.ID, 1, 10); err != nil || len(view.URLs) != 0 {
		t.Errorf("got %+v, %v", view, err)
	}
	for _, id := range []string{open.ID, ready.ID} {
		_, err := u.complete(t, id)
		if !fault.Is(err, fault.CodeUploadClosed) || !fault.Is(appendIt(t, u, id), fault.CodeUploadClosed) {
			t.Errorf("completed with %v, appended with %v", err, appendIt(t, u, id))
		}
		if _, err := u.AbortUpload(t.Context(), writer, id); err != nil {
			t.Error(err)
		}
	}
	if n := u.store.left(); n != 0 || len(u.names(t)) != 0 {
		t.Errorf("%d objects and the files %q are left", n, u.names(t))
	}
}

func appendIt(t *testing.T, u *uploading, id string) error {
	_, err := u.AppendUploads(t.Context(), writer, u.dataset, []string{id}, "")
	return err
}

// A broken file ends its upload; its bytes go.
func TestBrokenFileIsRemoved(t *testing.T) {
	t.Parallel()
	u := newUploading(t, 1<<30)
	u.store.end = append(make([]byte, 100), 100, 0, 0, 0, 'P', 'A', 'R', '1')
	id := u.begin(t, "a").ID
	if _, err := u.complete(t, id); !fault.Is(err, fault.CodeInvalidParquet) {
		t.Fatalf("completed with %v", err)
	}
	if n := u.store.left(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	if _, err := u.complete(t, id); !fault.Is(err, fault.CodeUploadClosed) {
		t.Errorf("completed again with %v", err)
	}
}

// Whatever is done to an upload, its dataset's deletion comes first.
func TestUploadsOfADeletedDataset(t *testing.T) {
	t.Parallel()
	u := newUploading(t, 1<<30)
	ctx, begin := t.Context(), dataset.NewUpload{DatasetID: u.dataset, FileName: "keyed", SizeBytes: 1 << 30}
	if _, err := u.CreateUpload(ctx, writer, begin, 1, "k"); err != nil {
		t.Fatal(err)
	}
	open, ready, appended, aborted := u.begin(t, "open").ID, u.begin(t, "ready").ID, u.begin(t, "appended").ID, u.begin(t, "aborted").ID
	if _, err := u.CompleteUpload(ctx, writer, ready, "", false, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := u.complete(t, appended); err != nil {
		t.Fatal(err)
	}
	if _, err := u.AbortUpload(ctx, writer, aborted); err != nil {
		t.Fatal(err)
	}
	purges := 0
	service := dataset.NewService(u.catalog, u.store, dataset.WithPurge(func() { purges++ }))
	if _, err := service.DeleteDataset(ctx, writer, u.dataset, 0, ""); err != nil || purges != 1 {
		t.Fatalf("%v, %d purges", err, purges)
	}
	want := func(code fault.Code) {
		t.Helper()
		for _, id := range []string{open, ready, appended, aborted} {
			for name, try := range map[string]func() error{
				"getting":    func() error { _, err := u.Upload(ctx, writer, id, 1, 1); return err },
				"completing": func() error { _, err := u.complete(t, id); return err },
				"aborting":   func() error { _, err := u.AbortUpload(ctx, writer, id); return err },
			} {
				if err := try(); !fault.Is(err, code) {
					t.Errorf("%s %s: %v", name, id, err)
				}
			}
			if err := appendIt(t, u, id); !fault.Is(err, fault.CodeDatasetNotFound) {
				t.Errorf("appending %s: %v", id, err)
			}
		}
		for _, key := range []string{"", "k"} {
			if _, err := u.CreateUpload(ctx, writer, begin, 1, key); !fault.Is(err, fault.CodeDatasetNotFound) {
				t.Errorf("creating under the key %q: %v", key, err)
			}
		}
	}
	want(fault.CodeDatasetNotFound)
	u.purge(t, dataset.Purged{Files: 1, Uploads: 5})
	want(fault.CodeUploadNotFound)
	if n := u.store.left(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// purge purges what was deleted, and fails unless it is as much as expected.
func (u *uploading) purge(t testing.TB, want dataset.Purged) {
	t.Helper()
	done, err := dataset.NewPurger(u.catalog, u.catalog, u.store, func() time.Time { return u.now }).Purge(context.Background())
	if err != nil || done != want {
		t.Errorf("purged %+v, %v; want %+v", done, err, want)
	}
}

// A dataset that is deleted and purged while an upload of it is being completed
// keeps no bytes, also when the store makes them whole after the purge.
func TestPurgeWhileCompleting(t *testing.T) {
	t.Parallel()
	u := newUploading(t, 1<<30)
	view := u.begin(t, "a")
	u.store.listed = func() {
		u.store.listed = nil
		if _, err := u.DeleteDataset(context.Background(), writer, u.dataset, 0, ""); err != nil {
			t.Error(err)
		}
		u.purge(t, dataset.Purged{Uploads: 1})
		u.store.set(view.ObjectKey, true, false) // the store was not done yet
	}
	if _, err := u.complete(t, view.ID); !fault.Is(err, fault.CodeUploadNotFound) {
		t.Fatalf("completed with %v", err)
	}
	if n := u.store.left(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// A request that is refused, or repeated, leaves no parts behind.
func TestCreateUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	u := newUploading(t, 1<<30)
	n := dataset.NewUpload{DatasetID: u.dataset, FileName: "a", SizeBytes: 1 << 30}
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			view, err := u.CreateUpload(t.Context(), writer, n, 1, "key")
			if err != nil {
				t.Error(err)
			}
			ids[i] = view.ID
		})
	}
	wg.Wait()
	if slices.Sort(ids); len(slices.Compact(ids)) != 1 || u.store.left() != 1 {
		t.Errorf("one key created %q; %d objects are left", ids, u.store.left())
	}
	n.FileName = "b"
	if _, err := u.CreateUpload(t.Context(), writer, n, 1, "key"); !fault.Is(err, fault.CodeIdempotencyKeyReused) || u.store.left() != 1 {
		t.Errorf("another request: %v; %d objects are left", err, u.store.left())
	}
}

// BenchmarkComplete measures what completing and appending a file of 5 GB takes.
func BenchmarkComplete(b *testing.B) {
	u := newUploading(b, 5<<30)
	for i := 0; b.Loop(); i++ {
		if _, err := u.complete(b, u.begin(b, fmt.Sprint("f", i)).ID); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(u.store.requests)/float64(b.N), "requests/op")
	b.ReportMetric(float64(u.store.bytes)/float64(b.N), "read-B/op")
}

// Wherever an abort comes in between, who completes hears that it came.
func TestAbortIsToldToWhoCompletes(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]func(*sparse, func()){
		"before the parts are listed":      func(s *sparse, abort func()) { s.listed = abort },
		"before the footer is read":        func(s *sparse, abort func()) { s.joined = abort },
		"and what completing says is lost": func(s *sparse, abort func()) { s.joined, s.completeTo = abort, errors.New("lost") },
	} {
		t.Run(name, func(t *testing.T) {
			u := newUploading(t, 1<<20)
			id := u.begin(t, "a").ID
			when(u.store, func() {
				if _, err := u.AbortUpload(t.Context(), writer, id); err != nil {
					t.Error(err)
				}
			})
			if _, err := u.complete(t, id); !fault.Is(err, fault.CodeUploadClosed) {
				t.Errorf("got %v, want %s", err, fault.CodeUploadClosed)
			}
			if len(u.names(t)) != 0 || u.store.left() != 0 {
				t.Errorf("listed %v", u.names(t))
			}
		})
	}
}

func TestCheckChecksum(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "4gRf3DeIgIs=": true, "4gRf3DeIgIs=\n": false, "4gRf\r\n3DeIgIs=": false, "4gRf3DeIgIt=": false, "4gRf3DeIgIs": false, "AAAA": false, "x": false,
	} {
		if err := dataset.CheckChecksum(text); (err == nil) != ok {
			t.Errorf("CheckChecksum(%q) = %v", text, err)
		}
	}
}
