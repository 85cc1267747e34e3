package footer

import "math"

const codecs = 8 // UNCOMPRESSED to LZ4_RAW

// rowGroups checks the list of row groups while it walks over it; nothing of it
// is kept but the sums.
func (m *metadata) rowGroups(w *walk) {
	n := m.list(w)
	if n > m.limits.RowGroups {
		m.fail(beyond("The file has %d row groups; the limit is %d.", n, m.limits.RowGroups))
		return
	}
	for m.groups = 0; m.groups < n && m.err == nil; m.groups++ {
		m.rowGroup()
	}
}

func (m *metadata) rowGroup() {
	w := walk{what: "RowGroup"}
	var rows int64
	for m.next(&w) {
		switch w.id {
		case 1:
			m.chunks(&w)
		case 2:
			m.i64(&w) // total_byte_size: written by all, read by none
		case 3:
			rows = m.i64(&w)
		default:
			m.skip(&w)
		}
	}
	if m.err != nil || !m.has(&w, 1, 2, 3) {
		return
	}
	if rows < 0 || rows > math.MaxInt64-m.rows {
		m.fail(invalid("row group %d claims %d rows", m.groups, rows))
		return
	}
	m.rows += rows
}

func (m *metadata) chunks(w *walk) {
	n := m.list(w)
	if m.err == nil && n != len(m.leaves) {
		m.fail(invalid("row group %d has %d columns, and the schema %d", m.groups, n, len(m.leaves)))
		return
	}
	for i := 0; i < n && m.err == nil; i++ {
		m.chunk(i)
	}
}

// chunk checks one ColumnChunk, that of the column with a number.
func (m *metadata) chunk(column int) {
	w := walk{what: "ColumnChunk"}
	hasMetadata, isEncrypted, elsewhere := false, false, false
	for m.next(&w) {
		switch w.id {
		case 1:
			elsewhere = len(m.binary(&w)) > 0
		case 3:
			if m.typed(&w, tStruct) {
				hasMetadata = true
				m.chunkMetadata(column)
			}
		case 8, 9: // crypto_metadata, encrypted_column_metadata
			isEncrypted = true
			m.skip(&w)
		default:
			m.skip(&w)
		}
	}
	switch {
	case m.err != nil:
	case isEncrypted:
		m.fail(encrypted())
	case elsewhere:
		m.fail(unsupported("Send the data files themselves, not the _metadata file that sums them up.",
			"The file's data is in other files."))
	case !hasMetadata:
		m.fail(invalid("row group %d has no metadata for column %d", m.groups, column))
	}
}

// chunkRange is what a ColumnMetaData says of where the column's bytes are.
type chunkRange struct {
	data, dictionary, compressed, uncompressed, values int64
}

func (m *metadata) chunkMetadata(column int) {
	w := walk{what: "ColumnMetaData"}
	var at chunkRange
	for m.next(&w) {
		switch w.id {
		case 1:
			if typ := physical(m.i32(&w)); m.err == nil && typ != m.leaves[column] {
				m.fail(invalid("row group %d stores column %d in another type than its schema says", m.groups, column))
			}
		case 4:
			if codec := m.i32(&w); uint32(codec) >= codecs {
				m.fail(invalid("row group %d, column %d: there is no codec %d", m.groups, column, codec))
			}
		case 5:
			at.values = m.i64(&w)
		case 6:
			at.uncompressed = m.i64(&w)
		case 7:
			at.compressed = m.i64(&w)
		case 9:
			at.data = m.i64(&w)
		case 11:
			at.dictionary = m.i64(&w)
		default:
			m.skip(&w)
		}
	}
	const required = 1<<1 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<9
	if m.err == nil && w.seen&required != required {
		m.has(&w, 1, 4, 5, 6, 7, 9)
		return
	}
	m.chunkBounds(column, at)
}

// chunkBounds makes sure that a column's pages are between the file's magic and
// its footer.
func (m *metadata) chunkBounds(column int, at chunkRange) {
	if m.err != nil {
		return
	}
	if at.values < 0 || at.uncompressed < 0 || at.compressed < 0 {
		m.fail(invalid("row group %d, column %d has a negative size", m.groups, column))
		return
	}
	if at == (chunkRange{uncompressed: at.uncompressed}) {
		return // no values and so no pages
	}
	start := at.start()
	if start < magicBytes || max(at.data, at.dictionary) > m.dataEnd || at.compressed > m.dataEnd-start {
		m.fail(invalid("row group %d, column %d has %d bytes at %d, outside the file's data, which ends at %d",
			m.groups, column, at.compressed, start, m.dataEnd))
	}
}

// start is where the first page is. Writers put 0 where there is no dictionary
// page, and where a column without values has no data page.
func (at chunkRange) start() int64 {
	switch {
	case at.data == 0 && at.values == 0:
		return at.dictionary
	case at.dictionary == 0:
		return at.data
	}
	return min(at.data, at.dictionary)
}
