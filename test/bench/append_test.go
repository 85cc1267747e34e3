package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
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

// BenchmarkWideAppend appends single files to a dataset of 3 columns and to one
// of 5,000, whose schema the first file has set.
func BenchmarkWideAppend(b *testing.B) {
	for _, c := range catalogs()[:2] {
		var narrow float64
		for _, columns := range []int{3, 5000} {
			b.Run(fmt.Sprintf("%s/columns=%d", c.name, columns), func(b *testing.B) {
				s := c.open(b)
				d := s.create(b)
				wide := wideSchema(columns)
				add := func(n int) {
					if _, err := s.Append(b.Context(), dataset.Append{Tenant: tenant, DatasetID: d.ID, Schema: wide, Files: []dataset.File{newFile(n)}}); err != nil {
						b.Fatal(err)
					}
				}
				add(0)
				b.ResetTimer()
				for n := range b.N {
					add(n + 1)
				}
				each := b.Elapsed().Seconds() / float64(b.N)
				if narrow == 0 || columns == 3 {
					narrow = each
				}
				b.ReportMetric(each/narrow, "wide/narrow")
			})
		}
	}
}

func wideSchema(columns int) schema.Schema {
	var s schema.Schema
	for n := range columns {
		s.Fields = append(s.Fields, schema.Field{Name: fmt.Sprintf("column_%05d", n), Type: "double"})
	}
	return s
}
