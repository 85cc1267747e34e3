package footer

import (
	"math"

	"github.com/parqueue/parqueue/internal/fault"
)

// The types of Thrift's compact protocol.
// https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
const (
	tStop   = 0
	tTrue   = 1
	tFalse  = 2
	tByte   = 3
	tI16    = 4
	tI32    = 5
	tI64    = 6
	tDouble = 7
	tBinary = 8
	tList   = 9
	tSet    = 10
	tMap    = 11
	tStruct = 12
	tUUID   = 13
)

// cursor reads Thrift's compact protocol from memory. The first error sticks
// and puts the position at the end, so that every loop over the input ends soon
// after; callers look at err where it matters.
type cursor struct {
	buf      []byte
	pos      int
	maxDepth int
	err      *fault.Error
}

//go:noinline
func (c *cursor) fail(err *fault.Error) {
	if c.err == nil {
		c.err = err
	}
	c.pos = len(c.buf)
}

//go:noinline
func (c *cursor) failShort() { c.fail(invalid("its footer ends in the middle of a value")) }

func (c *cursor) left() int { return len(c.buf) - c.pos }

func (c *cursor) byte() byte {
	if c.pos >= len(c.buf) {
		c.failShort()
		return 0
	}
	b := c.buf[c.pos]
	c.pos++
	return b
}

// uvarint has a short way for numbers of one byte: most in a footer are.
func (c *cursor) uvarint() uint64 {
	p := c.pos
	if p >= len(c.buf) || c.buf[p] >= 0x80 {
		return c.longUvarint()
	}
	c.pos++
	return uint64(c.buf[p])
}

func (c *cursor) longUvarint() uint64 {
	var v uint64
	for shift := 0; shift < 70; shift += 7 {
		if c.pos >= len(c.buf) {
			c.failShort()
			return 0
		}
		b := c.buf[c.pos]
		c.pos++
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	c.fail(invalid("its footer has a number of more than 64 bits"))
	return 0
}

func (c *cursor) varint() int64 {
	v := c.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// walk is the state of reading one struct.
type walk struct {
	what string // the struct's name in the format, for messages
	id   int    // of the field at hand
	typ  byte   // of the field at hand
	seen uint64 // fields seen, by id
}

// next goes to the next field of a struct and reports whether there is one. A
// field that is given twice is refused: readers disagree on which one counts,
// so that the file that was checked might not be the file that is read.
func (c *cursor) next(w *walk) bool {
	if c.pos >= len(c.buf) { // also after any error
		c.failShort()
		return false
	}
	b := c.buf[c.pos]
	c.pos++
	w.typ = b & 0x0f
	if w.typ == tStop {
		return false
	}
	if b >= 0x10 {
		w.id += int(b >> 4)
	} else {
		w.id = c.fieldID()
	}
	if uint(w.id) < 64 {
		bit := uint64(1) << uint(w.id)
		if w.seen&bit != 0 {
			c.failTwice(w)
			return false
		}
		w.seen |= bit
	}
	return true
}

//go:noinline
func (c *cursor) failTwice(w *walk) {
	c.fail(invalid("field %d of its %s is there twice", w.id, w.what))
}

func (c *cursor) fieldID() int {
	id := c.varint()
	if id < math.MinInt16 || id > math.MaxInt16 {
		c.fail(invalid("its footer has a field numbered %d", id))
	}
	return int(id)
}

// has reports whether a struct had all of some fields; it fails otherwise.
func (c *cursor) has(w *walk, ids ...int) bool {
	for _, id := range ids {
		if w.seen&(1<<uint(id)) == 0 {
			c.fail(invalid("its %s has no field %d", w.what, id))
			return false
		}
	}
	return true
}

// typed reports whether the field at hand has a type; it fails otherwise.
func (c *cursor) typed(w *walk, want byte) bool {
	if w.typ != want {
		c.failType(w)
		return false
	}
	return true
}

//go:noinline
func (c *cursor) failType(w *walk) {
	c.fail(invalid("field %d of its %s has the wrong type", w.id, w.what))
}

func (c *cursor) i64(w *walk) int64 {
	if !c.typed(w, tI64) {
		return 0
	}
	return c.varint()
}

func (c *cursor) i32(w *walk) int32 {
	if !c.typed(w, tI32) {
		return 0
	}
	v := c.varint()
	if v != int64(int32(v)) {
		c.fail(invalid("field %d of its %s has more than 32 bits", w.id, w.what))
	}
	return int32(v)
}

func (c *cursor) i8(w *walk) int8 {
	if !c.typed(w, tByte) {
		return 0
	}
	return int8(c.byte())
}

func (c *cursor) bool(w *walk) bool {
	if w.typ == tFalse {
		return false
	}
	return c.typed(w, tTrue)
}

// binary returns a part of the input; the caller copies what it keeps.
func (c *cursor) binary(w *walk) []byte {
	if !c.typed(w, tBinary) {
		return nil
	}
	n := c.uvarint()
	if n > uint64(c.left()) {
		c.failShort()
		return nil
	}
	p := c.buf[c.pos : c.pos+int(n)]
	c.pos += int(n)
	return p
}

// list reads the head of a list of structs and returns their number, which the
// bytes that are left can hold.
func (c *cursor) list(w *walk) int {
	if !c.typed(w, tList) {
		return 0
	}
	elem, n := c.listHead(w)
	if n > 0 && elem != tStruct {
		c.fail(invalid("field %d of its %s is a list of the wrong type", w.id, w.what))
		return 0
	}
	return n
}

func (c *cursor) listHead(w *walk) (elem byte, n int) {
	b := c.byte()
	size := uint64(b >> 4)
	if size == 15 {
		size = c.uvarint()
	}
	if size > uint64(c.left()) {
		c.fail(invalid("field %d of its %s is a list of %d items in %d bytes", w.id, w.what, size, c.left()))
		return 0, 0
	}
	return b & 0x0f, int(size)
}

// skip passes over the value of the field at hand.
func (c *cursor) skip(w *walk) {
	pos := skipField(c.buf, c.pos, w.typ, c.maxDepth)
	if pos < 0 {
		c.failSkip(w, pos)
		return
	}
	c.pos = pos
}

func (c *cursor) failSkip(w *walk, why int) {
	switch why {
	case skipDeep:
		c.fail(beyond("Field %d of the footer's %s is nested deeper than %d; that is the limit.", w.id, w.what, c.maxDepth))
	case skipType:
		c.fail(invalid("field %d of its %s has a type that does not exist", w.id, w.what))
	default:
		c.fail(invalid("field %d of its %s is longer than the footer", w.id, w.what))
	}
}
