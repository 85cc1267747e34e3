package server

import (
	"bytes"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/sweep"
)

// running does something with a data folder while a server has it.
func running(t *testing.T, dir string, do func(*stores)) {
	t.Helper()
	s, err := open(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	end, err := s.inBackground(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	do(s)
	end()
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// A catalog that is put back from a copy does not know what was appended since, nor
// that an upload was. Their bytes may be all that is left of them, so they stay;
// what belongs to nothing later on is removed as ever.
func TestCatalogPutBackFromACopy(t *testing.T) {
	for name, putBack := range map[string]bool{"the same catalog": false, "an older copy": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, now := t.TempDir(), time.Now()
			unknown, later := "file-"+uuid.NewString(), "file-"+uuid.NewString()
			upload := "upload-" + uuid.NewString()
			key := func(fileID string) string { return dataset.FileKey("acme", fileID) }
			put := func(s *stores, fileID string) {
				if _, err := s.objects.Put(t.Context(), key(fileID), bytes.NewReader([]byte("x")), 1); err != nil {
					t.Fatal(err)
				}
			}
			running(t, dir, func(s *stores) {
				_, err := s.catalog.CreateUpload(t.Context(), "acme", dataset.Upload{
					ID: upload, FileID: dataset.FileIDOf(upload), DatasetID: "dataset-1", FileName: "f", ObjectKey: key(dataset.FileIDOf(upload)),
					CreatedAt: now.Add(-8 * 24 * time.Hour), ExpiresAt: now.Add(-24 * time.Hour),
				}, dataset.Idempotency{})
				if err != nil {
					t.Fatal(err)
				}
			})
			copied, err := os.ReadFile(CatalogFile(dir))
			if err != nil {
				t.Fatal(err)
			}
			running(t, dir, func(s *stores) {
				put(s, unknown)
				put(s, dataset.FileIDOf(upload))
			})
			if putBack {
				if err := os.WriteFile(CatalogFile(dir), copied, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(1100 * time.Millisecond) // the store tells seconds
			running(t, dir, func(s *stores) {
				put(s, later)
				month := sweep.WithClock(func() time.Time { return now.Add(30 * 24 * time.Hour) })
				if report, err := sweep.New(s.objects, s.catalog, sweep.WithWitness(markFile(dir)), month).Sweep(t.Context()); err != nil {
					t.Fatalf("swept %+v, %v", report, err)
				}
				for id, want := range map[string]bool{unknown: putBack, dataset.FileIDOf(upload): putBack, later: false} {
					_, err := s.objects.Stat(t.Context(), key(id))
					if err != nil && !fault.Is(err, fault.CodeFileNotFound) {
						t.Fatal(err)
					}
					if there := err == nil; there != want {
						t.Errorf("%s is there: %v, want %v", id, there, want)
					}
				}
			})
		})
	}
}
