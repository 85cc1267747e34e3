// Package bench measures what docs/benchmarks.md has figures of, with what is
// compared in one run: `make bench`. What must hold on every machine is a test
// here, in a small form that PARQUEUE_TEST_MANY=1 makes a large one.
package bench

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/schema"
)

const tenant = "bench"

// stores is a catalog with its uploads.
type stores struct {
	dataset.Catalog
	dataset.Uploads
	table *contended // nil for SQLite
}

// catalogs are the catalogs to measure, and how to open each for one benchmark.
func catalogs() []struct {
	name string
	open func(testing.TB) stores
} {
	return []struct {
		name string
		open func(testing.TB) stores
	}{
		{"sqlite", openSQLite},
		{"dynamo", func(t testing.TB) stores { return openDynamo(t, contention{}) }},
		{"dynamo-conflicts", func(t testing.TB) stores { return openDynamo(t, contention{conflicts: true}) }},
		{"dynamo-deployed", func(t testing.TB) stores { return openDynamo(t, deployed) }},
	}
}

func openSQLite(t testing.TB) stores {
	t.Helper()
	c, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "catalog.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return stores{Catalog: c, Uploads: c}
}

func openDynamo(t testing.TB, how contention) stores {
	t.Helper()
	client, name := dynamotest.Start(t)
	table := &contended{API: client, contention: how, busy: map[string]bool{}}
	c := dynamo.New(table, name)
	return stores{Catalog: c, Uploads: c, table: table}
}

// service is the domain over a catalog, for what needs no bytes.
func (s stores) service() *dataset.Service {
	return dataset.NewService(s.Catalog, nil, dataset.WithUploads(s.Uploads, nil))
}

func principal() keys.Principal {
	return keys.Principal{Tenant: tenant, KeyID: "key-1", Scopes: []keys.Scope{keys.ScopeRead, keys.ScopeWrite}}
}

// create adds an empty dataset.
func (s stores) create(t testing.TB) dataset.Dataset {
	t.Helper()
	now := time.Now().UTC()
	d, err := s.CreateDataset(t.Context(), tenant, dataset.Dataset{ID: newID("dataset-"), CreatedAt: now, UpdatedAt: now}, dataset.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newID(prefix string) string { return prefix + uuid.Must(uuid.NewV7()).String() }

// threeColumns is the schema of most files here.
func threeColumns() schema.Schema {
	return schema.Schema{Fields: []schema.Field{
		{Name: "id", Type: "int64"}, {Name: "prompt", Type: "string"}, {Name: "at", Type: "timestamp"},
	}}
}

// newFile is a file as uploads make it.
func newFile(n int) dataset.File {
	id := newID("file-")
	return dataset.File{
		ID: id, Name: fmt.Sprintf("part-%08d.parquet", n), SizeBytes: int64(1_000_000 + n*7919%500_000), RowCount: int64(1000 + n*31%97),
		CRC64NVME: checksum(), ObjectKey: dataset.FileKey(tenant, id), UploadedAt: time.Now().UTC().Truncate(time.Microsecond),
	}
}

// checksum stands for a CRC-64/NVME.
func checksum() string {
	var sum [8]byte
	_, _ = rand.Read(sum[:]) // never fails
	return base64.StdEncoding.EncodeToString(sum[:])
}

// share has writers do n things between them and returns how long each took.
func share(t testing.TB, writers, n int, do func(i int) error) []time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	var next atomic.Int64
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				start := time.Now()
				if err := do(i); err != nil {
					t.Errorf("number %d: %v", i, err)
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	running.Wait()
	return took
}

// quantile is the time that a share of the durations is not above.
func quantile(took []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[int(q*float64(len(sorted)-1))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
