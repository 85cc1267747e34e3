package ingest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/ingest"
)

var orderKey = key(byName, "_order.json")

func (w *world) putOrder(t testing.TB, names ...string) {
	t.Helper()
	text, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	w.put(orderKey, text)
}

func (w *world) putNamed(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		w.put(key(byName, name), parquet(t, name))
	}
}

func wantNames(t testing.TB, w *world, want ...string) {
	t.Helper()
	if got := w.names(byName); !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
}

func TestFilesWaitForTheirList(t *testing.T) {
	w := newWorld()
	w.putNamed(t, "c", "a", "b", "more")
	wantStates(t, w.worker(-1).ingest(key(byName, "c"), key(byName, "a"), key(byName, "b"), key(byName, "more")), ingest.Waiting)
	wantNames(t, w)
	w.putOrder(t, "b", "missing", "a", "c")
	wantStates(t, w.worker(-1).ingest(orderKey), ingest.Waiting)
	wantNames(t, w, "b")
	if left := string(w.inbox[orderKey].content); left != `["missing","a","c"]` {
		t.Errorf("of the list is left %s", left)
	}
	wantStates(t, w.worker(-1).ingest(key(byName, "a")), ingest.Waiting) // a late notice changes nothing
	w.putNamed(t, "missing")
	wantStates(t, w.worker(-1).ingest(key(byName, "missing")), ingest.Listed)
	wantNames(t, w, "b", "missing", "a", "c")
	if left := w.incoming(); !slices.Equal(left, []string{key(byName, "more")}) {
		t.Errorf("left in the inbox: %q", left)
	}
	w.putOrder(t, "more")
	wantStates(t, w.worker(-1).ingest(orderKey), ingest.Listed)
	wantNames(t, w, "b", "missing", "a", "c", "more")
	if len(w.inbox) > 0 {
		t.Errorf("left in the inbox: %q", w.under(""))
	}
}

func TestAListOfManyRuns(t *testing.T) {
	w := newWorld()
	var names []string
	for n := range 150 {
		names = append(names, fmt.Sprintf("%03d", (n*67)%150))
	}
	w.putNamed(t, names...)
	w.putOrder(t, names...)
	for steps := 50; len(w.inbox) > 0; steps += 50 { // a crash every now and then
		w.worker(steps).ingest(orderKey)
		if got := w.names(byName); !slices.Equal(got, names[:len(got)]) {
			t.Fatalf("listed %q", got)
		}
	}
	wantNames(t, w, names...)
}

func TestARefusedFileStopsItsList(t *testing.T) {
	for name, bad := range map[string][]byte{"no Parquet": []byte("no Parquet"), "another schema": otherParquet(t, "")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.putNamed(t, "a", "b", "d")
			w.put(key(byName, "c"), bad)
			w.putOrder(t, "a", "b", "c", "d")
			got := w.worker(-1).ingest(orderKey, key(byName, "c"), key(byName, "d"))
			wantStates(t, got, ingest.Rejected, ingest.Rejected, ingest.Waiting)
			wantNames(t, w, "a", "b")
			reason := w.reasonAt(t, "rejected/dataset-2/_order.json")
			if reason["code"] != string(fault.CodeOrderStopped) || reason["refused_file"] != "c" || reason["names_left"] != 2.0 {
				t.Errorf("the list was rejected for %v", reason)
			}
			w.reasonAt(t, "rejected/dataset-2/c")
			w.putNamed(t, "c")
			wantStates(t, w.worker(-1).ingest(key(byName, "c")), ingest.Waiting)
			wantNames(t, w, "a", "b")
			w.put(orderKey, w.inbox["rejected/dataset-2/_order.json"].content) // as a retry does
			wantStates(t, w.worker(-1).ingest(orderKey), ingest.Listed)
			wantNames(t, w, "a", "b", "c", "d")
		})
	}
}

func TestListsThatAreNone(t *testing.T) {
	many := make([]string, ingest.MaxOrderNames+1)
	for n := range many {
		many[n] = fmt.Sprint(n)
	}
	tooMany, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"no JSON": "a\nb", "null": "null", "an object": `{"names":["a"]}`, "numbers": `[1]`, "two": `["a"]["b"]`, "open": `["a"`, "empty": "",
		"twice": `["a","a"]`, "a path": `["../a"]`, "itself": `["_order.json"]`, "deep": strings.Repeat("[", 1<<19),
		"too many": string(tooMany), "too large": `["a"` + strings.Repeat(" ", ingest.MaxOrderBytes) + `]`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.putNamed(t, "a")
			w.put(orderKey, []byte(text))
			got := w.worker(-1).ingest(orderKey)
			wantStates(t, got, ingest.Rejected)
			if !fault.Is(got[0].Err, fault.CodeInvalidOrder) {
				t.Errorf("rejected for %v", got[0].Err)
			}
			if left := w.incoming(); !slices.Equal(left, []string{key(byName, "a")}) {
				t.Errorf("left in the inbox: %q", left)
			}
		})
	}
	w := newWorld()
	w.put(orderKey, []byte(" [] \n"))
	wantStates(t, w.worker(-1).ingest(orderKey), ingest.Listed)
	if len(w.inbox) > 0 {
		t.Error("an empty list stays")
	}
}

// What a list names and the dataset has is done, whoever put it there.
func TestAListPassesOverWhatIsThere(t *testing.T) {
	w := newWorld()
	w.putNamed(t, "b")
	w.putOrder(t, "b")
	w.worker(-1).ingest(orderKey)
	w.putNamed(t, "a", "b") // b again, the same
	w.putOrder(t, "a", "b")
	wantStates(t, w.worker(-1).ingest(orderKey), ingest.Listed)
	wantNames(t, w, "b", "a")
	if len(w.inbox) > 0 {
		t.Errorf("left in the inbox: %q", w.under(""))
	}
}

func TestANameThatNoListCanHaveIsRejected(t *testing.T) {
	w := newWorld()
	w.putNamed(t, "a ", "b")
	wantStates(t, w.worker(-1).ingest(key(byName, "a "), key(byName, "b")), ingest.Rejected, ingest.Waiting)
}

// What waited for a list is taken by the next look through the inbox when the
// dataset ingests by name no more.
func TestWhatWaitsIsTakenWhenTheOrderChanges(t *testing.T) {
	w := newWorld()
	w.putNamed(t, "b", "a")
	w.putOrder(t, "missing", "a", "b")
	wantStates(t, w.worker(-1).ingest(orderKey, key(byName, "a"), key(byName, "b")), ingest.Waiting)
	w.sets[byName].d.IngestOrder = ""
	if done, err := w.worker(-1).ingester().Rescan(t.Context(), 0, 0); err != nil || done[ingest.Listed] != 2 || done[ingest.Rejected] != 1 {
		t.Errorf("%v, %v", done, err)
	}
	wantNames(t, w, "b", "a")
	if reason := w.reasonAt(t, "rejected/dataset-2/_order.json"); reason["code"] != string(fault.CodeInvalidOrder) {
		t.Errorf("the list was rejected for %v", reason)
	}
}
