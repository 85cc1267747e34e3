package protocolmodel

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// mostStates bounds a search. The largest scenario has about a third of it.
const mostStates = 1_000_000

// TestProtocol searches every scenario for a way to break a promise.
func TestProtocol(t *testing.T) {
	for _, sc := range []scenario{
		{name: "one name and two schemas", requests: []request{
			{files: "a", schema: 1, key: true, tries: 2},
			{files: "a", schema: 2, tries: 2},
		}},
		{name: "two names and two schemas", requests: []request{
			{files: "a", schema: 1, key: true, tries: 2, slow: true},
			{files: "b", schema: 2, tries: 1},
		}},
		{name: "a rival while a try is still worked on", requests: []request{
			{files: "a", schema: 1, key: true, tries: 2, slow: true},
			{files: "a", schema: 1, tries: 1},
		}},
		{name: "three writers", requests: []request{
			{files: "a", schema: 1, key: true, tries: 1},
			{files: "b", schema: 1, tries: 1},
			{files: "a", schema: 2, tries: 1},
		}},
		{name: "a run and a rival", requests: []request{
			{files: "ab", sessions: true, schema: 1, key: true, tries: 2, slow: true},
			{files: "b", schema: 1, tries: 1},
		}},
		{name: "two runs with a name in common", requests: []request{
			{files: "ab", sessions: true, schema: 1, key: true, tries: 1},
			{files: "bc", sessions: true, schema: 1, tries: 1},
		}},
		{name: "a run without a key and another schema", requests: []request{
			{files: "ab", sessions: true, schema: 1, tries: 2, slow: true},
			{files: "c", schema: 2, tries: 1},
		}},
		{name: "a name that is deleted and taken again", deletes: 'a', requests: []request{
			{files: "a", schema: 1, key: true, tries: 2},
			{files: "a", schema: 1, tries: 1},
		}},
		{name: "a file of a run that is deleted", deletes: 'a', requests: []request{
			{files: "ab", sessions: true, schema: 1, tries: 2},
			{files: "a", schema: 1, tries: 1},
		}},
	} {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			m := newModel(sc, everyGuard)
			f := m.search(mostStates)
			t.Logf("%d states, %d steps", f.states, f.steps)
			if f.states > mostStates {
				t.Errorf("not finished after %d states", f.states)
			}
			for _, i := range slices.Sorted(maps.Keys(f.broken)) {
				t.Errorf("%q can be broken:\n%s", i, f.trace(i))
			}
		})
	}
}

// The scenarios of the mutants, as small as each needs.
var (
	alone        = scenario{requests: []request{{files: "a", schema: 1, tries: 1}}}
	twice        = scenario{requests: []request{{files: "a", schema: 1, tries: 2}}}
	keyed        = scenario{requests: []request{{files: "a", schema: 1, key: true, tries: 2}}}
	strangers    = scenario{requests: []request{{files: "a", schema: 1, tries: 1}, {files: "b", schema: 1, tries: 1}}}
	mixed        = scenario{requests: []request{{files: "a", schema: 1, tries: 1}, {files: "b", schema: 2, tries: 1}}}
	rivals       = scenario{requests: []request{{files: "a", schema: 1, tries: 1}, {files: "a", schema: 1, tries: 1}}}
	upload       = scenario{requests: []request{{files: "a", sessions: true, schema: 1, tries: 1}}}
	run          = scenario{requests: []request{{files: "ab", sessions: true, schema: 1, tries: 1}}}
	deletesRival = scenario{requests: rivals.requests, deletes: 'a'}
	deletesOne   = scenario{requests: strangers.requests, deletes: 'a'}
)

// mutants lack one guard each, and break exactly these promises.
var mutants = []struct {
	without guard
	in      scenario
	breaks  []invariant
}{
	{headBelieved, run, []invariant{order}},
	{positionAtAppend, strangers, []invariant{order, positions}},
	{headCondition, strangers, []invariant{clean, kept, order, positions}},
	{schemaCondition, mixed, []invariant{schemas}},
	{nameCondition, rivals, []invariant{names}},
	{nameCondition, twice, []invariant{names, once}},
	{ownFiles, alone, []invariant{bytes, honest}},
	{record, keyed, []invariant{honest}},
	{bytesFirst, alone, []invariant{bytes}},
	{bytesFirst, upload, []invariant{bytes}},
	{oneStep, run, []invariant{honest, runs}},
	{intentCondition, alone, []invariant{bytes}},
	{intentCondition, upload, []invariant{bytes}},
	{keepWhenUnsure, alone, []invariant{bytes}},
	{claim, alone, []invariant{bytes}},
	{claim, upload, []invariant{bytes}},
	{claimCondition, alone, []invariant{bytes}},
	{claimCondition, upload, []invariant{bytes}},
	{resume, alone, []invariant{clean}},
	{resume, upload, []invariant{clean}},
	{retryAborted, keyed, []invariant{honest}},
	{entryFirst, deletesOne, []invariant{bytes}},
	{emptyPosition, deletesOne, []invariant{kept, order, positions}},
	{deletionMoves, deletesRival, []invariant{bytes, honest}},
	{deleteForEver, deletesOne, []invariant{bytes, order}},
}

// TestMutants takes the guards away one by one: the search has to find what
// breaks, and the scenario without the mutation has to hold.
func TestMutants(t *testing.T) {
	for _, mu := range mutants {
		t.Run(fmt.Sprintf("without %s", mu.without), func(t *testing.T) {
			t.Parallel()
			m := newModel(mu.in, mu.without)
			f := m.search(mostStates)
			if got := slices.Sorted(maps.Keys(f.broken)); !slices.Equal(got, mu.breaks) {
				t.Errorf("breaks %q, want %q", got, mu.breaks)
			}
			for _, i := range slices.Sorted(maps.Keys(f.broken)) {
				t.Logf("%q is broken within %d states:\n%s", i, f.states, f.trace(i))
			}
			if f := newModel(mu.in, everyGuard).search(mostStates); len(f.broken) > 0 {
				t.Errorf("with every guard %v is broken", slices.Collect(maps.Keys(f.broken)))
			}
		})
	}
}

// TestGuards sees that every guard has a mutant, and that docs/protocol.md says
// of each what it breaks.
func TestGuards(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range guards {
		var breaks []string
		for _, mu := range mutants {
			for _, i := range mu.breaks {
				if text := "`" + string(i) + "`"; mu.without == g && !slices.Contains(breaks, text) {
					breaks = append(breaks, text)
				}
			}
		}
		if len(breaks) == 0 {
			t.Errorf("no mutant lacks %q", g)
		}
		slices.Sort(breaks)
		if row := fmt.Sprintf("| %s | %s |", g, strings.Join(breaks, " ")); !strings.Contains(string(page), row) {
			t.Errorf("docs/protocol.md lacks %s", row)
		}
	}
}

// TestForget sees that taking out of a state what no later step looks at hides
// nothing: with and without, every mutant breaks the same promises as soon.
func TestForget(t *testing.T) {
	for _, mu := range mutants {
		short, long := newModel(mu.in, mu.without), newModel(mu.in, mu.without)
		long.remembers = true
		a, b := short.search(mostStates), long.search(mostStates)
		if b.states > mostStates {
			t.Errorf("without %q: not finished after %d states", mu.without, b.states)
		}
		for _, p := range append(slices.Collect(maps.Keys(a.broken)), slices.Collect(maps.Keys(b.broken))...) {
			if x, y := len(a.broken[p]), len(b.broken[p]); x != y {
				t.Errorf("without %q: %q is broken in %d steps of %d states, and in %d of %d", mu.without, p, x, a.states, y, b.states)
			}
		}
	}
}
