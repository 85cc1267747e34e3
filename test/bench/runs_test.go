package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

// BenchmarkAppendFiles appends lists of finished uploads, in runs, as append-files
// does: eight writers to one dataset, each list after its last one was answered.
// Beside it the same writers append single files.
func BenchmarkAppendFiles(b *testing.B) {
	const writers, listed = 8, 256
	for _, c := range catalogs() {
		b.Run(c.name, func(b *testing.B) {
			var single, runs float64
			b.Run("single", func(b *testing.B) {
				s := c.open(b)
				d := s.create(b)
				n := b.N * writers
				b.ResetTimer()
				took := share(b, writers, n, func(i int) error { return s.appendFile(b.Context(), d.ID, i) })
				b.StopTimer()
				report(b, s, took, n)
				single = float64(n) / b.Elapsed().Seconds()
			})
			b.Run("runs", func(b *testing.B) {
				s := c.open(b)
				d := s.create(b)
				n := max(b.N, writers)
				lists := make([][]string, n)
				share(b, writers, n, func(i int) (err error) {
					lists[i], err = s.finishedUploads(b, d.ID, i*listed, listed)
					return err
				})
				if s.table != nil {
					s.table.sent = 0
				}
				service := s.service()
				b.ResetTimer()
				took := share(b, writers, n, func(i int) error {
					_, err := service.AppendUploads(b.Context(), principal(), d.ID, lists[i], "")
					return err
				})
				b.StopTimer()
				report(b, s, took, n*listed)
				runs = float64(n*listed) / b.Elapsed().Seconds()
				b.ReportMetric(runs/single, "runs/single")
			})
		})
	}
}

// finishedUploads adds uploads whose objects are whole, as far as the catalog can
// tell, and returns their ids.
func (s stores) finishedUploads(b *testing.B, datasetID string, first, count int) ([]string, error) {
	ids := make([]string, count)
	for i := range ids {
		f, now := newFile(first+i), time.Now().UTC()
		u := dataset.Upload{
			ID: dataset.UploadIDOf(f.ID), DatasetID: datasetID, FileID: f.ID, FileName: f.Name, SizeBytes: f.SizeBytes, PartSize: dataset.MinPartSize,
			ObjectKey: f.ObjectKey, PartsID: fmt.Sprint("parts-", first+i), State: dataset.UploadOpen, CreatedAt: now, ExpiresAt: now.Add(dataset.UploadLifetime),
		}
		if _, err := s.CreateUpload(b.Context(), tenant, u, dataset.Idempotency{}); err != nil {
			return nil, err
		}
		done := dataset.Completion{CRC64NVME: f.CRC64NVME, RowCount: f.RowCount, Schema: threeColumns(), ExpiresAt: u.ExpiresAt}
		if _, err := s.Uploads.CompleteUpload(b.Context(), tenant, u.ID, done); err != nil {
			return nil, err
		}
		ids[i] = u.ID
	}
	return ids, nil
}
