package footer

// physical is how the values of a column are stored.
type physical int8

const (
	physBoolean physical = iota
	physInt32
	physInt64
	physInt96
	physFloat
	physDouble
	physByteArray
	physFixed
	physicals // their number

	group physical = -1 // in place of a type
)

type repetition int8

const (
	required repetition = iota
	optional
	repeated
	repetitions // their number

	unset repetition = -1
)

// converted is the older annotation of a type.
type converted int8

const (
	convUTF8 converted = iota
	convMap
	convMapKeyValue
	convList
	convEnum
	convDecimal
	convDate
	convTimeMillis
	convTimeMicros
	convTimestampMillis
	convTimestampMicros
	convUint8
	convUint16
	convUint32
	convUint64
	convInt8
	convInt16
	convInt32
	convInt64
	convJSON
	convBSON
	convInterval

	noConverted converted = -1
)

// logical is the newer annotation of a type: the number of the field that is
// set in the union LogicalType.
type logical int16

const (
	noLogical    logical = 0
	logString    logical = 1
	logMap       logical = 2
	logList      logical = 3
	logEnum      logical = 4
	logDecimal   logical = 5
	logDate      logical = 6
	logTime      logical = 7
	logStamp     logical = 8 // TIMESTAMP
	logInteger   logical = 10
	logUnknown   logical = 11 // always null
	logJSON      logical = 12
	logBSON      logical = 13
	logUUID      logical = 14
	logFloat16   logical = 15
	logVariant   logical = 16
	logGeometry  logical = 17
	logGeography logical = 18
	logOther     logical = -1 // one that this code does not know: the physical type counts
)

// element is one SchemaElement, with the parts that matter.
type element struct {
	name      []byte // part of the footer
	typ       physical
	rep       repetition
	conv      converted
	log       logical
	length    int32 // of a fixed_len_byte_array
	children  int32 // of a group
	scale     int32
	precision int32

	// Parameters of the logical type; its scale and precision are above.
	bits   int8 // of an INTEGER
	signed bool
	utc    bool
	unit   byte // of a TIME or TIMESTAMP: 1 ms, 2 us, 3 ns, 0 none
}

// schema reads the list of SchemaElements and makes the columns of it.
func (m *metadata) schema(w *walk) {
	n := m.list(w)
	switch {
	case m.err != nil:
		return
	case n == 0:
		m.fail(invalid("it has no schema"))
		return
	case n > m.limits.SchemaElements:
		m.fail(beyond("The schema has %d elements; the limit is %d.", n, m.limits.SchemaElements))
		return
	}
	elements := make([]element, n)
	names := 0
	for i := 0; i < n && m.err == nil; i++ {
		m.element(&elements[i])
		if names += len(elements[i].name); names > m.limits.NamesBytes {
			m.fail(beyond("The names of the columns have more than %d bytes together; that is the limit.", m.limits.NamesBytes))
		}
	}
	if m.err != nil {
		return
	}
	tree, err := newTree(elements, m.limits.SchemaDepth)
	if err != nil {
		m.fail(err)
		return
	}
	m.leaves = tree.leaves
	if m.columns, err = tree.columns(); err != nil {
		m.fail(err)
		return
	}
	m.hasTree = true
}

func (m *metadata) element(e *element) {
	*e = element{typ: group, rep: unset, conv: noConverted, children: -1}
	w := walk{what: "SchemaElement"}
	var decimal [2]int32 // scale and precision as the logical type has them
	for m.next(&w) {
		switch w.id {
		case 1:
			e.typ = physical(m.enum(&w, int32(physicals), "physical type"))
		case 2:
			e.length = m.i32(&w)
		case 3:
			e.rep = repetition(m.enum(&w, int32(repetitions), "repetition"))
		case 4:
			e.name = m.binary(&w)
			if len(e.name) > m.limits.NameBytes {
				m.fail(beyond("A column's name has %d bytes; the limit is %d.", len(e.name), m.limits.NameBytes))
			}
		case 5:
			if e.children = m.i32(&w); e.children < 0 {
				m.fail(invalid("a group of its schema has %d columns", e.children))
			}
		case 6:
			e.conv = noConverted
			if conv := m.i32(&w); conv >= 0 && conv <= int32(convInterval) {
				e.conv = converted(conv)
			}
		case 7:
			e.scale = m.i32(&w)
		case 8:
			e.precision = m.i32(&w)
		case 10:
			m.logical(&w, e, &decimal)
		default:
			m.skip(&w)
		}
	}
	if e.log == logDecimal {
		e.scale, e.precision = decimal[0], decimal[1]
	}
}

// enum reads a number that must be from 0 to below limit.
func (m *metadata) enum(w *walk, limit int32, what string) int32 {
	v := m.i32(w)
	if v < 0 || v >= limit {
		m.fail(invalid("its schema has the %s %d, which does not exist", what, v))
		return 0
	}
	return v
}

// logical reads the union LogicalType.
func (m *metadata) logical(w *walk, e *element, decimal *[2]int32) {
	if !m.typed(w, tStruct) {
		return
	}
	u := walk{what: "LogicalType"}
	for m.next(&u) {
		if e.log != noLogical {
			m.fail(invalid("column %s has two logical types", shown(e.name)))
			return
		}
		e.log = logOther
		if u.id < int(logString) || u.id > int(logGeography) || u.id == 9 {
			m.skip(&u)
			continue
		}
		e.log = logical(u.id)
		m.parameters(&u, e, decimal)
	}
}

func (m *metadata) parameters(u *walk, e *element, decimal *[2]int32) {
	if !m.typed(u, tStruct) {
		return
	}
	p := walk{what: "logical type"}
	for m.next(&p) {
		switch {
		case e.log == logDecimal && p.id <= 2 && p.id >= 1:
			decimal[p.id-1] = m.i32(&p)
		case (e.log == logTime || e.log == logStamp) && p.id == 1:
			e.utc = m.bool(&p)
		case (e.log == logTime || e.log == logStamp) && p.id == 2:
			e.unit = m.timeUnit(&p)
		case e.log == logInteger && p.id == 1:
			e.bits = m.i8(&p)
		case e.log == logInteger && p.id == 2:
			e.signed = m.bool(&p)
		default:
			m.skip(&p)
		}
	}
}

// timeUnit reads the union TimeUnit; 0 stands for one that does not exist.
func (m *metadata) timeUnit(p *walk) (unit byte) {
	if !m.typed(p, tStruct) {
		return 0
	}
	u := walk{what: "TimeUnit"}
	for m.next(&u) {
		if unit != 0 || u.id < 1 || u.id > 3 {
			m.fail(invalid("its schema has a time without a known unit"))
			return 0
		}
		unit = byte(u.id)
		m.skip(&u)
	}
	return unit
}
