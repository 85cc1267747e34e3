package e2e

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// The large upload is 600 MB, or 5 GB when PARQUEUE_TEST_LARGE=1.
const (
	largeSize     = 600 << 20
	veryLargeSize = 5 << 30
	memoryLimit   = 200 << 20 // of the server, whatever the size
)

// TestLargeUpload streams an upload that is larger than the server's memory may
// get, and downloads it again.
func TestLargeUpload(t *testing.T) {
	size := int64(largeSize)
	if os.Getenv("PARQUEUE_TEST_LARGE") == "1" {
		size = veryLargeSize
	}
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	before := peakMemory(t, srv.pid)

	kind, head, foot := openForm(id, "large.parquet")
	content, sum := largeFile(t, size)
	started := time.Now()
	a := c.must(t, request{path: "/upload-to-dataset", contentType: kind,
		body: io.MultiReader(strings.NewReader(head), io.TeeReader(content, sum), strings.NewReader(foot))})
	f, err := a.file()
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(started)
	peak := peakMemory(t, srv.pid)
	t.Logf("%d MB in %v (%.0f MB/s); the server's memory went from %d to %d MB",
		f.SizeBytes>>20, took.Round(time.Millisecond), float64(f.SizeBytes)/1e6/took.Seconds(), before>>20, peak>>20)
	if f.SizeBytes < size {
		t.Errorf("size_bytes is %d, want at least %d", f.SizeBytes, size)
	}
	if peak > memoryLimit {
		t.Errorf("the server took %d MB of memory", peak>>20)
	}

	started = time.Now()
	got := downloadSum(t, c, id, "large.parquet")
	t.Logf("downloaded in %v", time.Since(started).Round(time.Millisecond))
	if !bytes.Equal(got, sum.Sum(nil)) {
		t.Error("the file came back with other bytes")
	}
	if peak := peakMemory(t, srv.pid); peak > memoryLimit {
		t.Errorf("the download took the server to %d MB of memory", peak>>20)
	}
}

// largeFile generates a valid file of about a size: one by a real writer, with
// bytes between its pages and its footer that nobody reads.
func largeFile(t *testing.T, size int64) (io.Reader, hash.Hash) {
	t.Helper()
	head, footer := split(t, parquet(t, 1))
	return io.MultiReader(bytes.NewReader(head), io.LimitReader(&counting{}, size), bytes.NewReader(footer)), sha256.New()
}

// counting is an endless reader of bytes that repeat late, so that no part of a
// file is like another.
type counting struct{ n uint64 }

func (c *counting) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 4096 {
		c.n++
		for j := i; j < min(i+8, len(p)); j++ {
			p[j] = byte(c.n >> (8 * (j - i)))
		}
	}
	return len(p), nil
}

// downloadSum downloads a file and returns its SHA-256.
func downloadSum(t *testing.T, c client, id, name string) []byte {
	t.Helper()
	body := strings.NewReader(`{"dataset_id":"` + id + `","file_name":"` + name + `"}`)
	req, err := http.NewRequest(http.MethodPost, c.url+"/download-from-dataset", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Key "+c.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("answered %s", resp.Status)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, resp.Body); err != nil {
		t.Fatal(err)
	}
	return sum.Sum(nil)
}
