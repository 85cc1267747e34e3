package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/footer"
	"github.com/parqueue/parqueue/internal/schema"
)

// checkAtOnce bounds the footers that are held at the same time; each may have
// some megabytes.
const checkAtOnce = 4

// headBytes is as much of a file's beginning as it takes to guess what it is when
// it is no Parquet.
const headBytes = 512

// checked is what a footer said.
type checked struct {
	rows    int64
	key     [32]byte
	problem *Problem
}

// checkFooters reads every footer as the server would, and compares the schemas
// with the dataset's, or with the first file's where the dataset has none yet.
// It returns the rows of each file, and everything that is wrong.
func checkFooters(ctx context.Context, files []source, want *schema.Schema) ([]int64, []Problem, error) {
	all := make([]checked, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(checkAtOnce)
	for i := range files {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			all[i], _ = checkFooter(files[i])
			return context.Cause(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	setBy := "the dataset"
	var problems []Problem
	rows := make([]int64, len(files))
	for i, c := range all {
		rows[i] = c.rows
		if c.problem != nil {
			problems = append(problems, *c.problem)
			continue
		}
		if want == nil {
			_, first := checkFooter(files[i])
			want, setBy = &first, files[i].name
		}
		switch {
		case c.key == want.Key():
		case len(problems) < maxProblems:
			_, found := checkFooter(files[i])
			problems = append(problems, mismatch(files[i], *want, found, setBy))
		default:
			problems = append(problems, Problem{Path: files[i].Path, Code: fault.CodeSchemaMismatch}) // counted, not told
		}
	}
	return rows, problems, nil
}

// checkFooter reads one file's footer. The schema is not kept with it: those of a
// hundred thousand files would fill the memory, and most are the same.
func checkFooter(f source) (checked, schema.Schema) {
	info, err := readFooter(f)
	if err != nil {
		p := problemOf(f.Path, err)
		return checked{problem: &p}, schema.Schema{}
	}
	return checked{rows: info.NumRows, key: info.Schema.Key()}, info.Schema
}

func readFooter(f source) (footer.Info, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return footer.Info{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return footer.Info{}, err
	}
	if identify(f.Path, info) != f.identity {
		return footer.Info{}, fault.New(fault.CodeFileChanged, "It changed while the upload was being planned.", "Wait until its writer is done, and upload again.")
	}
	head := make([]byte, min(headBytes, f.Size))
	if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return footer.Info{}, err
	}
	if len(head) >= 4 {
		if err := footer.CheckHead(head); err != nil {
			return footer.Info{}, err
		}
	}
	return footer.Read(file, f.Size)
}

func mismatch(f source, want, found schema.Schema, setBy string) Problem {
	diff := schema.Diff(want, found)
	refusal := dataset.Mismatch(want, found, setBy)
	return Problem{
		Path: f.Path, Code: fault.CodeSchemaMismatch, Diff: &diff, Hint: refusal.Hint,
		Message: fmt.Sprintf("Its schema is not that of %s. %s", setBy, diff),
	}
}

// counted says how many of some files, as "2 of 10 files".
func counted(n, of int) string {
	if of == 1 {
		return "The file"
	}
	if n >= of { // a file may have several problems
		return fmt.Sprintf("All %d files", of)
	}
	return fmt.Sprintf("%d of %d files", n, of)
}
