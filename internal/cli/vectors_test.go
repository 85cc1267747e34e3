package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
	"github.com/parqueue/parqueue/internal/transfer"
)

// Schema differences look like those of the clients of other languages, which
// leave out the column with the file.
func TestDiffVectors(t *testing.T) {
	content, err := os.ReadFile("../../testdata/vectors/schema_diffs.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name  string
		Diff  schema.Difference
		Table []string
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		if v.Diff.Empty() {
			if len(v.Table) > 0 {
				t.Errorf("%s: a table of nothing", v.Name)
			}
			continue
		}
		var b bytes.Buffer
		problem := transfer.Problem{Path: "file", Code: fault.CodeSchemaMismatch, Diff: &v.Diff}
		printProblems(&b, fault.New(fault.CodeSchemaMismatch, "", "").With("problems", []transfer.Problem{problem}))
		var got []string
		for line := range strings.Lines(strings.Trim(b.String(), "\n")) {
			got = append(got, strings.TrimRight(line[len("FILE  "):], " \n"))
		}
		if !slices.Equal(got, v.Table) {
			t.Errorf("%s:\n%s\nis shown as\n%s", v.Name, strings.Join(v.Table, "\n"), b.String())
		}
	}
}
