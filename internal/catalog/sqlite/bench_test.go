package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
)

// nothingStored is an object store that has nothing to remove.
type nothingStored struct{}

func (nothingStored) DeleteMany(context.Context, []string) error       { return nil }
func (nothingStored) AbortParts(context.Context, string, string) error { return nil }

// BenchmarkPurge removes what the catalog has of 20,000 files; it appends them
// beforehand, which takes longer.
func BenchmarkPurge(b *testing.B) {
	const tenant, files = "acme", 20_000
	c := open(b, filepath.Join(b.TempDir(), "catalog.db"))
	purger := dataset.NewPurger(c, c, nothingStored{}, func() time.Time { return time.Now().Add(dataset.SettleTime) })
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		d, err := c.CreateDataset(b.Context(), tenant, dataset.Dataset{ID: fmt.Sprint("dataset-", n), CreatedAt: time.Now()}, dataset.Idempotency{})
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; i < files; i += dataset.MaxAppend {
			a := dataset.Append{Tenant: tenant, DatasetID: d.ID, Schema: schema.Schema{Fields: []schema.Field{{Name: "a", Type: "int64"}}}}
			for k := range dataset.MaxAppend {
				id := fmt.Sprintf("file-0193b0a6-5b7e-7d02-b3c4-%012x", i+k)
				a.Files = append(a.Files, dataset.File{
					ID: id, Name: fmt.Sprintf("part-%07d.parquet", i+k), SizeBytes: 1 << 20, RowCount: 1000,
					CRC64NVME: "AAAAAAAAAAA=", ObjectKey: dataset.FileKey(tenant, id), UploadedAt: time.Now(),
				})
			}
			if _, err := c.Append(b.Context(), a); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		gone, err := c.DeleteDataset(b.Context(), dataset.DatasetDeletion{ID: fmt.Sprint(n), Tenant: tenant, DatasetID: d.ID})
		if err != nil || gone.FileCount != files {
			b.Fatalf("%+v, %v", gone, err)
		}
		if done, err := purger.Purge(b.Context()); err != nil || done.Files != files || done.Datasets != 1 {
			b.Fatalf("%+v, %v", done, err)
		}
	}
	b.ReportMetric(files*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}
