package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSweep has a server find, beside its work, what a crash has left: an object
// that no file refers to.
func TestSweep(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	content := parquet(t, 0)
	c.mustUpload(t, id, "listed.parquet", content)
	other := c.mustUpload(t, c.create(t), "other.parquet", content)
	srv.kill()

	stored := storedFile(t, srv.data, other.FileID) // to be one of which nothing is known
	orphan := filepath.Join(filepath.Dir(stored), "file-01932f10-0000-7000-8000-0000000000"+other.FileID[len(other.FileID)-2:])
	if err := os.Rename(stored, orphan); err != nil {
		t.Fatal(err)
	}
	srv = serve(t, setup{data: srv.data, args: []string{"--sweep-every", "300ms"}})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(orphan); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the orphan is still there")
		}
	}
	if got := srv.admin().download(t, id, "listed.parquet"); !bytes.Equal(got, content) {
		t.Error("the listed file came back with other bytes")
	}
	until(t, "the sweep is logged", func() bool { return strings.Contains(srv.output.String(), `"removed_objects":1`) })
}

// TestSweepInAHurry has a server sweep all the time, without the patience that
// keeps the sweeper away from uploads under way. An upload may be refused for it,
// and says so; what was acknowledged has its bytes.
func TestSweepInAHurry(t *testing.T) {
	t.Parallel()
	const clients, each = 4, 60
	srv := serve(t, setup{args: []string{"--sweep-every", "1ms", "--quiet"}})
	c := srv.admin()
	id := c.create(t)
	head, footer := split(t, parquet(t, 0))
	var mu sync.Mutex
	sent, refused := map[string][32]byte{}, 0
	var group sync.WaitGroup
	for n := range clients {
		group.Go(func() {
			for k := range each {
				name := fmt.Sprintf("client-%d-%03d.parquet", n, k)
				size := (k % 3) * 3_000_000 // some are streamed in parts
				content := append(fmt.Appendf(append([]byte{}, head...), "%s%0*d", name, size, 0), footer...)
				a, err := c.upload(id, name, content, nil)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				mu.Lock()
				switch {
				case a.status == http.StatusOK:
					sent[name] = sha256.Sum256(content)
				case a.status == http.StatusConflict && bytes.Contains(a.body, []byte("upload_closed")):
					refused++
				default:
					t.Errorf("%s: status %d, %s", name, a.status, a.body)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.Logf("%d acknowledged, %d refused", len(sent), refused)
	files := c.files(t, id)
	if len(files) != len(sent) {
		t.Errorf("%d files are listed, %d were acknowledged", len(files), len(sent))
	}
	for _, f := range files {
		if got := sha256.Sum256(c.download(t, id, f.FileName)); got != sent[f.FileName] {
			t.Errorf("%s came back with other bytes", f.FileName)
		}
	}
}
