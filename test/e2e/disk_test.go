package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// TestFullDisk fills a small disk. The upload that does not fit is refused
// and leaves nothing behind; everything before it stays, and there is room again for
// a file that fits.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	data := filepath.Join(disk, "data")
	srv := serve(t, setup{data: data, under: testtool.SmallDisk(t, disk, 32<<20)})
	c := srv.admin()
	id, content, names := c.create(t), map[string][]byte{}, []string{}

	free := func() int64 {
		var stat syscall.Statfs_t
		if err := syscall.Statfs(srv.path(disk), &stat); err != nil {
			t.Fatal(err)
		}
		return int64(stat.Bavail) * stat.Bsize
	}
	var refusedAt answer
	var before int64
	for i := range 20 {
		before = free()
		name := fmt.Sprintf("%02d.parquet", i)
		body := padded(t, i, 5<<20)
		a, err := c.upload(id, name, body, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != http.StatusOK {
			refusedAt = a
			break
		}
		content[name], names = body, append(names, name)
	}
	refusedAt.refused(t, http.StatusInsufficientStorage, "storage_full", "room")
	if len(names) == 0 {
		t.Fatal("not one file fits")
	}
	if left := before - free(); left > 256<<10 {
		t.Errorf("the refused upload left %d bytes behind", left)
	}
	c.wantFiles(t, id, names, content)

	content["small.parquet"] = parquet(t, 1)
	c.mustUpload(t, id, "small.parquet", content["small.parquet"])
	c.wantFiles(t, id, append(names, "small.parquet"), content)
	t.Logf("%d files of 5 MB fit on 32 MB", len(names))
}

// padded is a valid file of about a size.
func padded(t testing.TB, number, size int) []byte {
	t.Helper()
	head, footer := split(t, parquet(t, number))
	return append(append(append([]byte{}, head...), make([]byte, size)...), footer...)
}
