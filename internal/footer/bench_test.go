package footer_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/parqueue/parqueue/internal/footer"
	"github.com/parqueue/parqueue/internal/testtool"
)

// BenchmarkFooter opens the same files with this package, with parquet-go and
// with pyarrow, from opening the file to knowing schema and rows, and reports
// how many times as much the others need. The ratios of time are those of the
// fastest runs, which other work on the machine disturbs least. See
// docs/benchmarks.md.
func BenchmarkFooter(b *testing.B) {
	for _, shape := range []struct{ columns, rowGroups int }{{10, 1}, {100, 100}, {1000, 1000}} {
		b.Run(fmt.Sprintf("%dx%d", shape.columns, shape.rowGroups), func(b *testing.B) {
			path := benchFile(b, shape.columns, shape.rowGroups)
			var ours, theirs, arrow cost
			b.Run("footer", func(b *testing.B) { ours.measure(b, func() error { return readFooter(path) }) })
			b.Run("parquet-go", func(b *testing.B) { theirs.measure(b, func() error { return openParquetGo(path) }) })
			b.Run("pyarrow", func(b *testing.B) { arrow.measurePyarrow(b, path) })
			b.Run("ratio", func(b *testing.B) {
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(theirs.nanos/ours.nanos, "parquet-go/footer-time")
				b.ReportMetric(theirs.bytes/ours.bytes, "parquet-go/footer-bytes")
				b.ReportMetric(arrow.nanos/ours.nanos, "pyarrow/footer-time")
			})
		})
	}
}

// cost is what one operation takes: the time of the fastest, the bytes of an
// average one.
type cost struct{ nanos, bytes float64 }

func (c *cost) add(nanos float64) {
	if c.nanos == 0 || nanos < c.nanos {
		c.nanos = nanos
	}
}

func (c *cost) measure(b *testing.B, op func() error) {
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		if err := op(); err != nil {
			b.Fatal(err)
		}
		c.add(float64(time.Since(start).Nanoseconds()))
	}
	b.StopTimer()
	runtime.ReadMemStats(&after)
	c.bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(b.N)
}

func readFooter(path string) error {
	limits := footer.DefaultLimits()
	limits.FooterBytes = 256 << 20 // 1000x1000 is beyond the default
	return withFile(path, func(f *os.File, size int64) error {
		_, err := footer.ReadLimited(f, size, limits)
		return err
	})
}

func openParquetGo(path string) error {
	return withFile(path, func(f *os.File, size int64) error {
		_, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		return err
	})
}

func withFile(path string, use func(f *os.File, size int64) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	return use(f, stat.Size())
}

func (c *cost) measurePyarrow(b *testing.B, path string) {
	var mean, fastest float64
	out := python(b, "time", path, strconv.Itoa(b.N))
	if _, err := fmt.Sscan(out, &mean, &fastest); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(mean, "ns/op")
	c.add(fastest)
}

// benchFile makes a file once and keeps it: the largest takes a minute.
func benchFile(b *testing.B, columns, rowGroups int) string {
	dir := filepath.Join(testtool.Root(), ".cache", "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%dx%d.parquet", columns, rowGroups))
	if _, err := os.Stat(path); err != nil {
		python(b, "make", path+".tmp", strconv.Itoa(columns), strconv.Itoa(rowGroups))
		if err := os.Rename(path+".tmp", path); err != nil {
			b.Fatal(err)
		}
	}
	return path
}

func python(b *testing.B, args ...string) string {
	cmd := exec.Command(testtool.Python(b, "writers"), append([]string{"testdata/bench.py"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	return string(out)
}
