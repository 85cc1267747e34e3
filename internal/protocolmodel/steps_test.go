package protocolmodel

import "slices"

// steps calls yield with everything that can happen next, and the state after it.
func (m *model) steps(s *state, yield func(event, state)) {
	for r := range int8(len(m.requests)) {
		m.clientSteps(s, r, yield)
		for t := range m.requests[r].tries {
			m.workerSteps(s, r, t, yield)
			if s.late[r][t] != 0 {
				m.arriveLate(s, r, t, yield)
			}
		}
	}
	m.sweeperSteps(s, yield)
	m.deleterSteps(s, yield)
	m.readerSteps(s, yield)
}

// clientSteps is what a client does next: bring its bytes, ask, ask again, or
// go away.
func (m *model) clientSteps(s *state, r int8, yield func(event, state)) {
	c := s.clients[r]
	if c.done {
		return
	}
	if c.tries == 0 {
		if m.requests[r].sessions {
			m.sessionSteps(s, r, yield)
		}
		if m.maySend(s, r) {
			m.send(s, r, "sends its request", yield)
		}
		return
	}
	over := s.workers[r][c.tries-1].step == ended
	if q := m.requests[r]; c.tries < q.tries && (over || q.slow) {
		m.send(s, r, "tries again", yield)
	}
	if over {
		next := *s
		next.clients[r].done = true
		yield(event{what: "goes away without an answer", request: r, who: aClient}, next)
	}
}

// maySend reports whether a client can ask for the append: the bytes of a
// direct upload come with the request, those of sessions before it.
func (m *model) maySend(s *state, r int8) bool {
	if !m.requests[r].sessions || !m.has(bytesFirst) {
		return true
	}
	return !slices.ContainsFunc(m.ids[r][0], func(f int8) bool { return s.intents[f] == noIntent || s.intents[f] == open })
}

// send begins a try, with a worker of its own.
func (m *model) send(s *state, r int8, what string, yield func(event, state)) {
	next := *s
	t := next.clients[r].tries
	next.clients[r].tries++
	w := &next.workers[r][t]
	w.step = stored
	if !m.requests[r].sessions {
		next.objects[m.ids[r][t][0]] = partial
		if m.has(bytesFirst) {
			w.step = receiving
		}
	}
	if !m.has(positionAtAppend) {
		w.head = next.tail
		next.tail += int8(len(m.ids[r][t]))
	}
	yield(event{what: what, request: r, who: aClient}, next)
}

// sessionSteps brings the bytes of a client's sessions in, file by file, in any
// order.
func (m *model) sessionSteps(s *state, r int8, yield func(event, state)) {
	for _, f := range m.ids[r][0] {
		next := *s
		e := event{request: r, who: aClient, file: f + 1}
		switch {
		case s.intents[f] == noIntent:
			next.intents[f], e.what = open, "creates the upload of"
		case s.intents[f] == open && s.objects[f] == noObject:
			next.objects[f], e.what = partial, "sends parts of"
		case s.objects[f] == partial:
			next.objects[f], e.what = whole, "has the parts joined of"
		case s.intents[f] == open && s.objects[f] == whole:
			next.intents[f], e.what = complete, "completes the upload of"
		default:
			continue
		}
		yield(e, next)
	}
}
