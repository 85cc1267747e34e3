package natural_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/parqueue/parqueue/internal/natural"
)

// The order is the one that the clients of other languages are tested with.
func TestVectors(t *testing.T) {
	const path = "../../testdata/vectors/order.json"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Names, Paths []string
		NamesInOrder []string `json:"names_in_order"`
		PathsInOrder []string `json:"paths_in_order"`
	}
	if err := json.Unmarshal(content, &v); err != nil {
		t.Fatal(err)
	}
	names, paths := slices.Clone(v.Names), slices.Clone(v.Paths)
	slices.SortFunc(names, natural.Compare)
	slices.SortFunc(paths, natural.ComparePaths)
	if !slices.Equal(names, v.NamesInOrder) || !slices.Equal(paths, v.PathsInOrder) {
		t.Errorf("%s: ordered %q and %q", path, names, paths)
	}
}
