package protocolmodel

// verdict is the catalog's answer to an append.
type verdict struct {
	kind    verdictKind
	outcome outcome
	at      int8 // the first position, on success
}

// verdictKind says what an append came to.
type verdictKind uint8

const (
	doneNow    verdictKind = iota
	doneBefore             // by an earlier request or try
	refused                // nothing changed, nor will it
	again                  // another writer was faster; the head is to be taken anew
)

func (v verdict) String() string {
	switch v.kind {
	case doneNow:
		return "appended"
	case doneBefore:
		return "appended before"
	case again:
		return "the head has moved"
	}
	return v.outcome.String()
}

// moved reports whether the head is no longer where it was read.
func (m *model) moved(s *state, head int8) bool {
	return s.tail != head && m.conditional()
}

// conditional reports whether an append depends on the head that was read.
func (m *model) conditional() bool { return m.has(headCondition) && m.has(positionAtAppend) }

// readHead is the one read of an append. It refuses another schema at once.
func (m *model) readHead(s *state, r, t int8) {
	w := &s.workers[r][t]
	w.step = ready
	if m.has(positionAtAppend) {
		w.head = s.tail
	}
	if m.otherSchema(s, r) {
		m.tell(s, r, t, m.mismatch(s, r))
	}
}

func (m *model) otherSchema(s *state, r int8) bool {
	return s.schema != 0 && s.schema != m.requests[r].schema
}

// mismatch refuses a schema, unless the request was done before.
func (m *model) mismatch(s *state, r int8) verdict {
	if s.records[r] != 0 {
		return verdict{kind: doneBefore, outcome: success, at: s.records[r] - 1}
	}
	return verdict{kind: refused, outcome: schemaMismatch}
}

// decide is the catalog's transaction: it looks at the conditions in the order
// of Catalog.Append and changes all or nothing.
func (m *model) decide(s *state, r, t, head int8) verdict {
	s.torn = torn{} // a transaction waits for the one before
	if s.records[r] != 0 {
		return verdict{kind: doneBefore, outcome: success, at: s.records[r] - 1}
	}
	ids, own := m.ids[r][t], 0
	for own < len(ids) && m.knows(s, ids[own]) && m.has(ownFiles) {
		own++
	}
	if own == len(ids) {
		return verdict{kind: doneBefore, outcome: success, at: s.position(ids[0])}
	}
	taken := m.taken(s, ids[own:])
	if !m.has(oneStep) {
		ids = ids[own : own+1]
	}
	moved := m.moved(s, head)
	switch {
	case moved && m.otherSchema(s, r) && m.has(schemaCondition):
		return m.mismatch(s, r)
	case m.requests[r].sessions && !m.appendable(s, r, ids):
		return verdict{kind: refused, outcome: uploadAborted}
	case taken && m.has(nameCondition):
		return verdict{kind: refused, outcome: nameExists}
	case !m.appendable(s, r, ids) && m.has(retryAborted):
		return verdict{kind: refused, outcome: tryAgain}
	case !m.appendable(s, r, ids):
		return verdict{kind: refused, outcome: uploadAborted}
	case moved:
		return verdict{kind: again}
	}
	return m.append(s, r, t, ids, head)
}

// knows reports whether the catalog can tell that a file was appended before.
func (m *model) knows(s *state, id int8) bool {
	return s.listed(id) || s.position(id) >= 0 && m.has(deleteForEver)
}

// taken reports whether a name of the files is in the dataset.
func (m *model) taken(s *state, ids []int8) bool {
	for _, id := range ids {
		for _, f := range s.log {
			if f > 0 && m.files[f-1].name == m.files[id].name {
				return true
			}
		}
	}
	return false
}

// wanted is the state of an intent that an append needs.
func (m *model) wanted(r int8) intent {
	if m.requests[r].sessions {
		return complete
	}
	return noIntent
}

// appendable reports whether the intents allow the append. A protocol that does
// not wait for the bytes does not wait for a session to be complete either.
func (m *model) appendable(s *state, r int8, ids []int8) bool {
	for _, f := range ids {
		i := s.intents[f]
		fits := i == m.wanted(r) || i != aborted && !m.has(bytesFirst)
		if !fits && m.has(intentCondition) {
			return false
		}
	}
	return true
}

// append changes everything that an append changes.
func (m *model) append(s *state, r, t int8, ids []int8, head int8) verdict {
	if int(head)+len(ids) > maxLog {
		return verdict{kind: refused} // beyond the model's bounds, which only mutants reach
	}
	for i, f := range ids {
		s.log[head+int8(i)] = f + 1
		s.intents[f] = appended
	}
	if m.has(positionAtAppend) {
		s.tail = head + int8(len(ids))
	}
	if s.schema == 0 {
		s.schema = m.requests[r].schema
	}
	all := m.ids[r][t]
	if ids[len(ids)-1] != all[len(all)-1] {
		return verdict{kind: again}
	}
	first := head
	if !m.has(oneStep) {
		first = s.position(all[0])
	}
	if m.requests[r].key && m.has(record) {
		s.records[r] = first + 1
	}
	return verdict{kind: doneNow, outcome: success, at: first}
}
