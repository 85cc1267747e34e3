package ingest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/keys"
)

var owner = keys.Principal{Tenant: tenant, Scopes: []keys.Scope{keys.ScopeWrite}}

func (w *world) rejections() *ingest.Rejections { return ingest.NewRejections(tenant, w.worker(-1)) }

// rejected is a world with some rejections.
func rejected(t testing.TB) *world {
	t.Helper()
	w := newWorld()
	for _, k := range []string{key(arriving, "a"), key(arriving, "b"), key(byName, "c "), key("dataset-9", "d"), "incoming/e"} {
		w.put(k, []byte("no Parquet"))
		wantStates(t, w.worker(-1).ingest(k), ingest.Rejected)
	}
	return w
}

func TestListRejections(t *testing.T) {
	w := rejected(t)
	all := []string{"incoming/e", key(arriving, "a"), key(arriving, "b"), key(byName, "c "), key("dataset-9", "d")}
	for limit := 1; limit < 7; limit++ {
		var found []string
		for after, more := "", true; more; more = after != "" {
			page, err := w.rejections().List(t.Context(), owner, "", after, limit)
			if err != nil || len(page.Rejections) > limit {
				t.Fatalf("%+v, %v", page, err)
			}
			for _, r := range page.Rejections {
				found = append(found, r.ObjectKey)
				if r.Error["code"] == "" || r.Error["error"] == "" || r.SizeBytes != 10 || r.RejectedAt.IsZero() {
					t.Errorf("%+v", r)
				}
			}
			after = page.Next
		}
		if slices.Sort(found); !slices.Equal(found, slices.Sorted(slices.Values(all))) {
			t.Errorf("in pages of %d: %q", limit, found)
		}
	}
	limited := owner
	limited.Datasets = []string{byName, arriving}
	stranger := owner
	stranger.Tenant = "other"
	for name, test := range map[string]struct {
		who       keys.Principal
		datasetID string
		count     int
		code      fault.Code
	}{
		"one dataset":             {owner, arriving, 2, ""},
		"a dataset without any":   {owner, "dataset-7", 0, ""},
		"a limited key":           {limited, "", 3, ""},
		"and of one of its own":   {limited, byName, 1, ""},
		"and of another":          {limited, "dataset-9", 0, fault.CodeDatasetNotFound},
		"no dataset's id":         {owner, "..", 0, fault.CodeDatasetNotFound},
		"another tenant":          {stranger, "", 0, ""},
		"another, of one of ours": {stranger, arriving, 0, ""},
		"a key without scopes":    {keys.Principal{Tenant: tenant}, "", 0, fault.CodeForbidden},
	} {
		page, err := w.rejections().List(t.Context(), test.who, test.datasetID, "", 10)
		if fault.CodeOf(err) != test.code || len(page.Rejections) != test.count {
			t.Errorf("%s: %+v, %v", name, page, err)
		}
	}
}

func TestRetryARejection(t *testing.T) {
	w := rejected(t)
	if _, err := w.rejections().Retry(t.Context(), owner, arriving+"/a"); err != nil {
		t.Fatal(err)
	}
	if left := w.incoming(); !slices.Equal(left, []string{key(arriving, "a")}) {
		t.Fatalf("in the inbox is %q", left)
	}
	if _, ok := w.inbox["rejected/dataset-1/a.error.json"]; ok {
		t.Error("the reason is still there")
	}
	w.worker(-1).ingest(key(arriving, "a")) // refused again
	w.put(key(arriving, "a"), parquet(t, ""))
	if _, err := w.rejections().Retry(t.Context(), owner, arriving+"/a"); !fault.Is(err, fault.CodeFileExists) {
		t.Errorf("with another object in its place: %v", err)
	}
	wantStates(t, w.worker(-1).ingest(key(arriving, "a")), ingest.Listed)
	w.sets["dataset-9"] = &set{}
	w.sets["dataset-9"].d.ID = "dataset-9"
	w.inbox["rejected/dataset-9/d"] = stored{parquet(t, ""), w.now}
	if _, err := w.rejections().Retry(t.Context(), owner, "dataset-9/d"); err != nil {
		t.Fatal(err)
	}
	wantStates(t, w.worker(-1).ingest(key("dataset-9", "d")), ingest.Listed)
}

func TestDeleteARejection(t *testing.T) {
	w := rejected(t)
	if _, err := w.rejections().Delete(t.Context(), owner, arriving+"/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rejections().Delete(t.Context(), owner, arriving+"/b"); !fault.Is(err, fault.CodeRejectionNotFound) {
		t.Errorf("again: %v", err)
	}
	if under := w.under("rejected/dataset-1/"); !slices.Equal(under, []string{"rejected/dataset-1/a", "rejected/dataset-1/a.error.json"}) {
		t.Errorf("left: %q", under)
	}
}

func TestRejectionsThatAKeyDoesNotReach(t *testing.T) {
	w := rejected(t)
	limited, stranger, reader := owner, owner, owner
	limited.Datasets, stranger.Tenant, reader.Scopes = []string{byName}, "other", []keys.Scope{keys.ScopeRead}
	before := fmt.Sprint(w.under(""))
	for _, test := range []struct {
		who  keys.Principal
		id   string
		code fault.Code
	}{
		{limited, arriving + "/a", fault.CodeRejectionNotFound},
		{limited, strings.TrimPrefix(w.under("rejected/_/")[0], "rejected/"), fault.CodeRejectionNotFound},
		{stranger, arriving + "/a", fault.CodeRejectionNotFound},
		{reader, arriving + "/a", fault.CodeForbidden},
		{owner, "", fault.CodeRejectionNotFound},
		{owner, "a", fault.CodeRejectionNotFound},
		{owner, arriving + "/", fault.CodeRejectionNotFound},
		{owner, arriving + "/..", fault.CodeRejectionNotFound},
		{owner, "../incoming/a", fault.CodeRejectionNotFound},
		{owner, arriving + "/a.error.json", fault.CodeRejectionNotFound},
		{owner, arriving + "/" + strings.Repeat("x", 2000), fault.CodeRejectionNotFound},
		{owner, arriving + "/\xff", fault.CodeRejectionNotFound},
	} {
		if _, err := w.rejections().Retry(t.Context(), test.who, test.id); !fault.Is(err, test.code) {
			t.Errorf("retrying %q: %v", test.id, err)
		}
		if _, err := w.rejections().Delete(t.Context(), test.who, test.id); !fault.Is(err, test.code) {
			t.Errorf("deleting %q: %v", test.id, err)
		}
	}
	if after := fmt.Sprint(w.under("")); after != before {
		t.Errorf("there was %s, and is %s", before, after)
	}
}

// Whatever is put under its name while an object is put back is ingested, or in
// the way; it is never covered.
func TestARetryCoversNothingThatIsPutMeanwhile(t *testing.T) {
	for step, fired := 0, true; fired; step++ {
		w, worker := rejected(t), (*worker)(nil)
		worker = w.worker(-1)
		fresh := parquet(t, "fresh")
		fired = false
		worker.hooks = map[int]func(){step: func() { fired = true; w.put(key(arriving, "a"), fresh) }}
		_, err := ingest.NewRejections(tenant, worker).Retry(t.Context(), owner, arriving+"/a")
		if err != nil && !fault.Is(err, fault.CodeFileExists) {
			t.Errorf("put before step %d: %v", step, err)
		}
		_, kept := w.inbox["rejected/dataset-1/a"]
		if fired && string(w.inbox[key(arriving, "a")].content) != string(fresh) || err != nil && !kept {
			t.Errorf("put before step %d, and then %v: in the inbox is %q", step, err, w.under(""))
		}
	}
}

// However the steps of one who rejects and one who has it tried again are mixed,
// nothing is lost, and what is rejected has its reason beside it.
func TestRejectingAndRetryingAtOnce(t *testing.T) {
	k := key(arriving, "a")
	for name, meanwhile := range map[string]func(*world){
		"another one is faster": func(w *world) {
			w.worker(-1).ingest(k)
			for range 2 { // somebody is impatient
				_, _ = w.rejections().Retry(t.Context(), owner, arriving+"/a")
			}
		},
		"a retry of what is just being rejected": func(w *world) {
			_, _ = w.rejections().Retry(t.Context(), owner, arriving+"/a")
		},
	} {
		for step, fired := 0, true; fired; step++ {
			w := newWorld()
			w.put(k, []byte("no Parquet"))
			slow := w.worker(-1)
			fired = false
			slow.hooks = map[int]func(){step: func() { fired = true; meanwhile(w) }}
			slow.ingest(k)
			for range 3 {
				w.worker(-1).ingest(k)
			}
			page, err := w.rejections().List(t.Context(), owner, "", "", 10)
			if err != nil || len(page.Rejections) == 0 {
				t.Errorf("%s, before step %d: lost: %v; in the inbox is %q", name, step, err, w.under(""))
			}
			for _, r := range page.Rejections {
				if r.Error["code"] != string(fault.CodeNotParquet) || r.ObjectKey != k {
					t.Errorf("%s, before step %d: %+v; in the inbox is %q", name, step, r, w.under(""))
				}
			}
		}
	}
}
