package protocolmodel

// sweeperSteps removes what will not be appended: it claims a file and deletes
// its bytes. It can crash in between, and is then another one.
func (m *model) sweeperSteps(s *state, yield func(event, state)) {
	if s.sweeper != 0 {
		f := s.sweeper - 1
		next := *s
		next.sweeper = 0
		e := event{what: "crashes", who: theSweeper}
		yield(e, next)
		next.objects[f] = noObject
		e.what, e.file = "deletes the bytes of", f+1
		yield(e, next)
		return
	}
	for f := range int8(len(m.files)) {
		if !m.sweepable(s, f) {
			continue
		}
		next := *s
		next.sweeper = f + 1
		e := event{what: "finds unlisted", who: theSweeper, file: f + 1}
		if m.has(claim) {
			next.intents[f] = aborted
			e.what = "claims"
		}
		yield(e, next)
	}
}

// sweepable reports whether the sweeper may turn to a file. In truth it waits
// until a file is old; here it never does, so no clock is relied on.
func (m *model) sweepable(s *state, f int8) bool {
	if s.intents[f] == appended && m.has(claimCondition) {
		return false
	}
	if s.intents[f] == aborted && !m.has(resume) {
		return false
	}
	stored := s.objects[f] == partial || s.objects[f] == whole
	return stored || s.intents[f] == open || s.intents[f] == complete
}

// deleterSteps deletes a file: its entry and its name in one step, and then its
// bytes. After a crash between the two they are the sweeper's.
func (m *model) deleterSteps(s *state, yield func(event, state)) {
	next := *s
	if s.deleter > 0 {
		f := s.deleter - 1
		e := event{who: theDeleter, what: "crashes"}
		next.deleter = finished
		yield(e, next)
		if m.has(entryFirst) {
			next.objects[f], e.what = noObject, "deletes the bytes of"
		} else {
			m.unlist(&next, f)
			e.what = "unlists"
		}
		e.file = f + 1
		yield(e, next)
		return
	}
	for _, f := range s.log {
		if s.deleter == finished || f <= 0 || m.files[f-1].name != m.deletes {
			continue
		}
		e := event{who: theDeleter, what: "unlists", file: f}
		next.deleter = f
		if m.has(entryFirst) {
			m.unlist(&next, f-1)
		} else {
			next.objects[f-1], e.what = noObject, "deletes the bytes of"
		}
		yield(e, next)
		return
	}
}

// unlist is the transaction of a deletion.
func (m *model) unlist(s *state, f int8) {
	s.torn = torn{}
	p := s.position(f)
	s.log[p] = -s.log[p]
	s.intents[f] = aborted // its bytes are the sweeper's, should they stay behind
	if !m.has(deleteForEver) {
		s.intents[f] = m.wanted(m.files[f].request)
	}
	if m.has(deletionMoves) && m.conditional() {
		s.late = [maxRequests][maxTries]int8{}
		for r := range s.workers {
			for t := range s.workers[r] {
				s.workers[r][t].forgetHead()
			}
		}
	}
	if !m.has(emptyPosition) {
		copy(s.log[p:], s.log[p+1:])
		s.log[maxLog-1] = 0
		s.tail--
	}
}
