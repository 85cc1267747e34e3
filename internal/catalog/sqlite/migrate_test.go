package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/dataset"
)

// Files and deletions of the layout before every deletion was kept are known by
// their ids.
func TestOpenOfALayoutWithoutRecords(t *testing.T) {
	c := openLayout(t, 4,
		`INSERT INTO datasets (number, tenant, id, name, created_at, updated_at, files, next_position)
			VALUES (1, 'acme', 'dataset-1', 'old', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', 1, 2)`,
		`INSERT INTO files VALUES (1, 0, 'a', 'file-a', 1, 1, '', 'k', '2026-01-02T03:04:05Z')`,
		`INSERT INTO deleted_files VALUES (1, 1, 'b', 'file-b', 1, 1, '', 'k', '2026-01-02T03:04:05Z', 'deletion-1')`,
	)
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

// Of the layout before there were assets, files are assets and uploads go on.
func TestOpenOfALayoutWithoutAssets(t *testing.T) {
	c := openLayout(t, 8,
		`INSERT INTO datasets (number, tenant, id, name, created_at, updated_at, files, next_position)
			VALUES (1, 'acme', 'dataset-1', 'old', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', 1, 1)`,
		`INSERT INTO files VALUES (1, 0, 'a', 'file-a', 1, 1, '', 'k', '2026-01-02T03:04:05Z')`,
		`INSERT INTO uploads (tenant, id, dataset_id, file_id, file_name, bytes, part_bytes, checksum, object_key, parts_id, state, created_at, valid_until)
			VALUES ('acme', 'upload-b', 'dataset-1', 'file-b', 'b', 1, 5242880, '', 'k', 'p', 'open', '2026-01-02T03:04:05Z', 4102444800000000)`,
	)
	said, err := c.SetAsset(t.Context(), dataset.AssetUpdate{Tenant: "acme", ID: "file-a", Changes: asset.Changes{Alias: new("x"), Tags: &[]string{"y"}}})
	if err != nil || said.Owner.ID != "dataset-1" || said.Content.FileName != "a" || said.Revision != 1 {
		t.Fatalf("got %+v, %v", said, err)
	}
	if page, err := c.ListAssets(t.Context(), "acme", asset.Filter{Tag: "y", Alias: "x"}, "", 10); err != nil || len(page.Assets) != 1 || page.Assets[0].ID != "file-a" {
		t.Errorf("listed %+v, %v", page, err)
	}
	u, err := c.Upload(t.Context(), "acme", "upload-b")
	if err != nil || u.State != dataset.UploadOpen || u.Asset != nil || u.OutsideDatasets() || u.AssetID() != "file-b" {
		t.Errorf("the upload is %+v, %v", u, err)
	}
	if r, err := c.FileRecords(t.Context(), []dataset.FileRef{{Tenant: "acme", FileID: "file-b"}}); err != nil || r[0].State != dataset.FileOpen {
		t.Errorf("its record is %+v, %v", r, err)
	}
}

// A file of an earlier layout is brought up to date with what is in it.
func TestOpenOfAnEarlierLayout(t *testing.T) {
	c := openLayout(t, 1, `INSERT INTO datasets (tenant, id, name, created_at, updated_at, files, next_position)
		VALUES ('acme', 'dataset-1', 'old', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', 2, 2)`)
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

// openLayout opens a catalog that was written with the layout of a version, and has
// what statements put there.
func openLayout(t *testing.T, version int, statements ...string) *Catalog {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	before := append(migrations()[:version:version], fmt.Sprint("PRAGMA user_version = ", version))
	for _, statement := range append(before, statements...) {
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
	t.Cleanup(func() { c.Close() })
	return c
}
