// Package catalogtest is the contract of dataset.Catalog, dataset.Uploads, dataset.Assets,
// dataset.Purges and keys.Store as tests. Every implementation runs all of it.
package catalogtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/schema"
)

// Store is what both catalogs are.
type Store interface {
	dataset.Catalog
	dataset.Uploads
	dataset.Assets
	dataset.FileRecords
	dataset.Purges
	dataset.Progress
	keys.Store
}

// Traced is a store that shows a test what it holds.
type Traced interface {
	// Traces are the records that a store has of a tenant, each as a text of its
	// whole content, but for those of requests.
	Traces(t testing.TB, tenant string) []string
}

// Open returns a store that tells the time by now. It may hold what other
// tests left: every test has tenants of its own.
type Open func(t testing.TB, now func() time.Time) Store

// Run runs the whole contract.
func Run(t *testing.T, open Open) {
	for _, group := range []map[string]func(*testing.T, *env){
		datasetTests(), updateTests(), appendTests(), orderTests(), repeatTests(), schemaTests(), nameTests(), fileTests(), deleteTests(), keyTests(), uploadTests(), uploadAppendTests(), recordTests(), deleteDatasetTests(), purgeTests(), assetTests(), fileAssetTests(),
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, newEnv(t, open))
			})
		}
	}
	t.Run("model", func(t *testing.T) {
		t.Parallel()
		testModel(t, open)
	})
}

// env is a store, a tenant that no other test has, and a clock to move.
type env struct {
	Store
	ctx    context.Context
	clock  *clock
	tenant string
}

func newEnv(t testing.TB, open Open) *env {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	c := newClock()
	return &env{Store: open(t, c.Now), ctx: ctx, clock: c, tenant: newName("tenant-")}
}

// clock moves a microsecond forward whenever it is read, and as told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().UTC().Truncate(time.Microsecond)} }

func (c *clock) Now() time.Time { return c.advance(time.Microsecond) }

func (c *clock) advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

func newName(prefix string) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// create adds a dataset.
func (e *env) create(t testing.TB) dataset.Dataset {
	t.Helper()
	d, err := e.CreateDataset(e.ctx, e.tenant, e.newDataset(), dataset.Idempotency{})
	if err != nil {
		t.Fatalf("creating a dataset: %v", err)
	}
	return d
}

func (e *env) newDataset() dataset.Dataset {
	now := e.clock.Now()
	return dataset.Dataset{ID: fmt.Sprintf("dataset-%016x", now.UnixMicro()), CreatedAt: now}
}

// file makes a file with a name; no other one has its id.
func (e *env) file(name string) dataset.File {
	return e.fileWithID(newName("file-"), name)
}

func (e *env) fileWithID(id, name string) dataset.File {
	return dataset.File{
		ID: id, Name: name, SizeBytes: int64(1000 + len(name)), RowCount: int64(len(name)),
		CRC64NVME: "AAAAAAAAAAA=", ObjectKey: dataset.FileKey(e.tenant, id), UploadedAt: e.clock.Now(),
	}
}

func (e *env) files(names ...string) []dataset.File {
	list := make([]dataset.File, len(names))
	for i, n := range names {
		list[i] = e.file(n)
	}
	return list
}

// append puts files with these names into a dataset.
func (e *env) append(t testing.TB, d dataset.Dataset, names ...string) []dataset.File {
	t.Helper()
	done, err := e.Append(e.ctx, e.request(d, names...))
	if err != nil {
		t.Fatalf("appending %q: %v", names, err)
	}
	return done.Files
}

func (e *env) request(d dataset.Dataset, names ...string) dataset.Append {
	return dataset.Append{Tenant: e.tenant, DatasetID: d.ID, Files: e.files(names...), Schema: columns("id int64", "text string")}
}

// list reads a whole dataset in pages.
func (e *env) list(t testing.TB, d dataset.Dataset, limit int) []dataset.File {
	t.Helper()
	var all []dataset.File
	for from := int64(0); ; {
		page, err := e.Files(e.ctx, e.tenant, d.ID, from, limit)
		if err != nil {
			t.Fatalf("listing: %v", err)
		}
		if len(page.Files) > limit {
			t.Fatalf("a page of %d files, asked for %d", len(page.Files), limit)
		}
		all = append(all, page.Files...)
		if !page.More {
			return all
		}
		if page.Next <= from {
			t.Fatalf("a page from %d says to continue from %d", from, page.Next)
		}
		from = page.Next
	}
}

// delete takes a file out of a dataset.
func (e *env) delete(t testing.TB, d dataset.Dataset, name string) dataset.File {
	t.Helper()
	done, err := e.DeleteFile(e.ctx, e.deletion(d, name))
	if err != nil {
		t.Fatalf("deleting %q: %v", name, err)
	}
	return done.File
}

func (e *env) deletion(d dataset.Dataset, name string) dataset.Deletion {
	return dataset.Deletion{ID: newName("delete-"), Tenant: e.tenant, DatasetID: d.ID, Name: name}
}

// columns makes a schema of "name type" pairs.
func columns(pairs ...string) schema.Schema {
	var s schema.Schema
	for _, p := range pairs {
		name, kind, _ := strings.Cut(p, " ")
		s.Fields = append(s.Fields, schema.Field{Name: name, Type: kind})
	}
	return s
}

// wantCode fails unless err carries a code.
func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("got the error %v, want the code %s", err, code)
	}
}

// wantFiles fails unless two lists are the same to the last field.
func wantFiles(t testing.TB, got, want []dataset.File) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d files %v, want %d %v", len(got), nameList(got), len(want), nameList(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("file %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

func nameList(files []dataset.File) []string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = fmt.Sprintf("%d:%.20q", f.Position, f.Name)
	}
	return names
}
