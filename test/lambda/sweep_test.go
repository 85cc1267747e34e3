package lambda_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/sweep"
)

// checkSweep has the sweeper remove what crashes could have left days ago, and
// nothing that the calls before it listed.
func (d *deployment) checkSweep(t *testing.T, s *stores) {
	objects := objectstore.New(s.bucket.Client, s.bucket.Bucket)
	orphan := dataset.FileKey(s.tenant, "file-"+uuid.NewString())
	if _, err := objects.Put(t.Context(), orphan, strings.NewReader("orphan"), -1); err != nil {
		t.Fatal(err)
	}
	unfinished := dataset.FileKey(s.tenant, "file-"+uuid.NewString())
	if _, err := objects.CreateParts(t.Context(), unfinished); err != nil {
		t.Fatal(err)
	}
	before, _, err := objects.List(t.Context(), dataset.FilePrefix, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	makeOlder(t, s.bucket.Dir, 3*24*time.Hour)
	if err := s.catalog.SaveProgress(t.Context(), "sweep", []byte(`{"since": "2026-01-01T00:00:00Z"}`)); err != nil {
		t.Fatal(err)
	}

	var report sweep.Report
	d.functions[sweepName].invoke(t, sample(t, sweepName, "schedule"), &report)
	if !report.Finished || !report.Full || report.Objects != len(before) || report.RemovedObjects != 1 || report.RemovedBytes != 6 ||
		report.AbortedParts != 1 || report.Found[sweep.Orphan] != 2 || report.Failed != 0 {
		t.Fatalf("swept %+v", report)
	}
	after, _, err := objects.List(t.Context(), dataset.FilePrefix, "", 1000)
	if err != nil || len(after) != len(before)-1 {
		t.Fatalf("%d objects, and before %d: %v", len(after), len(before), err)
	}
	for _, o := range after {
		if o.Key == orphan {
			t.Errorf("%s stayed", orphan)
		}
	}
	if open, _, err := objects.ListOpenParts(t.Context(), dataset.FilePrefix, "", "", 10); err != nil || len(open) != 0 {
		t.Errorf("open are %+v, %v", open, err)
	}
	var again sweep.Report // until it is time for another pass
	d.functions[sweepName].invoke(t, sample(t, sweepName, "schedule"), &again)
	if !again.Finished || again.Objects != 0 {
		t.Errorf("swept again: %+v", again)
	}
	d.functions[sweepName].logged(t, `"msg":"swept"`, 2)
	d.functions[sweepName].logged(t, `"removed_objects":1`, 1)
	d.checkRestored(t, s)
}

// checkRestored has the sweeper meet a table that is not the one that it swept with:
// items of an older copy were put back, or the table is another one. Of what that does
// not know everything stays.
func (d *deployment) checkRestored(t *testing.T, s *stores) {
	noted, err := s.catalog.Progress(t.Context(), "sweep")
	if err != nil {
		t.Fatal(err)
	}
	var now map[string]any
	if err := json.Unmarshal(noted, &now); err != nil || now["mark"] == nil || now["catalog"] == nil {
		t.Fatalf("the sweeper noted %s", noted)
	}
	objects := objectstore.New(s.bucket.Client, s.bucket.Bucket)
	for name, copied := range map[string]map[string]any{
		"the same table":      {"since": "2026-01-01T00:00:00Z", "mark": now["mark"], "catalog": now["catalog"]},
		"an older mark":       {"since": "2026-01-01T00:00:00Z", "mark": "older.1", "catalog": now["catalog"]},
		"another table's own": {"since": "2026-01-01T00:00:00Z", "mark": now["mark"], "catalog": "another"},
	} {
		unknown := dataset.FileKey(s.tenant, "file-"+uuid.NewString())
		if _, err := objects.Put(t.Context(), unknown, strings.NewReader("unknown"), -1); err != nil {
			t.Fatal(err)
		}
		makeOlder(t, s.bucket.Dir, 3*24*time.Hour)
		if copied["mark"] == now["mark"] { // as the last one left it
			mark, err := objectstore.NewMark(objects).Mark(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			copied["mark"] = mark
		}
		state, err := json.Marshal(copied)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.catalog.SaveProgress(t.Context(), "sweep", state); err != nil {
			t.Fatal(err)
		}
		var report sweep.Report
		d.functions[sweepName].invoke(t, sample(t, sweepName, "schedule"), &report)
		removed, foreign := 0, 1
		if name == "the same table" {
			removed, foreign = 1, 0
		}
		if !report.Finished || !report.Full || report.RemovedObjects != removed || report.Found[sweep.Foreign] != foreign {
			t.Errorf("%s: swept %+v", name, report)
		}
		if err := objects.Delete(t.Context(), unknown); err != nil {
			t.Fatal(err)
		}
	}
}

// makeOlder takes everything in a store's folder back in time.
func makeOlder(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, at, at)
	})
	if err != nil {
		t.Fatal(err)
	}
}
