package dataset_test

import (
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

func TestMismatch(t *testing.T) {
	a := schema.Schema{Fields: []schema.Field{{Name: "id", Type: "int64"}, {Name: "name", Type: "string"}}}
	b := schema.Schema{Fields: []schema.Field{{Name: "id", Type: "double"}, {Name: "extra", Type: "bool"}}}
	err := dataset.Mismatch(a, b, "first.parquet")
	if err.Code != fault.CodeSchemaMismatch {
		t.Errorf("the code is %q", err.Code)
	}
	for _, want := range []string{`"first.parquet"`, `"id"`, "double", "int64", `"name"`, `"extra"`} {
		if !strings.Contains(err.Message, want) {
			t.Errorf("the sentence lacks %s: %s", want, err.Message)
		}
	}
	if !strings.Contains(err.Hint, "missing values") {
		t.Errorf("the hint is not about integers that became double: %s", err.Hint)
	}
	if err.Details["schema_file"] != "first.parquet" {
		t.Errorf("the details are %v", err.Details)
	}
	diff, ok := err.Details["diff"].(schema.Difference)
	if !ok || diff.ChangedCount != 1 || diff.MissingCount != 1 || diff.ExtraCount != 1 {
		t.Errorf("the difference is %+v", err.Details["diff"])
	}
}

func TestMismatchAlwaysHints(t *testing.T) {
	a := schema.Schema{Fields: []schema.Field{{Name: "a", Type: "bool"}}}
	b := schema.Schema{Fields: []schema.Field{{Name: "b", Type: "bool"}}}
	if err := dataset.Mismatch(a, b, "f"); !strings.Contains(err.Hint, "another dataset") {
		t.Errorf("the hint is %q", err.Hint)
	}
}
