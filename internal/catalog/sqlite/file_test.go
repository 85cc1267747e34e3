package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

const tenant = "acme"

func create(t testing.TB, c *sqlite.Catalog, id string) {
	t.Helper()
	_, err := c.CreateDataset(t.Context(), tenant, dataset.Dataset{ID: id, CreatedAt: time.Now()}, dataset.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
}

func request(datasetID string, names ...string) dataset.Append {
	a := dataset.Append{Tenant: tenant, DatasetID: datasetID, Schema: schema.Schema{Fields: []schema.Field{{Name: "a", Type: "int64"}}}}
	for _, n := range names {
		a.Files = append(a.Files, dataset.File{ID: "file-" + datasetID + n, Name: n, UploadedAt: time.Now()})
	}
	return a
}

func names(t testing.TB, c *sqlite.Catalog, datasetID string) string {
	t.Helper()
	page, err := c.Files(t.Context(), tenant, datasetID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range page.Files {
		list = append(list, f.Name)
	}
	return strings.Join(list, " ")
}

func TestFileNamesOfEveryKind(t *testing.T) {
	for _, name := range []string{"catalog.db", "a b.db", "a%20b?c=d&_pragma=x#e.db", "日本.db", "mode=memory", ":memory:"} {
		path := filepath.Join(t.TempDir(), name)
		c := open(t, path)
		create(t, c, "dataset-1")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = open(t, path)
		if _, err := c.Dataset(t.Context(), tenant, "dataset-1"); err != nil {
			t.Errorf("%s was forgotten: %v", name, err)
		}
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	c := open(t, filepath.Join(dir, "catalog.db"))
	create(t, c, "dataset-1")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 { // the file, its log and the log's index
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v (%v)", e.Name(), info.Mode(), err)
		}
	}
}

func TestOpenWithoutAFolder(t *testing.T) {
	if _, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "none", "catalog.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestOpenWhatIsNoCatalog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); err == nil {
		t.Error("opened a text")
	}
}

func TestOpenOfANewerLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, path, "PRAGMA user_version = 999")
	if _, err := sqlite.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v", err)
	}
}

func execute(t testing.TB, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// Many open a new file at once, as several processes do, and all write.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c, err := sqlite.Open(context.Background(), path)
			if err != nil {
				t.Errorf("opening: %v", err)
				return
			}
			defer c.Close()
			id := fmt.Sprint("dataset-", i)
			if _, err := c.CreateDataset(context.Background(), tenant, dataset.Dataset{ID: id, CreatedAt: time.Now()}, dataset.Idempotency{}); err != nil {
				t.Errorf("creating: %v", err)
			}
			for k := range 5 {
				if _, err := c.Append(context.Background(), request(id, fmt.Sprint(k))); err != nil {
					t.Errorf("appending: %v", err)
				}
			}
		})
	}
	wg.Wait()
	c := open(t, path)
	for i := range 8 {
		if got := names(t, c, fmt.Sprint("dataset-", i)); got != "0 1 2 3 4" {
			t.Errorf("dataset %d holds %q", i, got)
		}
	}
}

// childVariable makes the test's own program the one that is killed.
const childVariable = "PARQUEUE_TEST_SQLITE_CHILD"

// TestKilled appends in a process of its own, kills it at some moment, and
// expects every append that it had announced, and no part of another.
func TestKilled(t *testing.T) {
	if path := os.Getenv(childVariable); path != "" {
		appendForEver(t, path)
	}
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "catalog.db")
		c := open(t, path)
		create(t, c, "dataset-1")
		announced := runAndKill(t, path, 20+10*round)
		page, err := c.Files(t.Context(), tenant, "dataset-1", 0, 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(page.Files); n < 2*announced || n > 2*announced+2 || n%2 != 0 || page.Dataset.FileCount != int64(n) {
			t.Errorf("%d appends of 2 files were announced, %d files are there, the dataset counts %d", announced, n, page.Dataset.FileCount)
		}
		for i, f := range page.Files {
			if f.Position != int64(i) || f.Name != fmt.Sprint(i) {
				t.Fatalf("at %d is %+v", i, f)
			}
		}
		if _, err := c.Append(t.Context(), request("dataset-1", "after")); err != nil {
			t.Errorf("after the kill: %v", err)
		}
	}
}

func appendForEver(t *testing.T, path string) {
	c := open(t, path)
	for i := 0; ; i += 2 {
		if _, err := c.Append(t.Context(), request("dataset-1", fmt.Sprint(i), fmt.Sprint(i+1))); err != nil {
			t.Fatal(err)
		}
		fmt.Println("appended")
	}
}

// runAndKill returns how many appends were announced.
func runAndKill(t *testing.T, path string, after int) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), childVariable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	announced := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() != "appended" {
			continue
		}
		if announced++; announced == after {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // it was killed
	if announced < after {
		t.Fatalf("the child ended after %d appends", announced)
	}
	return announced
}

func TestExpiredRequestsAreCleared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	now := time.Now()
	c := open(t, path, sqlite.WithClock(func() time.Time { return now }))
	create(t, c, "dataset-1")
	for i := range 250 {
		a := request("dataset-1", fmt.Sprint(i))
		a.Idempotency = dataset.Idempotency{Key: fmt.Sprint(i), Fingerprint: "f"}
		if i == 245 {
			now = now.Add(dataset.IdempotencyWindow)
		}
		if _, err := c.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var left int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM requests").Scan(&left); err != nil || left != 5 {
		t.Errorf("%d requests are kept, want 5 (%v)", left, err)
	}
}

func TestWriterWaitsForAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := open(t, path)
	create(t, c, "dataset-1")
	release := lock(t, path)
	go func() {
		time.Sleep(100 * time.Millisecond)
		release()
	}()
	if _, err := c.Append(t.Context(), request("dataset-1", "a")); err != nil {
		t.Errorf("the lock was released: %v", err)
	}
	release = lock(t, path)
	defer release()
	if got := names(t, c, "dataset-1"); got != "a" { // readers do not wait
		t.Errorf("read %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := c.Append(ctx, request("dataset-1", "b")); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("under a lock, after %v: %v", time.Since(began), err)
	}
}

// lock takes the write lock as another process would.
func lock(t testing.TB, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = conn.Close()
		_ = db.Close()
	}
}

func TestClosed(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "catalog.db"))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := c.Dataset(t.Context(), tenant, "dataset-1")
	if !fault.Is(err, fault.CodeInternal) {
		t.Errorf("a closed catalog answers %v", err)
	}
}
