package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

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
