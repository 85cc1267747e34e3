package proof

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// What a history is made of: requests on one dataset, and what they were told.

type kind string

const (
	appends   kind = "append" // one file, or a run in one step
	deletes   kind = "delete"
	lists     kind = "list" // from a position on, whole or limited
	downloads kind = "download"
	ends      kind = "end" // after everything that somebody was told of
)

// call is a request.
type call struct {
	kind  kind
	files []file // to append
	name  string // to delete or download
	from  int64  // to list from

	// gone are the names under which a listing may miss a file, because a deletion
	// of the name was under way at the same time; see dataset.Catalog.Files.
	gone map[string]bool

	// Of a request whose outcome is not known: the rows that it may have appended
	// or deleted for all that others were told; see history.settle.
	may func(row) bool
}

// names are those that a write or a download is about.
func (c call) names() []string {
	if c.kind != appends {
		return []string{c.name}
	}
	names := make([]string, len(c.files))
	for n, f := range c.files {
		names[n] = f.name
	}
	return names
}

// outcome is what a client was told.
type outcome struct {
	unknown bool  // nothing, or nothing that says what happened
	refused bool  // there is such a name, or none
	files   []row // appended, deleted or listed
	more    bool  // the listing goes on
	sum     string
}

// forever is when an operation returns whose outcome nobody was told: its effect
// may come at any time after its call, or never, which is the same as after the
// end.
const forever = math.MaxInt64

// state is a dataset. It is never changed, and shares its rows with others.
type state struct {
	next  int64 // position
	files []row // in order
	hash  uint64
	ended bool
}

// model is a dataset that does one thing at a time. Partitions are histories of
// one dataset each, so it needs no partition function.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, in, out any) (bool, any) { return s.(state).step(in.(call), out.(outcome)) },
		Equal: func(a, b any) bool {
			x, y := a.(state), b.(state)
			return x.hash == y.hash && x.next == y.next && x.ended == y.ended && slices.Equal(x.files, y.files)
		},
		Hash:              func(s any) uint64 { return s.(state).hash },
		DescribeOperation: func(in, out any) string { return describe(in.(call), out.(outcome)) },
		DescribeState:     func(s any) string { return describeRows(s.(state).files) },
	}
}

// step does a request, and reports whether a dataset in this state tells the
// client what it was told.
func (s state) step(c call, o outcome) (bool, state) {
	switch {
	case c.kind == ends:
		s.ended = true
		return true, s
	case s.ended:
		return o.unknown, s
	case c.kind == appends:
		return s.append(c, o)
	case c.kind == deletes:
		return s.delete(c, o)
	case c.kind == lists:
		return s.lists(c, o), s
	}
	at := s.find(c.name)
	if o.refused {
		return at < 0, s
	}
	return at >= 0 && s.files[at].Sum == o.sum, s
}

// append: without an answer it either appends now or does nothing, and to do
// nothing there is time enough after the end. So it is with a deletion.
func (s state) append(c call, o outcome) (bool, state) {
	taken := slices.ContainsFunc(c.files, func(f file) bool { return s.find(f.name) >= 0 })
	if taken || o.refused {
		return taken && o.refused, s
	}
	after := s
	after.files = slices.Grow(slices.Clip(s.files), len(c.files))
	for n, f := range c.files {
		r := row{f.name, s.next + int64(n), f.sum}
		if o.unknown && !c.may(r) || !o.unknown && (n >= len(o.files) || o.files[n] != r) {
			return false, s
		}
		after.files = append(after.files, r)
		after.hash ^= hashOf(r)
	}
	after.next += int64(len(c.files))
	return o.unknown || len(o.files) == len(c.files), after
}

func (s state) delete(c call, o outcome) (bool, state) {
	at := s.find(c.name)
	if at < 0 || o.refused {
		return at < 0 && o.refused, s
	}
	if o.unknown && !c.may(s.files[at]) || !o.unknown && s.files[at].Position != o.files[0].Position { // no sum is told
		return false, s
	}
	after := s
	after.hash ^= hashOf(s.files[at])
	after.files = slices.Delete(slices.Clone(s.files), at, at+1)
	return true, after
}

// lists reports whether a listing is one of this state, but for files that are
// being deleted.
func (s state) lists(c call, o outcome) bool {
	told := o.files
	for _, f := range s.files {
		if f.Position < c.from {
			continue
		}
		if len(told) == 0 && o.more {
			return true
		}
		switch {
		case len(told) > 0 && told[0] == f:
			told = told[1:]
		case !c.gone[f.Name]:
			return false
		}
	}
	return len(told) == 0
}

func (s state) find(name string) int {
	return slices.IndexFunc(s.files, func(r row) bool { return r.Name == name })
}

func hashOf(r row) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", r.Position, r.Sum)
	return h.Sum64()
}

func describe(c call, o outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.kind, c.name)
	for _, f := range c.files {
		fmt.Fprintf(&b, "%s ", f.name)
	}
	switch {
	case o.unknown:
		b.WriteString("-> ?")
	case o.refused:
		b.WriteString("-> refused")
	default:
		fmt.Fprintf(&b, "-> %s %s", describeRows(o.files), o.sum)
	}
	return b.String()
}

func describeRows(files []row) string {
	var b strings.Builder
	for _, r := range files {
		fmt.Fprintf(&b, "%d:%s ", r.Position, r.Name)
	}
	return "[" + strings.TrimSpace(b.String()) + "]"
}
