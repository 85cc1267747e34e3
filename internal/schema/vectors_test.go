package schema_test

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/parqueue/parqueue/internal/schema"
)

// The differences and their sentences are those that the clients of other
// languages are tested with.
func TestVectors(t *testing.T) {
	content, err := os.ReadFile("../../testdata/vectors/schema_diffs.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name            string
		Expected, Found schema.Schema
		Diff            schema.Difference
		Sentence        string
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		if d := schema.Diff(v.Expected, v.Found); !reflect.DeepEqual(d, v.Diff) || d.String() != v.Sentence {
			text, _ := json.Marshal(d)
			t.Errorf("%s: %s\n%s", v.Name, text, d)
		}
	}
}
