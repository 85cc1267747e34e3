package catalogtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func (e *env) ref(f dataset.File) dataset.FileRef {
	return dataset.FileRef{Tenant: e.tenant, FileID: f.ID}
}

// claim claims a file id, and fails unless it then is in a state.
func (e *env) claim(t testing.TB, f dataset.File, want dataset.FileState) dataset.FileRecord {
	t.Helper()
	r, err := e.ClaimFile(e.ctx, e.ref(f))
	if err != nil || r.State != want || r.FileRef != e.ref(f) {
		t.Fatalf("claimed %+v, %v; want it %q", r, err, want)
	}
	return r
}

// record reads what is known of a file id.
func (e *env) record(t testing.TB, f dataset.File) dataset.FileRecord {
	t.Helper()
	got, err := e.FileRecords(e.ctx, []dataset.FileRef{e.ref(f)})
	if err != nil || len(got) != 1 || got[0].FileRef != e.ref(f) {
		t.Fatalf("got %+v, %v", got, err)
	}
	return got[0]
}

// wantClaimed fails unless err says that a file was claimed.
func wantClaimed(t testing.TB, err error, f dataset.File) {
	t.Helper()
	wantCode(t, err, fault.CodeUploadClosed)
	if details := err.(*fault.Error).Details; details["state"] != "aborted" || details["file_id"] != f.ID || details["file_name"] != f.Name {
		t.Fatalf("refused with the details %v, want those of %+v", details, f)
	}
}

func recordTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"the record of a file id": func(t *testing.T, e *env) {
			d := e.create(t)
			new, listed, gone := e.file("new"), e.append(t, d, "listed", "gone"), dataset.File{}
			gone = e.delete(t, d, "gone")
			open, ready, settled := e.open(t, d, "open"), e.complete(t, d, "ready")[0], e.complete(t, d, "settled")[0]
			if _, err := e.Append(e.ctx, e.appendOf(d, settled)); err != nil {
				t.Fatal(err)
			}
			dropped := e.open(t, d, "dropped")
			if _, err := e.AbortUpload(e.ctx, e.tenant, dropped.ID); err != nil {
				t.Fatal(err)
			}
			claimed := e.file("claimed")
			e.claim(t, claimed, dataset.FileAborted)
			refs := []dataset.FileRef{}
			want := []dataset.FileRecord{}
			for _, r := range []struct {
				id     string
				state  dataset.FileState
				upload dataset.Upload
			}{
				{id: new.ID}, {id: listed[0].ID, state: dataset.FileAppended}, {id: gone.ID, state: dataset.FileDeleted},
				{open.FileID, dataset.FileOpen, open}, {ready.FileID, dataset.FileComplete, ready},
				{settled.FileID, dataset.FileAppended, settled}, {dropped.FileID, dataset.FileAborted, dropped},
				{id: claimed.ID, state: dataset.FileAborted}, {id: new.ID},
			} {
				record := dataset.FileRecord{FileRef: dataset.FileRef{Tenant: e.tenant, FileID: r.id}, State: r.state, UploadID: r.upload.ID, PartsID: r.upload.PartsID, ExpiresAt: r.upload.ExpiresAt}
				if r.upload.ID != "" || r.state == dataset.FileAppended || r.state == dataset.FileDeleted {
					record.DatasetID = d.ID
				}
				refs, want = append(refs, record.FileRef), append(want, record)
			}
			for range 100 { // more than one request of any store takes
				refs, want = append(refs, refs[0]), append(want, want[0])
			}
			other := dataset.FileRef{Tenant: newName("tenant-"), FileID: listed[0].ID}
			refs, want = append(refs, other), append(want, dataset.FileRecord{FileRef: other})
			got, err := e.FileRecords(e.ctx, refs)
			if err != nil || len(got) != len(want) {
				t.Fatalf("%d records, %v", len(got), err)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("record %d is\n%+v, want\n%+v", i, got[i], want[i])
				}
			}
		},
		"what was claimed is never appended": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.request(d, "a", "b", "c")
			for range 2 {
				e.claim(t, a.Files[1], dataset.FileAborted)
				_, err := e.Append(e.ctx, a)
				wantClaimed(t, err, a.Files[1])
			}
			if got := e.dataset(t, d.ID); got.FileCount != 0 || got.Version != 1 || got.Schema != nil {
				t.Fatalf("the dataset is %+v", got)
			}
			e.append(t, d, "c")
			_, err := e.Append(e.ctx, a)
			wantTaken(t, err, "c") // that a name is taken is told first
			e.clock.advance(dataset.UploadKept * 10)
			a.Files[2].Name = "d"
			_, err = e.Append(e.ctx, a)
			wantClaimed(t, err, a.Files[1])
			e.append(t, d, "a", "b")
		},
		"what was appended can't be claimed": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.request(d, "a")
			if _, err := e.Append(e.ctx, a); err != nil {
				t.Fatal(err)
			}
			u := e.complete(t, d, "u")[0]
			done, err := e.Append(e.ctx, e.appendOf(d, u))
			if err != nil {
				t.Fatal(err)
			}
			e.clock.advance(dataset.UploadKept * 2)
			for _, f := range []dataset.File{a.Files[0], done.Files[0]} {
				if r := e.claim(t, f, dataset.FileAppended); r.MayGo() {
					t.Fatalf("%+v may go", r)
				}
				e.delete(t, d, f.Name)
				if r := e.claim(t, f, dataset.FileDeleted); !r.MayGo() {
					t.Fatalf("%+v may not go", r)
				}
			}
		},
		"an upload is claimed once its time is over": func(t *testing.T, e *env) {
			d := e.create(t)
			uploads := append(e.complete(t, d, "ready"), e.open(t, d, "open"))
			for _, u := range uploads {
				if r := e.claim(t, u.File(), dataset.FileState(u.State)); r.MayGo() || r.UploadID != u.ID || r.PartsID != u.PartsID {
					t.Fatalf("claimed %+v", r)
				}
			}
			e.clock.advance(dataset.UploadLifetime + time.Minute)
			for _, u := range uploads {
				if r := e.record(t, u.File()); !r.Expired(e.clock.Now()) || r.MayGo() {
					t.Fatalf("the record is %+v", r)
				}
				for range 2 {
					if r := e.claim(t, u.File(), dataset.FileAborted); !r.MayGo() || r.PartsID != u.PartsID {
						t.Fatalf("claimed %+v", r)
					}
				}
				if state := e.state(t, u); state != dataset.UploadAborted {
					t.Fatalf("the upload is %s", state)
				}
				_, err := e.CompleteUpload(e.ctx, e.tenant, u.ID, e.completion(u))
				wantClosed(t, err, u, "aborted")
			}
			_, err := e.Append(e.ctx, e.appendOf(d, uploads[0]))
			wantClosed(t, err, uploads[0], "aborted")
		},
		"a file's record is no upload": func(t *testing.T, e *env) {
			d := e.create(t)
			files := append(e.append(t, d, "a"), e.file("claimed"))
			e.claim(t, files[1], dataset.FileAborted)
			for _, f := range files {
				id := dataset.UploadIDOf(f.ID)
				_, err := e.Upload(e.ctx, e.tenant, id)
				wantCode(t, err, fault.CodeUploadNotFound)
				_, err = e.AbortUpload(e.ctx, e.tenant, id)
				wantCode(t, err, fault.CodeUploadNotFound)
				a := e.request(d, "b")
				a.Files[0].ID, a.Uploads = f.ID, []string{id}
				if _, err = e.Append(e.ctx, a); f == files[1] {
					wantCode(t, err, fault.CodeUploadNotFound)
				}
				if got, err := e.UploadsByID(e.ctx, e.tenant, []string{id}); err != nil || len(got) != 0 {
					t.Fatalf("got %+v, %v", got, err)
				}
			}
			if got := e.list(t, d, 10); len(got) != 1 {
				t.Fatalf("listed %v", nameList(got))
			}
		},
		"how far a task is": func(t *testing.T, e *env) {
			task := newName("task-")
			if got, err := e.Progress(e.ctx, task); err != nil || got != nil {
				t.Fatalf("got %q, %v", got, err)
			}
			for _, state := range []string{"{}", `{"after": "x"}`} {
				if err := e.SaveProgress(e.ctx, task, []byte(state)); err != nil {
					t.Fatal(err)
				}
				if got, err := e.Progress(e.ctx, task); err != nil || string(got) != state {
					t.Fatalf("got %q, %v; want %q", got, err, state)
				}
			}
			if got, err := e.Progress(e.ctx, newName("task-")); err != nil || got != nil {
				t.Fatalf("of another task got %q, %v", got, err)
			}
		},
		"of an append and a claim one wins": func(t *testing.T, e *env) {
			d := e.create(t)
			appends := 0
			for i := range 12 {
				a := e.request(d, fmt.Sprint("a", i), fmt.Sprint("b", i))
				var claimed [4]dataset.FileRecord
				errs := race(4, func(n int) (err error) {
					if n%2 == 0 {
						_, err = e.Append(e.ctx, a)
						return err
					}
					claimed[n], err = e.ClaimFile(e.ctx, e.ref(a.Files[1]))
					return err
				})
				if errs[1] != nil || errs[3] != nil || (errs[0] == nil) != (errs[2] == nil) {
					t.Fatalf("the tries ended in %v", errs)
				}
				want := dataset.FileAppended
				if errs[0] != nil {
					want = dataset.FileAborted
					wantClaimed(t, errs[0], a.Files[1])
				} else {
					appends++
				}
				if claimed[1].State != want || claimed[3].State != want || e.record(t, a.Files[1]).State != want {
					t.Fatalf("the tries ended in %v and in %+v", errs, claimed)
				}
			}
			if got := e.list(t, d, 100); len(got) != 2*appends {
				t.Fatalf("%d appends won and %d files are listed", appends, len(got))
			}
		},
	}
}
