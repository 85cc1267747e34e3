package footer

// What the skip functions return in place of a position.
const (
	skipShort = -1 // the input ends too early
	skipDeep  = -2 // nested too deeply
	skipType  = -3 // no such type
)

// skipField returns the position after the value of a struct's field that
// starts at pos. It keeps everything in registers: most of a footer is skipped.
func skipField(buf []byte, pos int, typ byte, depth int) int {
	switch typ {
	case tTrue, tFalse:
		return pos
	case tI16, tI32, tI64:
		return skipVarint(buf, pos)
	case tBinary:
		return skipBinary(buf, pos)
	}
	return skipOther(buf, pos, typ, depth)
}

func skipOther(buf []byte, pos int, typ byte, depth int) int {
	switch typ {
	case tByte:
		return skipBytes(buf, pos, 1)
	case tDouble:
		return skipBytes(buf, pos, 8)
	case tUUID:
		return skipBytes(buf, pos, 16)
	}
	if depth <= 0 {
		return skipDeep
	}
	switch typ {
	case tStruct:
		return skipStruct(buf, pos, depth-1)
	case tList, tSet:
		return skipList(buf, pos, depth-1)
	case tMap:
		return skipMap(buf, pos, depth-1)
	}
	return skipType
}

func skipVarint(buf []byte, pos int) int {
	for end := min(len(buf), pos+10); pos < end; pos++ {
		if buf[pos] < 0x80 {
			return pos + 1
		}
	}
	return skipShort
}

func skipBytes(buf []byte, pos, n int) int {
	if n > len(buf)-pos {
		return skipShort
	}
	return pos + n
}

func skipBinary(buf []byte, pos int) int {
	n, pos := count(buf, pos)
	if pos < 0 || n > len(buf)-pos {
		return skipShort
	}
	return pos + n
}

// count reads a length or a number of items. One that the input cannot hold
// is returned as an error, so that callers need not fear overflow.
func count(buf []byte, pos int) (n, next int) {
	if pos < len(buf) && buf[pos] < 0x80 {
		return int(buf[pos]), pos + 1
	}
	return longCount(buf, pos)
}

func longCount(buf []byte, pos int) (n, next int) {
	c := cursor{buf: buf, pos: pos}
	v := c.longUvarint()
	if c.err != nil || v > uint64(c.left()) {
		return 0, skipShort
	}
	return int(v), c.pos
}

// skipStruct has the values that structs are mostly made of in line.
func skipStruct(buf []byte, pos, depth int) int {
	for pos < len(buf) {
		b := buf[pos]
		pos++
		typ := b & 0x0f
		if typ == tStop {
			return pos
		}
		if b < 0x10 { // the field's id follows
			if pos = skipVarint(buf, pos); pos < 0 {
				return pos
			}
		}
		switch {
		case typ >= tI16 && typ <= tI64:
			if pos < len(buf) && buf[pos] < 0x80 {
				pos++
				continue
			}
			pos = skipVarint(buf, pos)
		case typ == tBinary:
			if pos < len(buf) && buf[pos] < 0x80 {
				pos += 1 + int(buf[pos])
				continue // the next turn sees whether this is beyond the end
			}
			pos = skipBinary(buf, pos)
		case typ > tFalse:
			pos = skipOther(buf, pos, typ, depth)
		}
		if pos < 0 {
			return pos
		}
	}
	return skipShort
}

func skipList(buf []byte, pos, depth int) int {
	if pos >= len(buf) {
		return skipShort
	}
	b := buf[pos]
	pos++
	n := int(b >> 4)
	if n == 15 {
		if n, pos = count(buf, pos); pos < 0 {
			return pos
		}
	}
	if n > len(buf)-pos {
		return skipShort
	}
	typ := b & 0x0f
	if typ == tStruct && depth > 0 {
		return skipStructs(buf, pos, n, depth-1)
	}
	for ; n > 0 && pos >= 0; n-- {
		if typ >= tI16 && typ <= tI64 && pos < len(buf) && buf[pos] < 0x80 {
			pos++
			continue
		}
		pos = skipItem(buf, pos, typ, depth)
	}
	return pos
}

func skipStructs(buf []byte, pos, n, depth int) int {
	for ; n > 0 && pos >= 0; n-- {
		pos = skipStruct(buf, pos, depth)
	}
	return pos
}

// skipItem passes over an item of a list, set or map, where a bool takes a byte.
func skipItem(buf []byte, pos int, typ byte, depth int) int {
	if typ == tTrue || typ == tFalse {
		return skipBytes(buf, pos, 1)
	}
	return skipField(buf, pos, typ, depth)
}

func skipMap(buf []byte, pos, depth int) int {
	n, pos := count(buf, pos)
	if pos < 0 || n > len(buf)-pos {
		return skipShort
	}
	if n == 0 {
		return pos
	}
	types := buf[pos]
	pos++
	for ; n > 0; n-- {
		if pos = skipItem(buf, pos, types>>4, depth); pos < 0 {
			return pos
		}
		if pos = skipItem(buf, pos, types&0x0f, depth); pos < 0 {
			return pos
		}
	}
	return pos
}
