package protocolmodel

import "slices"

// invariant is one promise that no reachable step may break.
type invariant string

const (
	order     invariant = "order"     // a later listing begins with every earlier one
	positions invariant = "positions" // they are taken without gaps and never change
	names     invariant = "names"     // one file per name
	schemas   invariant = "schema"    // one schema
	bytes     invariant = "bytes"     // whatever is listed has all its bytes
	kept      invariant = "kept"      // what was acknowledged stays listed, where the client was told, until it is deleted
	once      invariant = "once"      // a request has one effect, however often it is made
	honest    invariant = "honest"    // nobody whose upload is listed is told that it was refused
	runs      invariant = "runs"      // a run is listed whole and in one piece, or not at all
	clean     invariant = "clean"     // in the end, what isn't listed has been removed, and everyone has an answer or went away
)

// broken returns the promises that a step breaks. After a step to a state that
// was known, only those that look at the step itself can be news.
func (m *model) broken(before, after *state, known bool) []invariant {
	var all []invariant
	for _, p := range promises {
		if (p.ofStep || !known) && !p.hold(m, before, after) {
			all = append(all, p.name)
		}
	}
	return all
}

var promises = []struct {
	name   invariant
	ofStep bool // it compares the states before and after
	hold   func(m *model, before, after *state) bool
}{
	{order, true, func(_ *model, before, after *state) bool { return begins(after, before.seen) }},
	{positions, true, func(_ *model, before, after *state) bool { return dense(after.log) && unmoved(before.log, after.log) }},
	{names, false, func(m *model, _, after *state) bool { return m.differ(after, file.sameName) }},
	{schemas, false, func(m *model, _, after *state) bool { return m.oneSchema(after) }},
	{bytes, false, func(m *model, _, after *state) bool { return m.haveBytes(after) }},
	{kept, false, func(m *model, _, after *state) bool { return m.keepsAcknowledged(after) }},
	{once, false, func(m *model, _, after *state) bool { return m.differ(after, file.sameRequest) }},
	{honest, true, (*model).isHonest},
	{runs, false, func(m *model, _, after *state) bool { return m.keepsRuns(after) }},
}

func (f file) sameName(g file) bool    { return f.name == g.name }
func (f file) sameRequest(g file) bool { return f.request == g.request && f.index == g.index }

// begins reports whether what the reader saw last begins with what it had seen
// before, but for files that were deleted.
func begins(s *state, earlier [maxLog]int8) bool {
	n := 0
	for _, f := range earlier {
		if f == 0 || !s.listed(f-1) && s.position(f-1) >= 0 {
			continue
		}
		if s.seen[n] != f && s.seen != earlier {
			return false
		}
		n++
	}
	return true
}

// unmoved reports whether all that was at a position is there, or was deleted there.
func unmoved(before, after [maxLog]int8) bool {
	for p, f := range before {
		if f != 0 && after[p] != f && after[p] != -f {
			return false
		}
	}
	return true
}

// dense reports whether no position below a taken one is empty.
func dense(log [maxLog]int8) bool {
	n := slices.Index(log[:], 0)
	return n < 0 || !slices.ContainsFunc(log[n:], func(f int8) bool { return f != 0 })
}

// differ reports whether no two listed files are the same in some way.
func (m *model) differ(s *state, same func(f, g file) bool) bool {
	for i, f := range s.log {
		for _, g := range s.log[:i] {
			if f > 0 && g > 0 && same(m.files[f-1], m.files[g-1]) {
				return false
			}
		}
	}
	return true
}

func (m *model) oneSchema(s *state) bool {
	for _, f := range s.log {
		if f > 0 && m.requests[m.files[f-1].request].schema != s.schema {
			return false
		}
	}
	return true
}

func (m *model) haveBytes(s *state) bool {
	return !slices.ContainsFunc(s.log[:], func(f int8) bool { return f > 0 && s.objects[f-1] != whole })
}

func (m *model) keepsAcknowledged(s *state) bool {
	for r, c := range s.clients {
		if c.outcome != success {
			continue
		}
		if !m.shows(s, c.at, len(m.requests[r].files)) {
			return false
		}
		for i := range m.requests[r].files {
			f := max(s.log[c.at+int8(i)], -s.log[c.at+int8(i)]) // it may have been deleted since
			if f == 0 || m.files[f-1].request != int8(r) || m.files[f-1].index != int8(i) {
				return false
			}
		}
	}
	return true
}

// isHonest looks at a client that has just been refused. Without an
// Idempotency-Key a client's second try is another upload, whose name may be
// taken by the first one; the same file ids are never refused.
func (m *model) isHonest(before, after *state) bool {
	for r, c := range after.clients {
		if before.clients[r].done || c.outcome == noAnswer || c.outcome == success {
			continue
		}
		for _, f := range after.log {
			if f <= 0 || m.files[f-1].request != int8(r) {
				continue
			}
			if m.requests[r].key || slices.Contains(m.ids[r][c.tries-1], f-1) {
				return false
			}
		}
	}
	return true
}

func (m *model) keepsRuns(s *state) bool {
	for r, q := range m.requests {
		if !q.sessions {
			continue
		}
		ids := m.ids[r][0]
		first := s.position(ids[0])
		for i, f := range ids {
			if p := s.position(f); (p < 0) != (first < 0) || p >= 0 && p != first+int8(i) {
				return false
			}
		}
	}
	return true
}

// isClean looks at a state after which nothing more happens.
func (m *model) isClean(s *state) bool {
	for f := range int8(len(m.files)) {
		if !s.listed(f) && (s.objects[f] == partial || s.objects[f] == whole || s.intents[f] == open || s.intents[f] == complete) {
			return false
		}
	}
	return !slices.ContainsFunc(s.clients[:len(m.requests)], func(c client) bool { return !c.done })
}
