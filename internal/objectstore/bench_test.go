package objectstore_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// repeated gives the same bytes over and over at no cost.
func repeated(unit []byte, times int) io.Reader {
	readers := make([]io.Reader, times)
	for i := range readers {
		readers[i] = bytes.NewReader(unit)
	}
	return unseekable(io.MultiReader(readers...))
}

// BenchmarkPut compares storing and fetching an object over loopback with
// writing a file to the same disk and syncing it, in one run: times-file says
// how many times as long a Put takes.
func BenchmarkPut(b *testing.B) {
	s3store := embeddeds3test.Start(b)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	unit := random(mib)
	for _, size := range []int{1 * mib, 256 * mib} {
		b.Run(fmt.Sprintf("%dMiB", size/mib), func(b *testing.B) {
			var putting, writing, getting time.Duration
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				key := fmt.Sprintf("bench/%d/%d", size, i)
				began := time.Now()
				if _, err := store.Put(b.Context(), key, repeated(unit, size/mib), -1); err != nil {
					b.Fatal(err)
				}
				putting += time.Since(began)
				getting += timeGet(b, store, key)
				writing += timeWrite(b, filepath.Join(s3store.Dir, "plain"), repeated(unit, size/mib))
				if err := store.Delete(b.Context(), key); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(putting.Seconds()/writing.Seconds(), "put/file")
			b.ReportMetric(float64(size)*float64(b.N)/mib/putting.Seconds(), "put-MiB/s")
			b.ReportMetric(float64(size)*float64(b.N)/mib/getting.Seconds(), "get-MiB/s")
			b.ReportMetric(float64(size)*float64(b.N)/mib/writing.Seconds(), "file-MiB/s")
		})
	}
}

func timeGet(b *testing.B, store *objectstore.Store, key string) time.Duration {
	b.Helper()
	began := time.Now()
	body, err := store.Get(b.Context(), key, dataset.Range{})
	if err != nil {
		b.Fatal(err)
	}
	defer body.Close()
	if _, err := io.Copy(io.Discard, body); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func timeWrite(b *testing.B, path string, content io.Reader) time.Duration {
	b.Helper()
	began := time.Now()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, content, make([]byte, mib)); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}
