package api_test

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/dataset"
)

// noParts is a store to which no parts have come yet.
type noParts struct{ dataset.Parts }

func (noParts) ListParts(context.Context, string, string, int, int) ([]dataset.Part, error) {
	return nil, nil
}

func (noParts) PresignPart(context.Context, string, string, int, int64, time.Duration) (string, error) {
	return "https://bucket.example/part", nil
}

// An upload whose time is over says so, wherever it is shown.
func TestExpiredUploads(t *testing.T) {
	f := newFixture(t)
	catalog, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer catalog.Close()
	f.config.Service = dataset.NewService(catalog, f.objects, dataset.WithUploads(catalog, noParts{}))
	if _, err := catalog.CreateDataset(t.Context(), f.who.Tenant, dataset.Dataset{ID: "dataset-1", CreatedAt: time.Now()}, dataset.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	const past, open = "upload-0193b0a6-5b7e-7d02-b3c4-7a8b9c0d1e2f", "upload-0193b0a6-5b7e-7d02-b3c4-7a8b9c0d1e3f"
	for id, age := range map[string]time.Duration{past: dataset.UploadLifetime + time.Minute, open: time.Hour} {
		began := time.Now().Add(-age)
		_, err := catalog.CreateUpload(t.Context(), f.who.Tenant, dataset.Upload{
			ID: id, FileID: dataset.FileIDOf(id), DatasetID: "dataset-1", FileName: "a.parquet", SizeBytes: 10, PartSize: dataset.MinPartSize, PartsID: "parts",
			CreatedAt: began, ExpiresAt: began.Add(dataset.UploadLifetime),
		}, dataset.Idempotency{})
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, state := range map[string]string{past: "expired", open: "open"} {
		status, got := f.post("/get-upload", `{"upload_id": "`+id+`"}`)
		if _, urls := got["part_urls"]; status != http.StatusOK || got["state"] != state || urls != (id == open) {
			t.Errorf("get-upload answered %d %v, want it %s", status, got, state)
		}
		status, got = f.post("/list-uploads", `{"state": "`+state+`"}`)
		rows, _ := got["uploads"].([]any)
		if status != http.StatusOK || len(rows) != 1 || rows[0].(map[string]any)["upload_id"] != id || rows[0].(map[string]any)["state"] != state {
			t.Errorf("list-uploads of state %s answered %d %v", state, status, got)
		}
	}
}
