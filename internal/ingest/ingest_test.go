package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/ingest"
)

func key(datasetID, name string) string { return "incoming/" + datasetID + "/" + name }

// wantStates checks the states of outcomes.
func wantStates(t testing.TB, got []ingest.Outcome, want ...ingest.State) {
	t.Helper()
	for n, o := range got {
		if o.State != want[min(n, len(want)-1)] {
			t.Errorf("outcome %d is %s (%v), want %s", n, o.State, o.Err, want[min(n, len(want)-1)])
		}
	}
}

// reasonAt reads the reason beside a rejected object.
func (w *world) reasonAt(t testing.TB, key string) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(w.inbox[key+".error.json"].content, &body); err != nil {
		t.Fatalf("the reason beside %s: %v", key, err)
	}
	return body
}

func TestFilesOfADatasetAreAppendedInOneStep(t *testing.T) {
	w := newWorld()
	var keys []string
	for n := range 40 {
		k := key(arriving, fmt.Sprintf("%02d.parquet", (n*7)%40))
		w.put(k, parquet(t, k))
		keys = append(keys, k)
	}
	w.put(key(arriving, "bad"), []byte("no Parquet"))
	first := slices.Clone(keys)
	slices.Sort(keys) // the notices come in another order than the puts
	wantStates(t, w.worker(-1).ingest(append(keys, key(arriving, "bad"))...), append(slices.Repeat([]ingest.State{ingest.Listed}, 40), ingest.Rejected)...)
	for n, name := range w.names(arriving) {
		if !strings.HasSuffix(first[n], name) {
			t.Fatalf("position %d has %s, put as number %d was %s", n, name, n, first[n])
		}
	}
	if left := w.incoming(); len(left) > 0 {
		t.Errorf("left in the inbox: %q", left)
	}
	wantStates(t, w.worker(-1).ingest(append(keys, key(arriving, "bad"))...), ingest.Gone)
	if len(w.names(arriving)) != 40 {
		t.Errorf("%d files", len(w.names(arriving)))
	}
}

func TestRejections(t *testing.T) {
	long := strings.Repeat("n", 230)
	for name, test := range map[string]struct {
		key     string
		content []byte
		to      string
		code    fault.Code
	}{
		"unknown dataset":         {key("dataset-9", "a.parquet"), parquet(t, ""), "rejected/dataset-9/a.parquet", fault.CodeDatasetNotFound},
		"another tenant's":        {key(foreign, "a.parquet"), parquet(t, ""), "rejected/dataset-3/a.parquet", fault.CodeDatasetNotFound},
		"no dataset":              {"incoming/a.parquet", parquet(t, ""), "rejected/_/", fault.CodeMisplaced},
		"a folder too deep":       {key(arriving, "x/a.parquet"), parquet(t, ""), "rejected/_/", fault.CodeMisplaced},
		"a folder with content":   {key(arriving, ""), []byte("x"), "rejected/_/", fault.CodeMisplaced},
		"a name that could be up": {key(arriving, ".."), parquet(t, ""), "rejected/dataset-1/", fault.CodeInvalidFileName},
		"a name that is invisible": {key(arriving, "a\u202eb"), parquet(t, ""), "rejected/dataset-1/",
			fault.CodeInvalidFileName},
		"a long name":       {key(arriving, long), []byte("x"), "rejected/dataset-1/", fault.CodeNotParquet},
		"no Parquet":        {key(arriving, "a"), []byte("hello, I am text"), "rejected/dataset-1/a", fault.CodeNotParquet},
		"empty":             {key(arriving, "a"), nil, "rejected/dataset-1/a", fault.CodeNotParquet},
		"cut off":           {key(arriving, "a"), parquet(t, "")[:200], "rejected/dataset-1/a", fault.CodeTruncatedParquet},
		"hostile":           {key(arriving, "a"), []byte("PAR1\x15\x00\x19\xfc\xff\xff\xff\x0f\x08\x00\x00\x00PAR1"), "rejected/dataset-1/a", fault.CodeInvalidParquet},
		"another schema":    {key(arriving, "a"), otherParquet(t, ""), "rejected/dataset-1/a", fault.CodeSchemaMismatch},
		"the name is taken": {key(arriving, "first"), parquet(t, "other"), "rejected/dataset-1/first", fault.CodeFileExists},
		"a list for nobody": {key(arriving, "_order.json"), []byte(`["a"]`), "rejected/dataset-1/_order.json", fault.CodeInvalidOrder},
		"called as a reason": {key(arriving, "a.error.json"), []byte(`{}`), "rejected/dataset-1/a.error.json.",
			fault.CodeNotParquet},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.put(key(arriving, "first"), parquet(t, ""))
			w.worker(-1).ingest(key(arriving, "first"))
			w.put(test.key, test.content)
			got := w.worker(-1).ingest(test.key)
			wantStates(t, got, ingest.Rejected)
			if !fault.Is(got[0].Err, test.code) {
				t.Errorf("rejected for %v", got[0].Err)
			}
			rejected := w.under("rejected/")
			if len(rejected) != 2 || !strings.HasPrefix(rejected[0], test.to) || rejected[1] != rejected[0]+".error.json" {
				t.Fatalf("rejected/ has %q", rejected)
			}
			if string(w.inbox[rejected[0]].content) != string(test.content) {
				t.Error("the content is another one")
			}
			reason := w.reasonAt(t, rejected[0])
			if reason["code"] != string(test.code) || reason["error"] == "" || reason["hint"] == "" || reason["object_key"] != test.key ||
				reason["size_bytes"] != float64(len(test.content)) {
				t.Errorf("the reason is %v", reason)
			}
			if left := w.incoming(); len(left) > 0 || len(w.names(arriving)) != 1 {
				t.Errorf("left in the inbox: %q", left)
			}
		})
	}
}

func TestTwoRejectedObjectsOfOneNameAreBothKept(t *testing.T) {
	w := newWorld()
	for _, content := range []string{"one", "two", "three"} {
		w.put(key(arriving, "a"), []byte(content))
		wantStates(t, w.worker(-1).ingest(key(arriving, "a")), ingest.Rejected)
	}
	var contents []string
	for _, k := range w.under("rejected/") {
		if !strings.HasSuffix(k, ".error.json") {
			contents = append(contents, string(w.inbox[k].content))
			w.reasonAt(t, k)
		}
	}
	if slices.Sort(contents); !slices.Equal(contents, []string{"one", "three", "two"}) {
		t.Errorf("kept %q", contents)
	}
}

func TestTheSameFileAgainIsDone(t *testing.T) {
	w := newWorld()
	for _, mark := range []string{"even", "odd"} { // with and without a checksum of the store
		k := key(arriving, mark)
		for range 2 {
			w.put(k, parquet(t, mark))
			wantStates(t, w.worker(-1).ingest(k), ingest.Listed)
		}
	}
	if got := w.names(arriving); !slices.Equal(got, []string{"even", "odd"}) || len(w.inbox) > 0 {
		t.Errorf("listed %q, in the inbox %q", got, w.under(""))
	}
}

func TestNoticesOfNothing(t *testing.T) {
	w := newWorld()
	w.put(key(arriving, ""), nil)
	w.put("rejected/dataset-1/a", []byte("x"))
	w.put("elsewhere", []byte("x"))
	wantStates(t, w.worker(-1).ingest(key(arriving, "a"), key(arriving, ""), "rejected/dataset-1/a", "elsewhere", ""), ingest.Gone)
	if len(w.inbox) != 3 {
		t.Errorf("in the inbox is %q", w.under(""))
	}
	got := w.worker(-1).ingester().Ingest(t.Context(), []ingest.Notice{{Bucket: "another", Key: key(arriving, "")}})
	wantStates(t, got, ingest.Failed)
}

func TestATransientErrorRejectsNothing(t *testing.T) {
	for steps := range 12 {
		w := newWorld()
		w.put(key(arriving, "a"), parquet(t, ""))
		w.put(key("dataset-9", "a"), parquet(t, ""))
		got := w.worker(steps).ingest(key(arriving, "a"))
		if got[0].State != ingest.Failed && got[0].State != ingest.Listed {
			t.Errorf("after %d steps: %+v", steps, got[0])
		}
		if got := w.under("rejected/"); len(got) > 0 {
			t.Errorf("after %d steps, rejected: %q", steps, got)
		}
	}
}

func TestRescan(t *testing.T) {
	w := newWorld()
	for n := range 1100 {
		w.put(key(arriving, fmt.Sprintf("%04d", n)), parquet(t, fmt.Sprint(n)))
	}
	w.put(key(byName, "waits"), parquet(t, ""))
	done, err := w.worker(-1).ingester().Rescan(t.Context(), 0, 0)
	if err != nil || done[ingest.Listed] != 1100 || done[ingest.Waiting] != 1 || len(w.incoming()) != 1 {
		t.Fatalf("%v, %v", done, err)
	}
	w.put(key(arriving, "new"), parquet(t, "new"))
	if done, err := w.worker(-1).ingester().Rescan(t.Context(), 1e9, 0); err != nil || done[ingest.Listed] != 0 {
		t.Fatalf("too early: %v, %v", done, err)
	}
}

// The sweeper gives up a copy that nobody appended for hours. The put gets there
// all the same.
func TestClaimedCopiesAreMadeAgain(t *testing.T) {
	w := newWorld()
	k := key(arriving, "a")
	w.put(k, parquet(t, ""))
	for range 3 {
		for steps := 1; len(w.objects) == 0; steps++ {
			w.worker(steps).ingest(k)
		}
		w.claimCopies()
	}
	wantStates(t, w.worker(-1).ingest(k), ingest.Listed)
	if len(w.claimed) < 1 || len(w.names(arriving)) != 1 || len(w.incoming()) > 0 {
		t.Errorf("claimed %d, listed %q, left %q", len(w.claimed), w.names(arriving), w.incoming())
	}
	for _, f := range w.sets[arriving].files {
		if len(w.objects[f.ObjectKey]) != int(f.SizeBytes) {
			t.Error("the listed file's bytes are not there")
		}
	}
}

// An object that is replaced at any step is taken up as it is then, even if no
// notice of it ever comes.
func TestAnObjectThatIsReplacedMeanwhile(t *testing.T) {
	k := key(arriving, "a")
	for step := 0; ; step++ {
		h := newHistory()
		h.put(k, parquet(t, "1"))
		w := h.worker(-1)
		done := true
		w.hooks = map[int]func(){step: func() {
			if _, there := h.inbox[k]; there {
				h.put(k, parquet(t, "22"))
				done = false
			}
		}}
		w.ingest(k)
		if done {
			break // the object had gone by then
		}
		h.check(t)
		if t.Failed() {
			t.Fatalf("replaced before step %d", step)
		}
	}
}

// A file that was deleted stays so when a notice of its put comes late, and comes
// back with another put of the same bytes.
func TestADeletedFileStaysDeleted(t *testing.T) {
	k := key(arriving, "a")
	for steps := 1; ; steps++ {
		w := newWorld()
		w.put(k, parquet(t, ""))
		w.worker(steps).ingest(k)
		if len(w.names(arriving)) == 0 {
			continue
		}
		if len(w.incoming()) == 0 {
			break // it did not crash before the object was removed
		}
		w.deleteFile(arriving)
		wantStates(t, w.worker(-1).ingest(k), ingest.Listed)
		if len(w.names(arriving)) > 0 || len(w.incoming()) > 0 {
			t.Fatalf("after %d steps: listed %q, left %q", steps, w.names(arriving), w.incoming())
		}
		w.put(k, parquet(t, ""))
		wantStates(t, w.worker(-1).ingest(k), ingest.Listed)
		if len(w.names(arriving)) != 1 {
			t.Fatalf("after %d steps: listed %q", steps, w.names(arriving))
		}
	}
}

// Two files of which no checksum is known are not taken for the same.
func TestNoChecksumIsNoProofOfTheSameBytes(t *testing.T) {
	w := newWorld()
	first, second := parquet(t, "1"), parquet(t, "2")
	if len(first)%2 == 0 { // the store has a checksum of such
		first, second = parquet(t, "11"), parquet(t, "22")
	}
	w.put(key(arriving, "a"), first)
	wantStates(t, w.worker(-1).ingest(key(arriving, "a")), ingest.Listed)
	w.sets[arriving].files[0].CRC64NVME = "" // of a catalog that was made otherwise
	w.put(key(arriving, "a"), second)
	wantStates(t, w.worker(-1).ingest(key(arriving, "a")), ingest.Rejected)
}

// refusing is a worker of which one step, and those after it as many as told, are
// answered with an error.
func (w *world) refusing(step, steps int, err error) *worker {
	r := w.worker(-1)
	r.refuses = func(n int) error {
		if n >= step && n < step+steps {
			return err
		}
		return nil
	}
	return r
}

// Only a verdict about the file rejects it. Whatever a store or a catalog answers of
// itself, at any step, once or from then on, the same notice succeeds later.
func TestNoErrorOfAStoreRejectsAFile(t *testing.T) {
	errs := map[string]error{
		"forbidden":   fault.Internal("asking", errors.New("403 AccessDenied: not authorized to perform kms:Decrypt")),
		"unavailable": fault.New(fault.CodeUnavailable, "overloaded", ""),
		"full":        fault.New(fault.CodeStorageFull, "full", ""),
		"conflict":    fault.New(fault.CodeConflict, "at the same time", ""),
		"cut off":     io.ErrUnexpectedEOF,
		"no time":     context.DeadlineExceeded,
	}
	for name, why := range errs {
		for _, steps := range []int{1, 1000} {
			for step := range 20 {
				for _, id := range []string{arriving, byName} {
					w := newWorld()
					k := key(id, "a")
					w.put(k, parquet(t, ""))
					if id == byName {
						w.putOrder(t, "a")
					}
					got := w.refusing(step, steps, why).ingest(k)
					if got[0].State == ingest.Rejected || len(w.under("rejected/")) > 0 {
						t.Fatalf("%s, %d times from step %d of %s: %+v; %q", name, steps, step, id, got[0], w.under(""))
					}
					w.worker(-1).ingest(k)
					if left := w.incoming(); len(left) > 0 || len(w.names(id)) != 1 {
						t.Fatalf("%s, %d times from step %d of %s: %q is left and %q is listed", name, steps, step, id, left, w.names(id))
					}
				}
			}
		}
	}
}
