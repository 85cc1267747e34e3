package footer

import (
	"strings"

	"github.com/parqueue/parqueue/internal/schema"
)

const maxCreatedBy = 256

// metadata is the state of walking a FileMetaData. Names and numbers of fields are those of
// https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
type metadata struct {
	cursor
	limits   Limits
	dataEnd  int64 // where the footer starts: pages end before it
	numRows  int64 // as the file's own field says
	rows     int64 // as the row groups say
	groups   int
	columns  []schema.Field
	leaves   []physical // the columns that are stored, in order
	hasTree  bool       // the schema was read
	deferred *walk      // row groups that came before the schema
	resume   int        // where those start
	created  string
}

// decode checks a footer whose file has its data before dataEnd.
func decode(footer []byte, dataEnd int64, limits Limits) (Info, error) {
	m := metadata{
		cursor:  cursor{buf: footer, maxDepth: limits.ThriftDepth},
		limits:  limits,
		dataEnd: dataEnd,
	}
	m.file()
	if m.err != nil {
		return Info{}, m.err
	}
	// A writer may leave num_rows at 0; the row groups are what readers go by.
	return Info{
		Schema:    schema.Schema{Fields: m.columns},
		NumRows:   m.rows,
		RowGroups: m.groups,
		CreatedBy: m.created,
	}, nil
}

func (m *metadata) file() {
	w := walk{what: "FileMetaData"}
	for m.next(&w) {
		m.fileField(&w)
	}
	if m.err != nil || !m.has(&w, 1, 2, 3, 4) {
		return
	}
	if m.deferred != nil {
		m.pos = m.resume
		m.rowGroups(m.deferred)
	}
	if m.err == nil && m.numRows != 0 && m.numRows != m.rows {
		m.fail(invalid("it claims %d rows, and its row groups have %d", m.numRows, m.rows))
	}
}

func (m *metadata) fileField(w *walk) {
	switch w.id {
	case 1:
		m.i32(w) // version: 1 and 2 mean the same to a reader
	case 2:
		m.schema(w)
	case 3:
		if m.numRows = m.i64(w); m.numRows < 0 {
			m.fail(invalid("it claims %d rows", m.numRows))
		}
	case 4:
		if !m.hasTree { // legal in Thrift, though no writer does it
			later := *w
			m.deferred, m.resume = &later, m.pos
			m.skip(w)
			return
		}
		m.rowGroups(w)
	case 6:
		m.created = createdBy(m.binary(w))
	case 8, 9: // encryption_algorithm, footer_signing_key_metadata
		m.fail(encrypted())
	default:
		m.skip(w)
	}
}

// createdBy copies what fits of the writer's name.
func createdBy(p []byte) string {
	return strings.ToValidUTF8(string(p[:min(len(p), maxCreatedBy)]), "")
}
