package catalogtest

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func appendTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"files take the next positions in the order given": func(t *testing.T, e *env) {
			d := e.create(t)
			var want []dataset.File
			for _, names := range [][]string{{"z"}, {"m", "a", "b"}, {"c"}} {
				files := e.files(names...)
				files[0].Position = 77 // not read
				done, err := e.Append(e.ctx, dataset.Append{Tenant: e.tenant, DatasetID: d.ID, Files: files, Schema: columns("a int64")})
				if err != nil || done.Replayed {
					t.Fatalf("got %+v, %v", done, err)
				}
				for _, f := range files {
					f.Position = int64(len(want))
					want = append(want, f)
				}
				wantFiles(t, done.Files, want[len(want)-len(files):])
			}
			wantFiles(t, e.list(t, d, 100), want)
		},
		"a dataset counts its files, bytes and rows": func(t *testing.T, e *env) {
			d := e.create(t)
			files := append(e.append(t, d, "a", "bb"), e.append(t, d, "ccc")...)
			got, err := e.Dataset(e.ctx, e.tenant, d.ID)
			if err != nil {
				t.Fatal(err)
			}
			var size, rows int64
			for _, f := range files {
				size, rows = size+f.SizeBytes, rows+f.RowCount
			}
			if got.FileCount != 3 || got.NextPosition != 3 || got.TotalSizeBytes != size || got.TotalRows != rows {
				t.Errorf("got %+v, want 3 files, %d bytes, %d rows", got, size, rows)
			}
			if !got.UpdatedAt.After(files[2].UploadedAt) || !got.CreatedAt.Equal(d.CreatedAt) {
				t.Errorf("created %v and updated %v, the last file came at %v", got.CreatedAt, got.UpdatedAt, files[2].UploadedAt)
			}
		},
		"sums of rows end at the largest number": func(t *testing.T, e *env) {
			d := e.create(t)
			for _, name := range []string{"a", "b", "c"} {
				files := e.files(name, name+name)
				files[0].RowCount, files[1].RowCount = 1<<62, 1<<62
				if _, err := e.Append(e.ctx, dataset.Append{Tenant: e.tenant, DatasetID: d.ID, Files: files, Schema: columns("a int64")}); err != nil {
					t.Fatal(err)
				}
			}
			got, err := e.Dataset(e.ctx, e.tenant, d.ID)
			if err != nil || got.TotalRows != math.MaxInt64 || got.FileCount != 6 {
				t.Fatalf("got %+v, %v", got, err)
			}
		},
		"the largest append and no larger": func(t *testing.T, e *env) {
			d := e.create(t)
			names := make([]string, dataset.MaxAppend+1)
			for i := range names {
				names[i] = fmt.Sprintf("%s-%02d", strings.Repeat("n", 252), i) // 255 bytes
			}
			_, err := e.Append(e.ctx, e.request(d, names...))
			wantCode(t, err, fault.CodeInvalidRequest)
			_, err = e.Append(e.ctx, e.request(d))
			wantCode(t, err, fault.CodeInvalidRequest)
			a := e.request(d, names[:dataset.MaxAppend]...)
			a.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			done, err := e.Append(e.ctx, a)
			if err != nil || len(done.Files) != dataset.MaxAppend {
				t.Fatalf("%d files, %v", len(done.Files), err)
			}
			wantFiles(t, e.list(t, d, 100), done.Files)
		},
		"all or none": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "taken")
			before, _ := e.Dataset(e.ctx, e.tenant, d.ID)
			_, err := e.Append(e.ctx, e.request(d, "new", "taken", "newer"))
			wantTaken(t, err, "taken")
			after, _ := e.Dataset(e.ctx, e.tenant, d.ID)
			if !reflect.DeepEqual(before, after) || len(e.list(t, d, 10)) != 1 {
				t.Fatalf("the dataset was %+v and is %+v", before, after)
			}
			_, err = e.File(e.ctx, e.tenant, d.ID, "new")
			wantCode(t, err, fault.CodeFileNotFound)
			e.append(t, d, "newer", "new")
		},
		"a name given twice in one append": func(t *testing.T, e *env) {
			d := e.create(t)
			_, err := e.Append(e.ctx, e.request(d, "a", "b", "a"))
			wantTaken(t, err, "a")
			if got := e.list(t, d, 10); len(got) != 0 {
				t.Fatalf("listed %v", nameList(got))
			}
		},
		"the first taken name is the one told": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "x", "y")
			_, err := e.Append(e.ctx, e.request(d, "new", "y", "x"))
			wantTaken(t, err, "y")
		},
		"the same name in two datasets": func(t *testing.T, e *env) {
			e.append(t, e.create(t), "a")
			e.append(t, e.create(t), "a")
		},
	}
}

// wantTaken fails unless err is the refusal of a name in the words that
// clients know.
func wantTaken(t testing.TB, err error, name string) {
	t.Helper()
	wantCode(t, err, fault.CodeFileExists)
	e := err.(*fault.Error)
	if e.Message != "File with this name already exists in the dataset" || e.Details["file_name"] != name {
		t.Fatalf("got %q with %v, want the detail %q", e.Message, e.Details, name)
	}
}

func repeatTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"a known key replays the first answer": func(t *testing.T, e *env) {
			d := e.create(t)
			first := e.request(d, "a", "b")
			first.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			done, err := e.Append(e.ctx, first)
			if err != nil || done.Replayed {
				t.Fatalf("got %+v, %v", done, err)
			}
			e.append(t, d, "c") // the dataset moves on
			again := first
			again.Schema = columns("other bool") // the key is looked at first
			again.Files = e.files("a", "b")
			replay, err := e.Append(e.ctx, again)
			if err != nil || !replay.Replayed {
				t.Fatalf("got %+v, %v", replay, err)
			}
			wantFiles(t, replay.Files, done.Files)
			if got := e.list(t, d, 10); len(got) != 3 {
				t.Fatalf("listed %v", nameList(got))
			}
		},
		"a key with another request is refused": func(t *testing.T, e *env) {
			d, other := e.create(t), e.create(t)
			a := e.request(d, "a")
			a.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			if _, err := e.Append(e.ctx, a); err != nil {
				t.Fatal(err)
			}
			changed := e.request(d, "b")
			changed.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "g"}
			_, err := e.Append(e.ctx, changed)
			wantCode(t, err, fault.CodeIdempotencyKeyReused)
			changed.Schema = columns("other bool") // the key is looked at first
			_, err = e.Append(e.ctx, changed)
			wantCode(t, err, fault.CodeIdempotencyKeyReused)
			elsewhere := e.request(other, "a")
			elsewhere.Idempotency = a.Idempotency
			_, err = e.Append(e.ctx, elsewhere)
			wantCode(t, err, fault.CodeIdempotencyKeyReused)
			_, err = e.CreateDataset(e.ctx, e.tenant, e.newDataset(), a.Idempotency)
			wantCode(t, err, fault.CodeIdempotencyKeyReused)
		},
		"a refused append leaves its key free": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "a")
			a := e.request(d, "a")
			a.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			_, err := e.Append(e.ctx, a)
			wantTaken(t, err, "a")
			b := e.request(d, "b")
			b.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "g"}
			if _, err := e.Append(e.ctx, b); err != nil {
				t.Fatal(err)
			}
		},
		"a key is forgotten after its window": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.request(d, "a")
			a.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			if _, err := e.Append(e.ctx, a); err != nil {
				t.Fatal(err)
			}
			e.clock.advance(dataset.IdempotencyWindow - time.Minute)
			same := a
			same.Files = e.files("a")
			if done, err := e.Append(e.ctx, same); err != nil || !done.Replayed {
				t.Fatalf("within the window: %+v, %v", done, err)
			}
			e.clock.advance(2 * time.Minute)
			_, err := e.Append(e.ctx, same)
			wantTaken(t, err, "a")
			same.Schema = columns("other bool")
			_, err = e.Append(e.ctx, same)
			wantCode(t, err, fault.CodeSchemaMismatch)
			b := e.request(d, "b")
			b.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "other"}
			done, err := e.Append(e.ctx, b)
			if err != nil || done.Replayed || done.Files[0].Position != 1 {
				t.Fatalf("after the window: %+v, %v", done, err)
			}
			again := b
			again.Files = e.files("b")
			if replay, err := e.Append(e.ctx, again); err != nil || !replay.Replayed {
				t.Fatalf("the key's second life: %+v, %v", replay, err)
			}
		},
		"the same file ids are the same append": func(t *testing.T, e *env) {
			for _, key := range []string{"", "k"} {
				d := e.create(t)
				a := e.request(d, "a", "b")
				if key != "" {
					a.Idempotency = dataset.Idempotency{Key: key, Fingerprint: "f"}
				}
				done, err := e.Append(e.ctx, a)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second time others have appended since
					again, err := e.Append(e.ctx, a)
					if err != nil || again.Replayed {
						t.Fatalf("repeated: %+v, %v", again, err)
					}
					wantFiles(t, again.Files, done.Files)
					e.append(t, d, newName(""))
				}
				if got := e.list(t, d, 10); len(got) != 4 {
					t.Fatalf("listed %v", nameList(got))
				}
			}
		},
		"the same file ids with one more file are another append": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.request(d, "a", "b")
			if _, err := e.Append(e.ctx, a); err != nil {
				t.Fatal(err)
			}
			a.Files = append(e.files("new"), a.Files...)
			_, err := e.Append(e.ctx, a)
			wantTaken(t, err, "a")
		},
		"keys of every kind": func(t *testing.T, e *env) {
			d := e.create(t)
			for i, key := range []string{"#", "a", "A", "a ", "\xff\xfe", "é", "e\u0301", strings.Repeat("k", 3000), strings.Repeat("k", 3001)} {
				a := e.request(d, fmt.Sprint("f", i))
				a.Idempotency = dataset.Idempotency{Key: key, Fingerprint: fmt.Sprint(i)}
				if done, err := e.Append(e.ctx, a); err != nil || done.Replayed {
					t.Fatalf("key %.20q: %+v, %v", key, done, err)
				}
			}
		},
	}
}
