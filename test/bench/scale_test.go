package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/keys"
)

// large reports whether the tests are to be as large as what they are about.
func large() bool { return os.Getenv("PARQUEUE_TEST_MANY") != "" }

// scale is how many files a large dataset has here.
func scale(catalog string) int {
	switch {
	case large() && catalog == "sqlite":
		return 1_000_000
	case large():
		return 100_000 // what the emulator takes within minutes
	case catalog == "sqlite":
		return 10_000
	}
	return 3000
}

// filled adds a dataset of so many files, of which nothing but the entries is there.
func (s stores) filled(t testing.TB, files int) dataset.Dataset {
	t.Helper()
	d := s.create(t)
	for n := 0; n < files; {
		a := dataset.Append{Tenant: tenant, DatasetID: d.ID, Schema: threeColumns()}
		for ; len(a.Files) < dataset.MaxAppendUploads && n < files; n++ {
			a.Files = append(a.Files, newFile(n))
		}
		if _, err := s.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// handler is the API over a catalog.
func (s stores) handler() http.Handler {
	return api.New(api.Config{
		Service:   s.service(),
		Principal: func(*http.Request) (keys.Principal, error) { return principal(), nil },
		Log:       slog.New(slog.DiscardHandler),
	}).Handler()
}

// list asks for the files of a dataset.
func list(ctx context.Context, path, datasetID, fields, accepts string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(`{"dataset_id":"`+datasetID+`"`+fields+`}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept-Encoding", accepts)
	return r
}

// TestScale lists a dataset of very many files: whole and in order, reading no
// further than it writes, every page of it at the same cost.
func TestScale(t *testing.T) {
	for _, c := range catalogs()[:2] {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, files := c.open(t), scale(c.name)
			d := s.filled(t, files)
			counted := &pages{Catalog: s.Catalog}
			s.Catalog = counted
			t.Run("whole", func(t *testing.T) { s.wantWhole(t, d.ID, files) })
			t.Run("in little memory", func(t *testing.T) {
				counted.read.Store(0)
				w := &rowCounter{t: t, read: &counted.read, header: http.Header{}, rows: -1}
				s.handler().ServeHTTP(w, list(t.Context(), "/list-dataset-files", d.ID, `,"fields":["file_id","file_name","checksum_crc64nvme"]`, "identity"))
				if w.rows != int64(files) {
					t.Errorf("listed %d files", w.rows)
				}
			})
			if s.table != nil {
				t.Run("pages", func(t *testing.T) { s.wantEvenPages(t, d.ID, int64(files)) })
			}
		})
	}
}

// wantWhole lists all files, compressed, and looks at every position.
func (s stores) wantWhole(t *testing.T, datasetID string, files int) {
	t.Helper()
	server := httptest.NewServer(s.handler())
	defer server.Close()
	r := list(t.Context(), server.URL+"/list-dataset-files", datasetID, `,"fields":["position"]`, "gzip")
	r.RequestURI = ""
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	unzip, err := gzip.NewReader(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	rows := json.NewDecoder(unzip)
	for range 3 { // {"files":[
		if _, err := rows.Token(); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for ; rows.More(); n++ {
		var row struct{ Position int }
		if err := rows.Decode(&row); err != nil || row.Position != n {
			t.Fatalf("row %d has the position %d, %v", n, row.Position, err)
		}
	}
	if rest, err := io.ReadAll(io.MultiReader(rows.Buffered(), unzip)); n != files || err != nil || string(rest) != "]}\n" {
		t.Fatalf("after %d rows comes %q, %v", n, rest, err)
	}
}

// wantEvenPages fails unless DynamoDB looks at as many items for a page of the
// middle and for the last one as for the first, but for reading the dataset.
func (s stores) wantEvenPages(t *testing.T, datasetID string, files int64) {
	t.Helper()
	const page = 1000
	for _, from := range []int64{0, files / 2, files - page} {
		s.table.looked = 0
		got, err := s.Files(t.Context(), tenant, datasetID, from, page)
		if err != nil || len(got.Files) != page || got.Files[0].Position != from {
			t.Fatalf("from %d: %d files, %v", from, len(got.Files), err)
		}
		if most := page + 2; s.table.looked > most {
			t.Errorf("for the page from %d DynamoDB looked at %d items, want %d at most", from, s.table.looked, most)
		}
	}
}

// pages counts the files that were read.
type pages struct {
	dataset.Catalog
	read atomic.Int64
}

// Files implements dataset.Catalog.
func (p *pages) Files(ctx context.Context, tenant, datasetID string, from int64, limit int) (dataset.FilePage, error) {
	page, err := p.Catalog.Files(ctx, tenant, datasetID, from, limit)
	p.read.Add(int64(len(page.Files)))
	return page, err
}

// rowCounter is a caller that looks how far the catalog was read ahead of what it
// was sent.
type rowCounter struct {
	t      *testing.T
	read   *atomic.Int64
	header http.Header
	rows   int64
}

// held is the most files that may have been read and not been sent: the page
// that is written, the one after it, and some in a buffer.
const held = 2*1000 + 500

func (c *rowCounter) Header() http.Header { return c.header }
func (c *rowCounter) WriteHeader(int)     {}
func (c *rowCounter) Write(p []byte) (int, error) {
	if ahead := c.read.Load() - c.rows; ahead > held {
		c.t.Errorf("%d files have been read that were not sent", ahead)
	}
	c.rows += int64(bytes.Count(p, []byte("{"))) // one a row, and one before them
	return len(p), nil
}

// BenchmarkList lists a dataset whole, over HTTP, in the ways there are: seconds
// and bytes for a million files, and the most heap that was in use. What this
// process needed of the processors, client included, says more than the seconds
// where others are at work.
func BenchmarkList(b *testing.B) {
	for _, c := range catalogs()[:2] {
		s := c.open(b)
		files := max(scale(c.name), 10_000)
		d := s.filled(b, files)
		server := httptest.NewServer(s.handler())
		defer server.Close()
		for _, way := range []struct{ name, path, fields, accepts string }{
			{"whole/plain", "/list-dataset-files", "", "identity"},
			{"whole/gzip", "/list-dataset-files", "", "gzip"},
			{"sizes-and-checksums/gzip", "/list-dataset-files", `,"fields":["file_name","size_bytes","checksum_crc64nvme"]`, "gzip"},
			{"sizes/gzip", "/list-dataset-files", `,"fields":["file_name","size_bytes"]`, "gzip"},
			{"names/gzip", "/sdk/list-dataset-files", "", "gzip"},
		} {
			b.Run(fmt.Sprintf("%s/files=%d/%s", c.name, files, way.name), func(b *testing.B) {
				var length int64
				heap, cpu := peakHeap(), cpuTime(b)
				for b.Loop() {
					r := list(b.Context(), server.URL+way.path, d.ID, way.fields, way.accepts)
					r.RequestURI = ""
					answer, err := http.DefaultTransport.RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					if length, err = io.Copy(io.Discard, answer.Body); err != nil {
						b.Fatal(err)
					}
					answer.Body.Close()
				}
				b.ReportMetric(heap(), "heap-MB")
				b.ReportMetric((cpuTime(b)-cpu).Seconds()/float64(b.N)/float64(files)*1e6, "cpu-s/million")
				b.ReportMetric(float64(length)/float64(files), "B/file")
				b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/float64(files)*1e6, "s/million")
			})
		}
		for _, page := range []struct {
			name string
			from int
		}{{"first", 0}, {"middle", files / 2}, {"last", files - 1000}} {
			b.Run(fmt.Sprintf("%s/files=%d/page=%s", c.name, files, page.name), func(b *testing.B) {
				for b.Loop() {
					if _, err := s.Files(b.Context(), tenant, d.ID, int64(page.from), 1000); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// peakHeap watches the heap until the function that it returns is called, which
// tells the most that was in use, in MB.
func peakHeap() func() float64 {
	runtime.GC()
	stop, peak := make(chan struct{}), make(chan float64)
	go func() {
		var most uint64
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse)
			select {
			case <-stop:
				peak <- float64(most) / 1e6
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() float64 {
		close(stop)
		return <-peak
	}
}

// cpuTime is what this process has needed of the processors.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
