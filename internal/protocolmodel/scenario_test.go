package protocolmodel

// scenario says who uploads what to one dataset.
type scenario struct {
	name     string
	requests []request
	deletes  byte // the name of a file that somebody deletes when it is listed, or 0
}

// request is what one client wants: one file in one request, or files that were
// sent through sessions and are appended in one step.
type request struct {
	sessions bool
	files    string // their names, a letter each, in the order wanted
	schema   int8   // from 1
	key      bool   // it carries an Idempotency-Key
	tries    int8   // how often its client makes it
	slow     bool   // a second try may begin while the first is still worked on
}

// file is one file id: every try of a direct upload makes a new one, and a
// session keeps its own.
type file struct {
	request int8
	index   int8 // in the order wanted
	name    byte
}

// model is a protocol at work in a scenario: the sound one, or one that lacks
// a guard.
type model struct {
	scenario
	without guard
	files   []file
	ids     [maxRequests][maxTries][]int8 // the files that a try appends

	remembers bool // states keep what no later step looks at
}

func newModel(sc scenario, without guard) *model {
	m := &model{scenario: sc, without: without}
	for r, q := range sc.requests {
		for t := range q.tries {
			if q.sessions && t > 0 {
				m.ids[r][t] = m.ids[r][0]
				continue
			}
			for i := range q.files {
				m.ids[r][t] = append(m.ids[r][t], int8(len(m.files)))
				m.files = append(m.files, file{request: int8(r), index: int8(i), name: q.files[i]})
			}
		}
	}
	return m
}

func (m *model) has(g guard) bool { return m.without != g }

// guard is one thing that the protocol relies on. A mutant is the protocol
// without it.
type guard string

const (
	everyGuard guard = ""

	headBelieved     guard = "a reader believes the head"
	positionAtAppend guard = "the append takes the position"
	headCondition    guard = "the head is where it was read"
	schemaCondition  guard = "the schema is checked in the append"
	nameCondition    guard = "the name is free"
	ownFiles         guard = "a file is known by its id"
	record           guard = "the Idempotency-Key is recorded"
	bytesFirst       guard = "the bytes are stored before the append"
	oneStep          guard = "a run is one step"
	intentCondition  guard = "the upload was not aborted"
	keepWhenUnsure   guard = "the bytes stay when the outcome is unknown"
	claim            guard = "the sweeper claims before it deletes"
	claimCondition   guard = "an appended upload is not aborted"
	resume           guard = "the sweeper goes on with what was claimed"
	retryAborted     guard = "a direct upload that was aborted is to be tried again"
	deletionMoves    guard = "a deletion moves the head"
	deleteForEver    guard = "a deleted file is not appended again"
	entryFirst       guard = "a file is unlisted before its bytes go"
	emptyPosition    guard = "a deleted file leaves its position empty"
)

var guards = []guard{
	headBelieved,
	positionAtAppend, headCondition, schemaCondition, nameCondition, ownFiles, record,
	bytesFirst, oneStep, intentCondition, keepWhenUnsure, claim, claimCondition,
	resume, retryAborted, deletionMoves, deleteForEver, entryFirst, emptyPosition,
}
