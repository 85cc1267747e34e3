package catalogtest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// newUpload makes an upload of a dataset that no store knows yet.
func (e *env) newUpload(d dataset.Dataset, name string) dataset.Upload {
	now := e.clock.Now()
	id := fmt.Sprintf("upload-%016x", now.UnixMicro())
	f := e.fileWithID(dataset.FileIDOf(id), name)
	return dataset.Upload{
		ID: id, DatasetID: d.ID, FileID: f.ID, FileName: name,
		SizeBytes: f.SizeBytes, PartSize: dataset.MinPartSize, Checksum: f.CRC64NVME, ObjectKey: f.ObjectKey, PartsID: "parts of " + name,
		State: dataset.UploadOpen, CreatedAt: now, ExpiresAt: now.Add(dataset.UploadLifetime),
	}
}

func (e *env) open(t testing.TB, d dataset.Dataset, name string) dataset.Upload {
	t.Helper()
	u, err := e.CreateUpload(e.ctx, e.tenant, e.newUpload(d, name), dataset.Idempotency{})
	if err != nil {
		t.Fatalf("creating an upload: %v", err)
	}
	return u
}

func (e *env) completion(u dataset.Upload) dataset.Completion {
	return dataset.Completion{
		CRC64NVME: "AAAAAAAAAAA=", RowCount: int64(len(u.FileName)), Schema: columns("id int64", "text string"),
		ExpiresAt: e.clock.Now().Add(dataset.UploadLifetime),
	}
}

func (e *env) complete(t testing.TB, d dataset.Dataset, names ...string) []dataset.Upload {
	t.Helper()
	uploads := make([]dataset.Upload, len(names))
	for i, name := range names {
		u := e.open(t, d, name)
		var err error
		if uploads[i], err = e.CompleteUpload(e.ctx, e.tenant, u.ID, e.completion(u)); err != nil {
			t.Fatalf("completing an upload: %v", err)
		}
	}
	return uploads
}

// appendOf is the append of uploads' files.
func (e *env) appendOf(d dataset.Dataset, uploads ...dataset.Upload) dataset.Append {
	a := dataset.Append{Tenant: e.tenant, DatasetID: d.ID, Schema: columns("id int64", "text string")}
	for _, u := range uploads {
		f := u.File()
		f.UploadedAt = e.clock.Now()
		a.Files, a.Uploads = append(a.Files, f), append(a.Uploads, u.ID)
	}
	return a
}

// state reads an upload's state.
func (e *env) state(t testing.TB, u dataset.Upload) dataset.UploadState {
	t.Helper()
	got, err := e.Upload(e.ctx, e.tenant, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got.State
}

// wantClosed fails unless err says that an upload is closed, and why.
func wantClosed(t testing.TB, err error, u dataset.Upload, state string) {
	t.Helper()
	wantCode(t, err, fault.CodeUploadClosed)
	details := err.(*fault.Error).Details
	if details["state"] != state || details["upload_id"] != u.ID || details["file_name"] != u.FileName {
		t.Fatalf("refused with the details %v, want %s of %s", details, state, u.ID)
	}
}

func uploadTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"an upload is what was created": func(t *testing.T, e *env) {
			want := e.newUpload(e.create(t), "a")
			created, err := e.CreateUpload(e.ctx, e.tenant, want, dataset.Idempotency{})
			if err != nil || created != want {
				t.Fatalf("created\n%+v, %v, want\n%+v", created, err, want)
			}
			again, err := e.CreateUpload(e.ctx, e.tenant, want, dataset.Idempotency{}) // an earlier try's answer was lost
			if err != nil || again != want {
				t.Fatalf("created again\n%+v, %v, want\n%+v", again, err, want)
			}
			if got, err := e.Upload(e.ctx, e.tenant, want.ID); err != nil || got != want {
				t.Fatalf("read\n%+v, %v, want\n%+v", got, err, want)
			}
		},
		"an upload that is not there": func(t *testing.T, e *env) {
			u := e.open(t, e.create(t), "a")
			for _, id := range []string{"upload-0", "", "#", strings.Repeat("u", 3000)} {
				_, err := e.Upload(e.ctx, e.tenant, id)
				wantCode(t, err, fault.CodeUploadNotFound)
				_, err = e.UploadSchema(e.ctx, e.tenant, id)
				wantCode(t, err, fault.CodeUploadNotFound)
				_, err = e.CompleteUpload(e.ctx, e.tenant, id, e.completion(u))
				wantCode(t, err, fault.CodeUploadNotFound)
				_, err = e.AbortUpload(e.ctx, e.tenant, id)
				wantCode(t, err, fault.CodeUploadNotFound)
			}
			_, err := e.UploadSchema(e.ctx, e.tenant, u.ID) // not complete
			wantCode(t, err, fault.CodeUploadNotFound)
		},
		"another tenant's upload": func(t *testing.T, e *env) {
			d := e.create(t)
			u, other := e.complete(t, d, "a")[0], newName("tenant-")
			_, err := e.Upload(e.ctx, other, u.ID)
			wantCode(t, err, fault.CodeUploadNotFound)
			_, err = e.AbortUpload(e.ctx, other, u.ID)
			wantCode(t, err, fault.CodeUploadNotFound)
			if got, err := e.UploadsByID(e.ctx, other, []string{u.ID}); err != nil || len(got) != 0 {
				t.Errorf("got %v, %v", got, err)
			}
			if page, err := e.ListUploads(e.ctx, other, "", "", 10); err != nil || len(page.Uploads) != 0 {
				t.Errorf("listed %v, %v", page, err)
			}
			theirs, err := e.CreateDataset(e.ctx, other, e.newDataset(), dataset.Idempotency{})
			if err != nil {
				t.Fatal(err)
			}
			a := e.appendOf(theirs, u)
			a.Tenant = other
			_, err = e.Append(e.ctx, a)
			wantCode(t, err, fault.CodeUploadNotFound)
		},
		"a known key returns the upload that it created": func(t *testing.T, e *env) {
			d, idem := e.create(t), dataset.Idempotency{Key: "k", Fingerprint: "f"}
			_, err := e.CreatedUpload(e.ctx, e.tenant, idem)
			wantCode(t, err, fault.CodeUploadNotFound)
			first, err := e.CreateUpload(e.ctx, e.tenant, e.newUpload(d, "a"), idem)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := e.CreateUpload(e.ctx, e.tenant, e.newUpload(d, "a"), idem); err != nil || again != first {
				t.Fatalf("got %+v, %v, want %+v", again, err, first)
			}
			if got, err := e.CreatedUpload(e.ctx, e.tenant, idem); err != nil || got != first {
				t.Fatalf("got %+v, %v, want %+v", got, err, first)
			}
			idem.Fingerprint = "g"
			_, err = e.CreateUpload(e.ctx, e.tenant, e.newUpload(d, "b"), idem)
			wantCode(t, err, fault.CodeIdempotencyKeyReused)
			_, err = e.CreatedUpload(e.ctx, e.tenant, idem)
			wantCode(t, err, fault.CodeIdempotencyKeyReused)
			_, err = e.CreateDataset(e.ctx, e.tenant, e.newDataset(), dataset.Idempotency{Key: "k", Fingerprint: "f"})
			wantCode(t, err, fault.CodeIdempotencyKeyReused)
			e.clock.advance(dataset.IdempotencyWindow + time.Minute)
			_, err = e.CreatedUpload(e.ctx, e.tenant, idem)
			wantCode(t, err, fault.CodeUploadNotFound)
			if second, err := e.CreateUpload(e.ctx, e.tenant, e.newUpload(d, "b"), idem); err != nil || second.ID == first.ID {
				t.Fatalf("after the window: %+v, %v", second, err)
			}
		},
		"completing": func(t *testing.T, e *env) {
			u := e.open(t, e.create(t), "a")
			done := e.completion(u)
			want := u
			want.State, want.ExpiresAt, want.CRC64NVME, want.RowCount, want.SchemaKey =
				dataset.UploadComplete, done.ExpiresAt, done.CRC64NVME, done.RowCount, done.Schema.Key()
			for range 2 {
				if got, err := e.CompleteUpload(e.ctx, e.tenant, u.ID, done); err != nil || got != want {
					t.Fatalf("completed\n%+v, %v, want\n%+v", got, err, want)
				}
			}
			if got, err := e.Upload(e.ctx, e.tenant, u.ID); err != nil || got != want {
				t.Fatalf("read\n%+v, %v, want\n%+v", got, err, want)
			}
			if s, err := e.UploadSchema(e.ctx, e.tenant, u.ID); err != nil || !reflect.DeepEqual(s, done.Schema) {
				t.Fatalf("the schema is %v, %v", s, err)
			}
		},
		"aborting": func(t *testing.T, e *env) {
			d := e.create(t)
			for _, u := range []dataset.Upload{e.open(t, d, "a"), e.complete(t, d, "b")[0]} {
				for range 2 {
					if got, err := e.AbortUpload(e.ctx, e.tenant, u.ID); err != nil || got.State != dataset.UploadAborted || got.ObjectKey != u.ObjectKey {
						t.Fatalf("aborted %+v, %v", got, err)
					}
				}
				_, err := e.CompleteUpload(e.ctx, e.tenant, u.ID, e.completion(u))
				wantClosed(t, err, u, "aborted")
				_, err = e.Append(e.ctx, e.appendOf(d, u))
				wantClosed(t, err, u, "aborted")
			}
			if got := e.list(t, d, 10); len(got) != 0 {
				t.Fatalf("listed %v", nameList(got))
			}
		},
		"the time of an upload": func(t *testing.T, e *env) {
			d := e.create(t)
			open, ready := e.open(t, d, "open"), e.complete(t, d, "ready")[0]
			e.clock.advance(dataset.UploadLifetime - time.Minute)
			late := e.complete(t, d, "late")[0]
			renewed, err := e.CompleteUpload(e.ctx, e.tenant, open.ID, e.completion(open))
			if err != nil {
				t.Fatal(err)
			}
			e.clock.advance(2 * time.Minute)
			_, err = e.Append(e.ctx, e.appendOf(d, ready))
			wantClosed(t, err, ready, "expired")
			_, err = e.CompleteUpload(e.ctx, e.tenant, ready.ID, e.completion(ready))
			wantClosed(t, err, ready, "expired")
			if _, err := e.Append(e.ctx, e.appendOf(d, renewed, late)); err != nil {
				t.Fatal(err)
			}
			if got, err := e.AbortUpload(e.ctx, e.tenant, ready.ID); err != nil || got.State != dataset.UploadAborted {
				t.Fatalf("aborted %+v, %v", got, err)
			}
			unfinished := e.open(t, d, "unfinished")
			e.clock.advance(dataset.UploadLifetime)
			_, err = e.CompleteUpload(e.ctx, e.tenant, unfinished.ID, e.completion(unfinished))
			wantClosed(t, err, unfinished, "expired")
		},
		"uploads by their ids": func(t *testing.T, e *env) {
			uploads := e.complete(t, e.create(t), "a", "b", "c")
			got, err := e.UploadsByID(e.ctx, e.tenant, []string{uploads[2].ID, "upload-0", uploads[0].ID, "#"})
			if err != nil || !slices.Equal(got, []dataset.Upload{uploads[2], uploads[0]}) {
				t.Fatalf("got %+v, %v", got, err)
			}
			many := []string{uploads[1].ID}
			for i := range 120 {
				many = append(many, fmt.Sprint("upload-", i))
			}
			if got, err := e.UploadsByID(e.ctx, e.tenant, append(many, uploads[0].ID)); err != nil || !slices.Equal(got, []dataset.Upload{uploads[1], uploads[0]}) {
				t.Fatalf("got %+v, %v", got, err)
			}
		},
		"listing, newest first": func(t *testing.T, e *env) {
			d, other := e.create(t), e.create(t)
			var want, all []dataset.Upload
			for i := range 7 {
				u := e.open(t, d, fmt.Sprint("f", i))
				want, all = append([]dataset.Upload{u}, want...), append([]dataset.Upload{u}, all...)
				all = append([]dataset.Upload{e.open(t, other, fmt.Sprint("g", i))}, all...)
			}
			for _, limit := range []int{1, 3, 7, 100} {
				if got := e.uploads(t, d.ID, limit); !slices.Equal(got, want) {
					t.Fatalf("with the limit %d listed %+v", limit, got)
				}
				if got := e.uploads(t, "", limit); !slices.Equal(got, all) {
					t.Fatalf("with the limit %d listed %+v", limit, got)
				}
			}
			if got := e.uploads(t, "dataset-0", 10); len(got) != 0 {
				t.Fatalf("listed %+v", got)
			}
		},
	}
}

// uploads lists uploads in pages.
func (e *env) uploads(t testing.TB, datasetID string, limit int) (all []dataset.Upload) {
	t.Helper()
	for after := ""; ; {
		page, err := e.ListUploads(e.ctx, e.tenant, datasetID, after, limit)
		if err != nil || len(page.Uploads) > limit {
			t.Fatalf("a page of %d uploads, asked for %d: %v", len(page.Uploads), limit, err)
		}
		all = append(all, page.Uploads...)
		if after = page.Next; after == "" {
			return all
		}
	}
}

func uploadAppendTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"uploads are appended in the order given": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "first")
			uploads := e.complete(t, d, "z", "m", "a")
			a := e.appendOf(d, uploads...)
			done, err := e.Append(e.ctx, a)
			if err != nil {
				t.Fatal(err)
			}
			for i, u := range uploads {
				got, err := e.Upload(e.ctx, e.tenant, u.ID)
				if err != nil || got.State != dataset.UploadAppended || got.File() != done.Files[i] || got.Position != int64(i+1) {
					t.Errorf("upload %d is %+v, %v, its file %+v", i, got, err, done.Files[i])
				}
				_, err = e.AbortUpload(e.ctx, e.tenant, u.ID)
				wantClosed(t, err, u, "appended")
				if again, err := e.CompleteUpload(e.ctx, e.tenant, u.ID, e.completion(u)); err != nil || again != got {
					t.Errorf("completed again: %+v, %v", again, err)
				}
			}
			again, err := e.Append(e.ctx, a) // its answer was lost
			if err != nil {
				t.Fatal(err)
			}
			wantFiles(t, again.Files, done.Files)
			wantFiles(t, e.list(t, d, 10)[1:], done.Files)
		},
		"the largest append of uploads and no larger": func(t *testing.T, e *env) {
			d := e.create(t)
			names := make([]string, dataset.MaxAppendUploads+1)
			for i := range names {
				names[i] = fmt.Sprintf("%s-%02d", strings.Repeat("n", 252), i)
			}
			uploads := e.complete(t, d, names...)
			_, err := e.Append(e.ctx, e.appendOf(d, uploads...))
			wantCode(t, err, fault.CodeInvalidRequest)
			a := e.appendOf(d, uploads[1:]...)
			a.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			done, err := e.Append(e.ctx, a)
			if err != nil || len(done.Files) != dataset.MaxAppendUploads {
				t.Fatalf("%d files, %v", len(done.Files), err)
			}
			wantFiles(t, e.list(t, d, 100), done.Files)
		},
		"an append that is refused settles no upload": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "taken")
			ready := e.complete(t, d, "a", "taken", "b")
			open, elsewhere := e.open(t, d, "open"), e.complete(t, e.create(t), "elsewhere")[0]
			otherSchema := e.appendOf(d, ready[0])
			otherSchema.Schema = columns("x bool")
			otherFile := e.appendOf(d, ready[0])
			otherFile.Files = e.files("a")
			for name, try := range map[string]struct {
				a    dataset.Append
				code fault.Code
			}{
				"a taken name":            {e.appendOf(d, ready...), fault.CodeFileExists},
				"an upload that is open":  {e.appendOf(d, ready[0], open), fault.CodeUploadIncomplete},
				"another dataset's":       {e.appendOf(d, ready[0], elsewhere), fault.CodeUploadNotFound},
				"another schema":          {otherSchema, fault.CodeSchemaMismatch},
				"another file":            {otherFile, fault.CodeUploadNotFound},
				"an upload that is wrong": {e.appendOf(d, ready[0], e.newUpload(d, "new")), fault.CodeUploadNotFound},
				"before a taken name":     {e.appendOf(d, ready[1], open), fault.CodeUploadIncomplete},
			} {
				_, err := e.Append(e.ctx, try.a)
				if !fault.Is(err, try.code) {
					t.Errorf("%s: got %v, want %s", name, err, try.code)
				}
			}
			for _, u := range ready {
				if state := e.state(t, u); state != dataset.UploadComplete {
					t.Errorf("%s is %s", u.FileName, state)
				}
			}
			if got := e.list(t, d, 10); len(got) != 1 {
				t.Fatalf("listed %v", nameList(got))
			}
			if _, err := e.Append(e.ctx, e.appendOf(d, ready[2], ready[0])); err != nil {
				t.Fatal(err)
			}
		},
		"an upload is appended once": func(t *testing.T, e *env) {
			d := e.create(t)
			uploads := e.complete(t, d, "a", "b")
			if _, err := e.Append(e.ctx, e.appendOf(d, uploads[0])); err != nil {
				t.Fatal(err)
			}
			_, err := e.Append(e.ctx, e.appendOf(d, uploads...))
			wantClosed(t, err, uploads[0], "appended")
			_, err = e.Append(e.ctx, e.appendOf(d, uploads[1], uploads[0]))
			wantClosed(t, err, uploads[0], "appended")
			if state := e.state(t, uploads[1]); state != dataset.UploadComplete {
				t.Errorf("the other one is %s", state)
			}
		},
		"of an append and an abort one wins": func(t *testing.T, e *env) {
			d := e.create(t)
			appends := 0
			for i := range 8 {
				uploads := e.complete(t, d, fmt.Sprint("a", i), fmt.Sprint("b", i))
				errs := race(4, func(n int) error {
					if n%2 == 0 {
						_, err := e.Append(e.ctx, e.appendOf(d, uploads...))
						return err
					}
					_, err := e.AbortUpload(e.ctx, e.tenant, uploads[1].ID)
					return err
				})
				won := 0 // by the appends, of which one repeats the other
				if errs[0] == nil || errs[2] == nil {
					won = 1
				}
				for n, err := range errs {
					if (err == nil) != (n%2 == 1-won) {
						t.Fatalf("the tries ended in %v", errs)
					}
					if err != nil {
						wantCode(t, err, fault.CodeUploadClosed)
					}
				}
				appends += won
				want := []dataset.UploadState{dataset.UploadAborted, dataset.UploadAppended}[won]
				if state := e.state(t, uploads[1]); state != want {
					t.Fatalf("the tries ended in %v, the upload is %s", errs, state)
				}
			}
			if got := e.list(t, d, 100); len(got) != 2*appends {
				t.Fatalf("%d appends won and %d files are listed", appends, len(got))
			}
		},
		"of two completions one counts": func(t *testing.T, e *env) {
			u := e.open(t, e.create(t), "a")
			for i, err := range race(4, func(int) error {
				_, err := e.CompleteUpload(e.ctx, e.tenant, u.ID, e.completion(u))
				return err
			}) {
				if err != nil {
					t.Errorf("try %d: %v", i, err)
				}
			}
		},
	}
}
