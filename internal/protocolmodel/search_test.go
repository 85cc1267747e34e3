package protocolmodel

import (
	"fmt"
	"slices"
	"strings"
)

// found is what a search saw.
type found struct {
	states, steps int
	broken        map[invariant][]string // by promise, the shortest way to break it
}

// trace words the shortest way to break a promise.
func (f found) trace(i invariant) string {
	var text strings.Builder
	for n, step := range f.broken[i] {
		fmt.Fprintf(&text, "%5d. %s\n", n+1, step)
	}
	return text.String()
}

// search visits every state that can be reached, nearest first, and keeps the
// first way to break each promise. It stops at most states.
func (m *model) search(most int) found {
	s := searching{model: m, number: map[state]int32{}, found: found{broken: map[invariant][]string{}}}
	s.visit(state{}, -1)
	for n := 0; n < len(s.states) && len(s.states) <= most; n++ {
		s.expand(int32(n))
	}
	s.found.states = len(s.states)
	return s.found
}

// searching is a search under way. States are numbered as they are found.
type searching struct {
	*model
	states  []state
	parents []int32
	number  map[state]int32
	found   found
}

// visit notes a state, unless it is known.
func (s *searching) visit(next state, from int32) (known bool) {
	s.forget(&next)
	if _, known = s.number[next]; !known {
		s.number[next] = int32(len(s.states))
		s.states = append(s.states, next)
		s.parents = append(s.parents, from)
	}
	return known
}

// expand takes every step from a state.
func (s *searching) expand(n int32) {
	from, end := s.states[n], true
	s.steps(&from, func(e event, next state) {
		end = false
		s.found.steps++
		known := s.visit(next, n)
		for _, i := range s.broken(&from, &next, known) {
			s.report(i, n, &e)
		}
	})
	if end && !s.isClean(&from) {
		s.report(clean, n, nil)
	}
}

// report keeps the way to a state, and the step after it, if it is the first
// that breaks a promise.
func (s *searching) report(i invariant, n int32, last *event) {
	if s.found.broken[i] != nil {
		return
	}
	trace := []string{}
	if last != nil {
		trace = append(trace, s.sentence(*last))
	}
	for ; s.parents[n] >= 0; n = s.parents[n] {
		trace = append(trace, s.sentence(s.between(s.parents[n], n)))
	}
	slices.Reverse(trace)
	s.found.broken[i] = trace
}

// between finds the step from one state to the next.
func (s *searching) between(from, to int32) (found event) {
	before := s.states[from]
	s.steps(&before, func(e event, next state) {
		if s.forget(&next); next == s.states[to] {
			found = e
		}
	})
	return found
}

// forget takes out of a state what no later step looks at, so that states that
// go on in the same way are one.
func (m *model) forget(s *state) {
	if m.remembers {
		return
	}
	for r, q := range m.requests {
		if c := &s.clients[r]; c.done && c.outcome != success {
			c.outcome, c.at = noAnswer, 0
		}
		for t := range q.tries {
			w := &s.workers[r][t]
			if m.moved(s, w.head) {
				w.forgetHead()
			}
			if l := &s.late[r][t]; *l != 0 && (m.moved(s, *l-1) || !m.appendable(s, int8(r), m.ids[r][t])) {
				*l = 0 // it would change nothing
			}
			if w.step == answering && !m.listens(s, int8(r), t) {
				*w = worker{step: ended}
			}
			if q.sessions || w.step != ended {
				continue
			}
			if f := m.ids[r][t][0]; s.intents[f] == aborted && s.objects[f] == noObject && s.sweeper != f+1 {
				s.intents[f] = noIntent
			}
		}
	}
}
