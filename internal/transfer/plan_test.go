package transfer_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/natural"
	"github.com/parqueue/parqueue/internal/transfer"
)

// plan plans an upload of paths in the fixture's folder.
func (f *fixture) plan(order string, paths ...string) (*transfer.UploadPlan, error) {
	f.t.Helper()
	for i, path := range paths {
		if !filepath.IsAbs(path) {
			paths[i] = filepath.Join(f.dir, path)
		}
	}
	return f.engine().PlanUpload(f.t.Context(), transfer.UploadRequest{DatasetID: f.dataset, Paths: paths, Order: order})
}

// planned is the names of a plan in order.
func planned(p *transfer.UploadPlan) []string {
	names := []string{}
	for _, f := range p.Files {
		names = append(names, f.Name)
	}
	return names
}

func TestOrders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, name := range []string{"p10.parquet", "p2.parquet", "sub/p1.parquet", "P3.PARQUET"} {
		path := f.write(name, parquet(t, i, 0))
		when := time.Unix(int64(1_700_000_000-i), 0)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	f.write("_SUCCESS", nil)
	f.write(".hidden/x.parquet", nil)
	f.write("notes.txt", nil)
	lines := f.write("order.txt", []byte("\ufeffp2.parquet\r\nP3.PARQUET\np1.parquet\n\np10.parquet"))
	list := f.write("order.json", []byte(`["p1.parquet","p10.parquet","p2.parquet","P3.PARQUET"]`))
	for _, test := range []struct {
		order string
		paths []string
		want  string
	}{
		{"", []string{"."}, "P3.PARQUET p2.parquet p10.parquet p1.parquet"},
		{"name", []string{"p2.parquet", "p10.parquet"}, "p2.parquet p10.parquet"},
		{"mtime", []string{"."}, "P3.PARQUET p1.parquet p2.parquet p10.parquet"},
		{"given", []string{"p10.parquet", "p2.parquet"}, "p10.parquet p2.parquet"},
		{"given", []string{"sub", "p*.parquet"}, "p1.parquet p2.parquet p10.parquet"},
		{lines, []string{"."}, "p2.parquet P3.PARQUET p1.parquet p10.parquet"},
		{list, []string{"."}, "p1.parquet p10.parquet p2.parquet P3.PARQUET"},
	} {
		plan, err := f.plan(test.order, test.paths...)
		if err != nil {
			t.Errorf("%s %q: %v", test.order, test.paths, err)
			continue
		}
		if got := strings.Join(planned(plan), " "); got != test.want {
			t.Errorf("%s %q: %s, want %s", test.order, test.paths, got, test.want)
		}
	}
	for name, text := range map[string]string{
		"twice":   "p1.parquet\np1.parquet\np10.parquet\np2.parquet\nP3.PARQUET",
		"missing": "p1.parquet",
		"unknown": "p1.parquet\np10.parquet\np2.parquet\nP3.PARQUET\np4.parquet",
		"no list": "[1, 2]",
	} {
		if _, err := f.plan(f.write("bad.txt", []byte(text)), "."); !fault.Is(err, fault.CodeInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.plan("size", "."); !fault.Is(err, fault.CodeInvalidRequest) {
		t.Errorf("an order that is none: %v", err)
	}
}

// Any names come in natural order.
func TestNamesAreInNaturalOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	content := parquet(t, 1, 0)
	rapid.Check(t, func(r *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab-]{0,2}[0-9]{1,3}[ab]?`), 2, 8, rapid.ID).Draw(r, "names")
		dir, err := os.MkdirTemp(f.dir, "names")
		if err != nil {
			r.Fatal(err)
		}
		for i := range names {
			names[i] += ".parquet"
			if err := os.WriteFile(filepath.Join(dir, names[i]), content, 0o600); err != nil {
				r.Fatal(err)
			}
		}
		plan, err := f.plan("", dir)
		if err != nil {
			r.Fatal(err)
		}
		if got := planned(plan); len(got) != len(names) || !slices.IsSortedFunc(got, natural.Compare) {
			r.Fatalf("ordered %q", got)
		}
	})
}

// problems are what an error says of files.
func problems(t *testing.T, err error) map[string]transfer.Problem {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("got %v", err)
	}
	all, _ := f.Details["problems"].([]transfer.Problem)
	byName := map[string]transfer.Problem{}
	for _, p := range all {
		byName[filepath.Base(p.Path)] = p
	}
	return byName
}

// Everything that is wrong is told at once, and no byte has moved.
func TestEveryProblemIsToldAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("1.parquet", parquet(t, 1, 0))
	f.write("2.parquet", writer(t, "different", "pyarrow_ts_units.parquet"))
	f.write("3.parquet", parquet(t, 3, 0))
	f.write("4.parquet", writer(t, "different", "pyarrow_int96.parquet"))
	f.write("5.parquet", []byte("no Parquet at all, but text"))
	f.write("6.parquet", parquet(t, 6, 0)[:1000])
	f.write("7.parquet", nil)
	f.write("sub/1.parquet", parquet(t, 8, 0))
	f.write("sub/ 8.parquet", parquet(t, 8, 0))
	if err := os.Symlink(filepath.Join(f.dir, "nowhere"), filepath.Join(f.dir, "9.parquet")); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(f.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := f.plan("", ".", "fifo", "no-such-file", "no-*-match")
	got := problems(t, err)
	for name, want := range map[string]fault.Code{
		"2.parquet": fault.CodeSchemaMismatch, "4.parquet": fault.CodeSchemaMismatch, "5.parquet": fault.CodeNotParquet,
		"6.parquet": fault.CodeTruncatedParquet, "7.parquet": fault.CodeNotParquet, "1.parquet": fault.CodeFileExists,
		" 8.parquet": fault.CodeInvalidFileName, "9.parquet": fault.CodeFileNotFound, "fifo": fault.CodeInvalidRequest,
		"no-such-file": fault.CodeFileNotFound, "no-*-match": fault.CodeFileNotFound,
	} {
		if got[name].Code != want {
			t.Errorf("%s: %+v, want %s", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("also %v", got)
	}
	for u, err := range f.client.Uploads(t.Context(), f.dataset, "") {
		t.Errorf("an upload was created: %+v, %v", u, err)
	}
}

// The dataset's own schema counts when it has one.
func TestSchemaOfTheDatasetCounts(t *testing.T) {
	t.Parallel()
	f := filled(t, 0)
	other := *f
	other.dir = t.TempDir()
	other.write("a.parquet", writer(t, "different", "pyarrow_ts_units.parquet"))
	_, err := other.plan("", ".")
	if got := problems(t, err); got["a.parquet"].Code != fault.CodeSchemaMismatch || got["a.parquet"].Diff.Empty() {
		t.Errorf("got %+v", got)
	}
}

// Loops of links end, and the files are found once.
func TestLoopsOfLinksEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("sub/a.parquet", parquet(t, 1, 0))
	target := f.write("elsewhere/b.parquet", parquet(t, 2, 0))
	for from, to := range map[string]string{
		"sub/up": f.dir, "sub/self": filepath.Join(f.dir, "sub", "self"), "sub/b.parquet": target,
		"sub/round.parquet": filepath.Join(f.dir, "sub", "round.parquet"),
	} {
		if err := os.Symlink(to, filepath.Join(f.dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.plan("", "sub")
	if got := problems(t, err); len(got) != 1 || got["round.parquet"].Code != fault.CodeInvalidRequest {
		t.Errorf("got %+v", got)
	}
	if err := os.Remove(filepath.Join(f.dir, "sub", "round.parquet")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(f.dir, "sub"), link); err != nil {
		t.Fatal(err)
	}
	plan, err := f.plan("", link)
	if err != nil || !slices.Equal(planned(plan), []string{"a.parquet", "b.parquet"}) {
		t.Errorf("%+v, %v", plan, err)
	}
}

// Files that the dataset has are skipped; others of their names are refused, and
// so is an order that can't be had.
func TestPlanComparesWithTheDataset(t *testing.T) {
	t.Parallel()
	f := filled(t, 0, 0)
	f.write("2.parquet", parquet(t, 2, 0))
	plan, err := f.plan("", ".")
	if err != nil || plan.Count != 1 || plan.Files[0].Action != transfer.ActionSkip || *plan.Files[1].Position != 1 || plan.Files[2].Action != transfer.ActionUpload {
		t.Fatalf("%+v, %v", plan, err)
	}
	f.write("1a.parquet", parquet(t, 3, 0))
	if _, err := f.plan("", "."); err != nil {
		t.Errorf("1a comes behind: %v", err)
	}
	f.write("0a.parquet", parquet(t, 3, 0))
	if _, err := f.plan("", "."); !fault.Is(err, fault.CodeConflict) || !strings.Contains(err.Error(), `"0a.parquet" is to come before "1.parquet"`) {
		t.Errorf("0a is to come between: %v", err)
	}
	result, err := f.uploadAs(t.Context(), transfer.UploadRequest{AnyOrder: true}, nil)
	if err != nil || result.Uploaded != 3 || result.Skipped != 2 {
		t.Errorf("%+v, %v", result, err)
	}
	f.write("1.parquet", parquet(t, 9, 0))
	f.write("0.parquet", parquet(t, 9, 100))
	_, err = f.plan("", ".")
	if got := problems(t, err); len(got) != 2 || got["0.parquet"].Code != fault.CodeFileExists || got["1.parquet"].Code != fault.CodeFileExists {
		t.Errorf("got %+v", got)
	}
}
