package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

// Files and deletions of the layout before every deletion was kept are known by
// their ids.
func TestOpenOfALayoutWithoutRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range append(migrations()[:4:4],
		"PRAGMA user_version = 4",
		`INSERT INTO datasets (number, tenant, id, name, created_at, updated_at, files, next_position)
			VALUES (1, 'acme', 'dataset-1', 'old', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', 1, 2)`,
		`INSERT INTO files VALUES (1, 0, 'a', 'file-a', 1, 1, '', 'k', '2026-01-02T03:04:05Z')`,
		`INSERT INTO deleted_files VALUES (1, 1, 'b', 'file-b', 1, 1, '', 'k', '2026-01-02T03:04:05Z', 'deletion-1')`,
	) {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for id, want := range map[string]dataset.FileState{"file-a": dataset.FileAppended, "file-b": dataset.FileDeleted, "file-c": dataset.FileAborted} {
		if got, err := c.ClaimFile(t.Context(), dataset.FileRef{Tenant: "acme", FileID: id}); err != nil || got.State != want {
			t.Errorf("%s: %+v, %v; want %s", id, got, err, want)
		}
	}
	again, err := c.DeleteFile(t.Context(), dataset.Deletion{ID: "deletion-1", Tenant: "acme", DatasetID: "dataset-1", Name: "b"})
	if err != nil || again.File.ID != "file-b" || again.File.Position != 1 {
		t.Errorf("the deletion again: %+v, %v", again, err)
	}
}

// A file of an earlier layout is brought up to date with what is in it.
func TestOpenOfAnEarlierLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		migrations()[0],
		"PRAGMA user_version = 1",
		`INSERT INTO datasets (tenant, id, name, created_at, updated_at, files, next_position)
			VALUES ('acme', 'dataset-1', 'old', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', 2, 2)`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	old, err := c.Dataset(t.Context(), "acme", "dataset-1")
	if err != nil || old.Name != "old" || old.Version != 1 || old.FileCount != 2 {
		t.Fatalf("got %+v, %v", old, err)
	}
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if !old.CreatedAt.Equal(created) {
		t.Errorf("created at %v, want %v", old.CreatedAt, created)
	}
	updated, err := c.UpdateDataset(t.Context(), dataset.Update{Tenant: "acme", DatasetID: "dataset-1", IfVersion: 1, Name: new("new")})
	if err != nil || updated.Name != "new" || updated.Version != 2 {
		t.Fatalf("got %+v, %v", updated, err)
	}
}
