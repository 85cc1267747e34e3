package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

// BenchmarkAppend is writers that append single files to one dataset, each
// after its last one was answered. The catalogs run within one benchmark, one
// after the other.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 8, 32, 64} {
		for _, c := range catalogs() {
			b.Run(fmt.Sprintf("writers=%d/%s", writers, c.name), func(b *testing.B) {
				s := c.open(b)
				d := s.create(b)
				n := b.N * writers
				b.ResetTimer()
				took := share(b, writers, n, func(i int) error { return s.appendFile(b.Context(), d.ID, i) })
				b.StopTimer()
				report(b, s, took, n)
			})
		}
	}
}

func (s stores) appendFile(ctx context.Context, datasetID string, n int) error {
	_, err := s.Append(ctx, dataset.Append{Tenant: tenant, DatasetID: datasetID, Schema: threeColumns(), Files: []dataset.File{newFile(n)}})
	return err
}

// report prints the figures of a benchmark whose operations took so long and
// appended so many files.
func report(b *testing.B, s stores, took []time.Duration, files int) {
	b.ReportMetric(float64(files)/b.Elapsed().Seconds(), "files/s")
	b.ReportMetric(ms(quantile(took, 0.5)), "p50-ms")
	b.ReportMetric(ms(quantile(took, 0.99)), "p99-ms")
	if s.table != nil {
		b.ReportMetric(float64(s.table.sent)/float64(len(took)), "tries")
	}
}
