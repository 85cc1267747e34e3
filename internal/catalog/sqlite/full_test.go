package sqlite

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// A full disk is stood in for by SQLite's own bound on the file's pages, which
// fails in the same way.
func TestStorageFull(t *testing.T) {
	c, err := Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := c.CreateDataset(t.Context(), "acme", dataset.Dataset{ID: "dataset-1", CreatedAt: time.Now()}, dataset.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	pages := func(atMost int) {
		t.Helper()
		if _, err := c.writer.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", atMost)); err != nil {
			t.Fatal(err)
		}
	}
	pages(1) // SQLite takes the present size for it
	kept, full := 0, error(nil)
	for i := 0; full == nil && i < 1000; i++ {
		_, full = c.Append(t.Context(), dataset.Append{Tenant: "acme", DatasetID: d.ID, Files: []dataset.File{
			{ID: fmt.Sprint("file-", i), Name: strings.Repeat("n", 200) + fmt.Sprint(i), UploadedAt: time.Now()},
		}, Schema: schema.Schema{Fields: []schema.Field{{Name: "a", Type: "int64"}}}})
		if full == nil {
			kept++
		}
	}
	if !fault.Is(full, fault.CodeStorageFull) {
		t.Fatalf("after %d files: %v", kept, full)
	}
	got, err := c.Files(t.Context(), "acme", d.ID, 0, 1000)
	if err != nil || len(got.Files) != kept || got.Dataset.FileCount != int64(kept) {
		t.Fatalf("%d files are there and %d counted, want %d (%v)", len(got.Files), got.Dataset.FileCount, kept, err)
	}
	if _, err := c.CreateDataset(t.Context(), "acme", dataset.Dataset{ID: "dataset-2", Name: strings.Repeat("n", 10_000), CreatedAt: time.Now()}, dataset.Idempotency{}); !fault.Is(err, fault.CodeStorageFull) {
		t.Errorf("creating a dataset: %v", err)
	}
	pages(1_000_000)
	if _, err := c.CreateDataset(t.Context(), "acme", dataset.Dataset{ID: "dataset-2", CreatedAt: time.Now()}, dataset.Idempotency{}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
