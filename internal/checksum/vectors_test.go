package checksum_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/parqueue/parqueue/internal/checksum"
)

// The sums are those that the clients of other languages are tested with.
func TestVectors(t *testing.T) {
	content, err := os.ReadFile("../../testdata/vectors/checksums.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name   string
		Parts  []string
		Sums   []string // of each part
		Joined string   `json:"joined"`
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		var whole checksum.Sum
		sums := []string{}
		for _, part := range v.Parts {
			var sum checksum.Sum
			sum.Add([]byte(part))
			sums = append(sums, sum.String())
			whole = checksum.Join(whole, sum)
		}
		if !slices.Equal(sums, v.Sums) || whole.String() != v.Joined {
			t.Errorf("%s: %q, joined %s", v.Name, sums, whole)
		}
	}
}
