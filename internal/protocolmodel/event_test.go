package protocolmodel

import "fmt"

// event is a step as a trace tells it.
type event struct {
	what    string
	who     actor
	request int8
	try     int8
	file    int8 // its number + 1, or 0
}

// actor is who takes a step.
type actor uint8

const (
	nobody actor = iota // the event says it
	aClient
	aWorker
	theSweeper
	theDeleter
)

// sentence words an event. Clients are numbered from 1, and their tries too:
// worker 2.1 has the first try of client 2.
func (m *model) sentence(e event) string {
	text := e.what
	switch e.who {
	case aClient:
		text = fmt.Sprintf("client %d %s", e.request+1, text)
	case aWorker:
		text = fmt.Sprintf("worker %d.%d %s", e.request+1, e.try+1, text)
	case theSweeper:
		text = "the sweeper " + text
	case theDeleter:
		text = "the deleter " + text
	}
	if e.file != 0 {
		text += " " + m.fileName(e.file-1)
	}
	return text
}

func (m *model) fileName(f int8) string {
	return fmt.Sprintf("file %d (%q of client %d)", f, string(m.files[f].name), m.files[f].request+1)
}

func (o outcome) String() string {
	return [...]string{"nothing", "appended", "the name exists", "the schema differs", "the upload was aborted", "try again"}[o]
}
