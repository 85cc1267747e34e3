package catalogtest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func nameTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"names of every kind are told apart": func(t *testing.T, e *env) {
			d := e.create(t)
			names := []string{
				"a", "A", "a.parquet", "é", "e\u0301", "ß", "SS", "ﬁ", "fi", "日本語", "\U0001F4E6", "\U0001F4E6\u200d", "%", "%20", "%00", "#", "#head", "#schema",
				"F#0000000000000000000", "N#a", "'", "\"", "';--", "*", "?", "a?b=c&d", "~", "$x", "{}", "a b", "\\", "/", "\u202e", "\x01", "\t", "\x7f", "-1", "0", "00",
				"null", strings.Repeat("x", 255), strings.Repeat("x", 254), strings.Repeat("é", 127), "\U0010FFFF", "\uFFFD",
			}
			want := make([]dataset.File, 0, len(names))
			for _, n := range names {
				want = append(want, e.append(t, d, n)...)
			}
			for i, n := range names {
				got, err := e.File(e.ctx, e.tenant, d.ID, n)
				if err != nil || got != want[i] {
					t.Fatalf("%q is %+v (%v), want %+v", n, got, err, want[i])
				}
				_, err = e.Append(e.ctx, e.request(d, n))
				wantTaken(t, err, n)
			}
			wantFiles(t, e.list(t, d, 7), want)
			for i := len(names) - 1; i >= 0; i-- {
				if got := e.delete(t, d, names[i]); got != want[i] {
					t.Fatalf("deleted %+v, want %+v", got, want[i])
				}
				wantFiles(t, e.list(t, d, 1000), want[:i])
			}
		},
		"names that cannot be": func(t *testing.T, e *env) {
			d := e.create(t)
			for _, n := range []string{"", "\xff", "a\xc3", strings.Repeat("x", 256), strings.Repeat("x", 5000)} {
				_, err := e.Append(e.ctx, e.request(d, n))
				wantCode(t, err, fault.CodeInvalidFileName)
				_, err = e.File(e.ctx, e.tenant, d.ID, n)
				wantCode(t, err, fault.CodeFileNotFound)
				_, err = e.DeleteFile(e.ctx, e.deletion(d, n))
				wantCode(t, err, fault.CodeFileNotFound)
			}
		},
	}
}

func fileTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"a file that is not there": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "a")
			_, err := e.File(e.ctx, e.tenant, d.ID, "b")
			wantCode(t, err, fault.CodeFileNotFound)
			if message := err.(*fault.Error).Message; message != "File not found in dataset" {
				t.Fatalf("it says %q", message)
			}
		},
		"a file's fields keep their extremes": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.request(d, "a")
			a.Files[0].SizeBytes, a.Files[0].RowCount = math.MaxInt64, math.MaxInt64
			a.Files[0].ObjectKey = strings.Repeat("k", 1024)
			done, err := e.Append(e.ctx, a)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.File(e.ctx, e.tenant, d.ID, "a")
			if err != nil || got != done.Files[0] || got.SizeBytes != math.MaxInt64 {
				t.Fatalf("got %+v, %v", got, err)
			}
		},
		"pages of files": func(t *testing.T, e *env) {
			d := e.create(t)
			if page, err := e.Files(e.ctx, e.tenant, d.ID, 0, 10); err != nil || len(page.Files) != 0 || page.More || page.Dataset.ID != d.ID {
				t.Fatalf("the empty dataset: %+v, %v", page, err)
			}
			var want []dataset.File
			for i := range 10 {
				want = append(want, e.append(t, d, fmt.Sprint("f", i))...)
			}
			for from := int64(-2); from < 13; from++ {
				for limit := 1; limit < 13; limit++ {
					first := min(max(from, 0), 10)
					last := min(first+int64(limit), 10)
					page, err := e.Files(e.ctx, e.tenant, d.ID, from, limit)
					if err != nil || page.More != (last < 10) || page.Dataset.FileCount != 10 {
						t.Fatalf("from %d, %d files: %+v, %v", from, limit, page, err)
					}
					wantFiles(t, page.Files, want[first:last])
				}
			}
			for _, from := range []int64{math.MinInt64, math.MaxInt64} {
				if page, err := e.Files(e.ctx, e.tenant, d.ID, from, math.MaxInt32); err != nil || page.More || len(page.Files)%10 != 0 {
					t.Fatalf("from %d: %d files, %v", from, len(page.Files), err)
				}
			}
		},
		"a page larger than any one answer of the store": func(t *testing.T, e *env) {
			d := e.create(t)
			const batches = 53 // of 32 files of 1.5 KB: 2.5 MB
			for b := range batches {
				names := make([]string, dataset.MaxAppend)
				for i := range names {
					names[i] = fmt.Sprintf("%s%04d", strings.Repeat("n", 250), b*dataset.MaxAppend+i)
				}
				a := e.request(d, names...)
				for i := range a.Files {
					a.Files[i].ObjectKey += strings.Repeat("k", 900)
				}
				if _, err := e.Append(e.ctx, a); err != nil {
					t.Fatal(err)
				}
			}
			for _, limit := range []int{batches * dataset.MaxAppend, 1500} {
				got := e.list(t, d, limit)
				if len(got) != batches*dataset.MaxAppend {
					t.Fatalf("listed %d", len(got))
				}
				for i, f := range got {
					if f.Position != int64(i) {
						t.Fatalf("position %d at place %d", f.Position, i)
					}
				}
			}
			page, err := e.Files(e.ctx, e.tenant, d.ID, 100, 1400)
			if err != nil || len(page.Files) != 1400 || !page.More {
				t.Fatalf("%d files, more %v, %v", len(page.Files), page.More, err)
			}
		},
	}
}
