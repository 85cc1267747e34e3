package transfer_test

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/parqueue/parqueue/internal/transfer"
)

// The events that the clients of other languages are tested with are this
// package's: every member that one of them has, and no other but those that the
// daemon adds.
func TestProgressVectors(t *testing.T) {
	content, err := os.ReadFile("../../testdata/vectors/progress.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name   string
		Events []map[string]any
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	kinds := []string{transfer.EventStart, transfer.EventProgress, transfer.EventFile, transfer.EventEnd, "state"}
	for _, v := range vectors {
		for _, want := range v.Events {
			for _, daemons := range []string{"state", "result", "error"} {
				delete(want, daemons)
			}
			text, _ := json.Marshal(want)
			var e transfer.Event
			if err := json.Unmarshal(text, &e); err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			text, _ = json.Marshal(e)
			var got map[string]any
			_ = json.Unmarshal(text, &got)
			if !reflect.DeepEqual(got, want) || !slices.Contains(kinds, e.Type) {
				t.Errorf("%s: an event is\n%v, and not\n%v", v.Name, got, want)
			}
		}
	}
}
