package protocolmodel

import "slices"

// readerSteps lists the dataset, and lets more of a transaction be seen.
func (m *model) readerSteps(s *state, yield func(event, state)) {
	if list, ok := m.listing(s); ok && list != s.seen {
		next := *s
		next.seen = list
		yield(event{what: "the reader lists"}, next)
	}
	if s.torn.head {
		next := *s
		next.torn = s.torn.less(true, 0)
		yield(event{what: "the moved head can be read"}, next)
	}
	for p, f := range s.log {
		if s.torn.hides(p) {
			next := *s
			next.torn = s.torn.less(false, 1<<(p-int(s.torn.from)))
			yield(event{what: "readable is now", file: f}, next)
		}
	}
}

// listing is the dataset as a reader gets it: the files in order. It is not ok
// when the reader has to read again, since the head promises more than is there.
func (m *model) listing(s *state) (files [maxLog]int8, ok bool) {
	n := 0
	for p, f := range s.log {
		if s.torn.head && p >= int(s.torn.from) && m.has(headBelieved) {
			break
		}
		if s.torn.hides(p) {
			if m.has(headBelieved) {
				return files, false
			}
			continue
		}
		if f > 0 {
			files[n] = f
			n++
		}
	}
	return files, true
}

// tear hides a run that has just been appended from readers. Before anyone is
// told of it, and before the next transaction, all of it can be seen. Of a
// single file a reader sees no less than one who came a moment earlier.
func (m *model) tear(s *state, from int8, files int) {
	if files > 1 && m.conditional() && m.has(oneStep) { // without these there is no one transaction to see in parts
		s.torn = torn{from: from, head: true, entries: 1<<files - 1}
	}
}

// less hides less: no longer the head, or not these entries.
func (t torn) less(head bool, entries uint8) torn {
	t.head = t.head && !head
	t.entries &^= entries
	if !t.head && t.entries == 0 {
		return torn{}
	}
	return t
}

// shows reports whether a reader finds files where they were put, from a
// position on, or has to read again.
func (m *model) shows(s *state, from int8, files int) bool {
	list, ok := m.listing(s)
	for _, f := range s.log[from : int(from)+files] {
		if ok && f > 0 && !slices.Contains(list[:], f) {
			return false
		}
	}
	return true
}
