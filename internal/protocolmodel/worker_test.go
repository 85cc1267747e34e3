package protocolmodel

// workerSteps is what happens to a worker next. It can crash at every step.
func (m *model) workerSteps(s *state, r, t int8, yield func(event, state)) {
	e := event{request: r, try: t, who: aWorker}
	next := *s
	w := &next.workers[r][t]
	switch w.step {
	case idle, ended:
		return
	case unsure:
		m.settle(s, r, t, yield) // giving up leaves what a crash leaves
		return
	case ready:
		m.transact(s, r, t, yield)
	case receiving:
		next.objects[m.ids[r][t][0]] = whole
		w.step, e.what = stored, "stores the bytes"
	case stored:
		m.readHead(&next, r, t)
		e.what = "reads the head"
	case discarding:
		next.objects[m.ids[r][t][0]] = noObject
		w.step, e.what = answering, "discards its bytes"
	case answering:
		m.answer(&next, r, t)
		e.what = "answers"
	}
	if e.what != "" {
		yield(e, next)
	}
	crashed := *s
	crashed.workers[r][t] = worker{step: ended}
	e.what = "crashes"
	yield(e, crashed)
}

// transact sends the transaction: it is decided and the worker told, or it is
// done and the answer lost, or it is still under way when the worker stops waiting.
func (m *model) transact(s *state, r, t int8, yield func(event, state)) {
	told := *s
	v := m.decide(&told, r, t, s.workers[r][t].head)
	m.tell(&told, r, t, v)
	yield(event{what: "is told: " + v.String(), request: r, try: t, who: aWorker}, told)

	if v.kind == doneNow {
		lost := *s
		m.decide(&lost, r, t, s.workers[r][t].head)
		lost.workers[r][t].step = unsure
		m.tear(&lost, v.at, len(m.ids[r][t]))
		yield(event{what: "appends, and the answer is lost", request: r, try: t, who: aWorker}, lost)
	}
	if s.late[r][t] == 0 {
		waits := *s
		waits.late[r][t] = s.workers[r][t].head + 1
		waits.workers[r][t].step = unsure
		yield(event{what: "sends its transaction and hears nothing", request: r, try: t, who: aWorker}, waits)
	}
}

// settle is what a worker does that doesn't know the outcome: the SDK sends the
// same transaction again, or the request fails.
func (m *model) settle(s *state, r, t int8, yield func(event, state)) {
	e := event{request: r, try: t, who: aWorker}
	if w := s.workers[r][t]; !w.resent {
		next := *s
		next.workers[r][t].resent = true
		next.workers[r][t].step = ready
		e.what = "sends its transaction again"
		yield(e, next)
	}
	next := *s
	next.workers[r][t] = worker{step: ended}
	e.what = "gives up"
	if !m.has(keepWhenUnsure) && !m.requests[r].sessions {
		next.objects[m.ids[r][t][0]] = noObject
		e.what = "gives up and discards its bytes"
	}
	yield(e, next)
}

// arriveLate decides a transaction that its worker no longer waits for.
func (m *model) arriveLate(s *state, r, t int8, yield func(event, state)) {
	next := *s
	next.late[r][t] = 0
	v := m.decide(&next, r, t, s.late[r][t]-1)
	if v.kind == doneNow {
		m.tear(&next, v.at, len(m.ids[r][t]))
	}
	yield(event{what: "sent a transaction that arrives now: " + v.String(), request: r, try: t, who: aWorker}, next)
}

// tell is what a worker makes of a verdict.
func (m *model) tell(s *state, r, t int8, v verdict) {
	w := &s.workers[r][t]
	if v.kind == again {
		w.head = s.tail
		return
	}
	step := answering
	own := v.outcome == success && s.position(m.ids[r][t][0]) == v.at
	if !m.requests[r].sessions && !own {
		step = discarding
	}
	*w = worker{step: step, outcome: v.outcome, at: v.at}
}

// answer ends a worker. A client that is told to try again, or that has tried
// again already, has no answer yet.
func (m *model) answer(s *state, r, t int8) {
	w := s.workers[r][t]
	s.workers[r][t] = worker{step: ended}
	if w.outcome != tryAgain && m.listens(s, r, t) {
		c := &s.clients[r]
		*c = client{tries: c.tries, done: true, outcome: w.outcome, at: w.at}
	}
}

// listens reports whether a client still waits for the answer to a try.
func (m *model) listens(s *state, r, t int8) bool {
	c := s.clients[r]
	return !c.done && c.tries == t+1
}
