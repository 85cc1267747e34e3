package ingest_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/parqueue/parqueue/internal/ingest"
)

// history is what the inbox's owner did.
type history struct {
	*world
	puts    map[string][][]byte // by key, in order
	removed map[string]bool     // keys of which the owner removed an object
}

func newHistory() *history {
	return &history{world: newWorld(), puts: map[string][][]byte{}, removed: map[string]bool{}}
}

func (h *history) put(key string, content []byte) {
	h.world.put(key, content)
	h.puts[key] = append(h.puts[key], content)
}

func (h *history) remove(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.inbox, key)
	h.removed[key] = true
}

// settle delivers a notice of every key until none fails, as a queue does.
func (h *history) settle(t rapid.TB) {
	keys := slices.Collect(maps.Keys(h.puts))
	for range 3 {
		keys = slices.DeleteFunc(keys, func(key string) bool { return h.worker(-1).ingest(key)[0].State != ingest.Failed })
	}
	if len(keys) > 0 {
		t.Fatalf("notices fail for ever: %q", keys)
	}
}

// check sees that every put came to an end, and each file is there once with its
// bytes.
func (h *history) check(t rapid.TB) {
	if left := h.incoming(); len(left) > 0 {
		t.Fatalf("left in the inbox: %q", left)
	}
	found := map[string][]string{} // contents by key: of the listed file, and of what was rejected
	for id, s := range h.sets {
		names := map[string]bool{}
		for n, f := range s.files {
			if names[f.Name] || f.Position != int64(n) {
				t.Fatalf("%s is there twice, or at a wrong position: %+v", f.Name, s.files)
			}
			names[f.Name] = true
			content := h.objects[f.ObjectKey]
			if int64(len(content)) != f.SizeBytes || crc(content) != f.CRC64NVME {
				t.Fatalf("the bytes of %+v are not there", f)
			}
			found[key(id, f.Name)] = append(found[key(id, f.Name)], string(content))
		}
	}
	for _, k := range h.under("rejected/") {
		if reason, ok := h.inbox[k+".error.json"]; ok {
			original := between(string(reason.content), `"object_key": "`, `"`)
			found[original] = append(found[original], string(h.inbox[k].content))
		} else if !strings.HasSuffix(k, ".error.json") {
			t.Fatalf("%s is rejected for no reason", k)
		}
	}
	for k, contents := range h.puts {
		for _, content := range found[k] {
			if !slices.ContainsFunc(contents, func(put []byte) bool { return string(put) == content }) {
				t.Fatalf("something was found of %s that nobody put there", k)
			}
		}
		if last := contents[len(contents)-1]; !h.removed[k] && !slices.Contains(found[k], string(last)) {
			t.Fatalf("the last put of %s is lost", k)
		}
	}
}

func between(text, before, after string) string {
	_, rest, _ := strings.Cut(text, before)
	inside, _, _ := strings.Cut(rest, after)
	return inside
}

// contents that an owner may put; the last two no dataset of the usual schema takes.
func contents(t testing.TB) [][]byte {
	return [][]byte{parquet(t, "1"), parquet(t, "22"), parquet(t, "333"), otherParquet(t, ""), []byte("no Parquet")}
}

// Any multiset and order of notices, with puts, overwrites and removals between
// them, by workers side by side that crash at any step, beside a sweeper, ends in
// the same: each put is listed once or rejected, unless its owner replaced it.
func TestAnyNoticesEndInTheSame(t *testing.T) {
	some := contents(t)
	keys := []string{key(arriving, "a"), key(arriving, "b"), key(arriving, "c"), key(foreign, "a"), "incoming/x"}
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory()
		h.put(key(arriving, "first"), some[0]) // so that the schema is known
		h.worker(-1).ingest(key(arriving, "first"))
		for range rapid.IntRange(1, 12).Draw(t, "actions") {
			k := rapid.SampledFrom(keys).Draw(t, "key")
			switch rapid.SampledFrom([]string{"put", "put", "put", "remove", "claim", "retry", "notice", "notice", "notices", "race", "race"}).Draw(t, "action") {
			case "put":
				h.put(k, rapid.SampledFrom(some).Draw(t, "content"))
			case "remove":
				if len(h.puts[k]) > 0 {
					h.remove(k)
				}
			case "claim":
				h.claimCopies()
			case "retry":
				h.retryAll(rapid.IntRange(-1, 20).Draw(t, "steps"))
			case "notice":
				h.worker(rapid.IntRange(-1, 30).Draw(t, "steps")).ingest(k)
			case "notices":
				h.worker(rapid.IntRange(-1, 60).Draw(t, "steps")).ingest(append(keys, k, k)...)
			case "race":
				h.race(t, keys, k, some)
			}
		}
		h.settle(t)
		h.check(t)
	})
}

// retryAll has every rejection tried again, as far as a process gets.
func (h *history) retryAll(steps int) {
	r := ingest.NewRejections(tenant, h.worker(steps))
	page, err := r.List(context.Background(), owner, "", "", 100)
	if err != nil {
		return
	}
	for _, one := range page.Rejections {
		_, _ = r.Retry(context.Background(), owner, one.ID)
	}
}

// race has several workers at once, while a key is put and rejections are retried.
func (h *history) race(t *rapid.T, keys []string, k string, some [][]byte) {
	var group sync.WaitGroup
	for range rapid.IntRange(2, 4).Draw(t, "workers") {
		steps := rapid.IntRange(-1, 40).Draw(t, "steps")
		group.Go(func() { h.worker(steps).ingest(keys...) })
	}
	if steps := rapid.IntRange(-2, 20).Draw(t, "steps of retries"); steps > -2 {
		group.Go(func() { h.retryAll(steps) })
	}
	if content := rapid.SampledFrom(append(some, nil)).Draw(t, "content"); content != nil {
		h.puts[k] = append(h.puts[k], content)
		group.Go(func() { h.world.put(k, content) })
	}
	group.Wait()
}

// The same, for every sequence of up to six events: puts, overwrites, and notices
// of them that come before, twice and after.
func TestEverySequenceOfSixEvents(t *testing.T) {
	some := contents(t)
	a, b := key(arriving, "a"), key(arriving, "b")
	events := []func(*history){
		func(h *history) { h.put(a, some[len(h.puts[a])%2]) }, // again and again something else
		func(h *history) { h.put(b, some[4-len(h.puts[b])%2*4]) },
		func(h *history) { h.worker(-1).ingest(a) },
		func(h *history) { h.worker(-1).ingest(b, a, b) },
	}
	count := 0
	for length := 1; length <= 6; length++ {
		sequence := make([]int, length)
		for more := true; more; more = next(sequence, len(events)) {
			h := newHistory()
			for _, n := range sequence {
				events[n](h)
			}
			h.settle(t)
			h.check(t)
			if count++; t.Failed() {
				t.Fatalf("the events were %v", sequence)
			}
		}
	}
	t.Logf("%d sequences", count)
}

// next counts a sequence of digits up, and ends after the last.
func next(digits []int, base int) bool {
	for n := range digits {
		if digits[n]++; digits[n] < base {
			return true
		}
		digits[n] = 0
	}
	return false
}

// A crash at every step, and a duplicate beside the repetition.
func TestACrashAtEveryStep(t *testing.T) {
	some := contents(t)
	for _, content := range some {
		for steps := range 25 {
			h := newHistory()
			h.put(key(arriving, "first"), some[0])
			h.worker(-1).ingest(key(arriving, "first"))
			h.put(key(arriving, "a"), content)
			h.worker(steps).ingest(key(arriving, "a"))
			if steps%2 == 0 {
				h.put(key(arriving, "a"), some[1])
			}
			h.race2(key(arriving, "a"))
			h.settle(t)
			h.check(t)
		}
	}
}

// race2 has two workers on one key.
func (h *history) race2(k string) {
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() { h.worker(-1).ingest(k) })
	}
	group.Wait()
}

// Whatever comes when, a dataset that ingests by name has its files in the order
// of its lists, and at any time a prefix of that.
func TestListsAreFollowedWhateverComesWhen(t *testing.T) {
	base := parquet(t, "")
	file := func(mark string) []byte { return slices.Concat(base[:4], []byte(mark), base[4:]) }
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory()
		names := rapid.Permutation([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "names")
		cut := rapid.IntRange(1, len(names)).Draw(t, "cut")
		lists := [][]string{names[:cut], names[cut:]}
		arrival := rapid.Permutation(names).Draw(t, "arrival")
		for len(arrival) > 0 || len(lists) > 0 {
			switch rapid.SampledFrom([]string{"put", "put", "list", "notice", "race", "claim"}).Draw(t, "action") {
			case "put":
				if len(arrival) > 0 {
					h.put(key(byName, arrival[0]), file(arrival[0]))
					arrival = arrival[1:]
				}
			case "list":
				if _, there := h.inbox[orderKey]; !there && len(lists) > 0 {
					h.put(orderKey, fmt.Appendf(nil, `["%s"]`, strings.Join(lists[0], `","`)))
					if len(lists[0]) == 0 {
						h.remove(orderKey)
					}
					lists = lists[1:]
				} else if there && len(arrival) == 0 {
					h.worker(-1).ingest(orderKey)
				}
			case "notice":
				h.worker(rapid.IntRange(-1, 60).Draw(t, "steps")).ingest(key(byName, rapid.SampledFrom(names).Draw(t, "name")))
			case "race":
				var group sync.WaitGroup
				for range 3 {
					steps := rapid.IntRange(-1, 60).Draw(t, "steps")
					group.Go(func() { h.worker(steps).ingest(orderKey) })
				}
				group.Wait()
			case "claim":
				h.claimCopies()
			}
			if got := h.names(byName); !slices.Equal(got, names[:len(got)]) {
				t.Fatalf("listed %q, and the lists say %q", got, names)
			}
		}
		h.settle(t)
		h.settle(t)
		if got := h.names(byName); !slices.Equal(got, names) {
			t.Fatalf("listed %q, and the lists say %q; in the inbox is %q", got, names, h.under(""))
		}
		delete(h.puts, orderKey) // a list is neither listed nor rejected
		h.check(t)
	})
}
