package footer_test

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The tests write footers by hand, sound and unsound ones. A struct of Thrift's
// compact protocol is a list of fields; the Go type of a value says which Thrift
// type is written.
type (
	object []field
	field  struct {
		id    int
		value any
	}
	raw struct { // a value as it stands
		typ   byte
		bytes []byte
	}
)

func (o object) encode() []byte {
	var out []byte
	last := 0
	for _, f := range o {
		typ, value := encodeValue(f.value)
		if delta := f.id - last; delta >= 1 && delta <= 15 {
			out = append(out, byte(delta)<<4|typ)
		} else {
			out = binary.AppendVarint(append(out, typ), int64(f.id))
		}
		last = f.id
		out = append(out, value...)
	}
	return append(out, 0)
}

// set returns a copy with one field replaced or added, in the order of ids.
func (o object) set(id int, value any) object {
	var out object
	done := false
	for _, f := range o {
		if !done && f.id >= id {
			out = append(out, field{id, value})
			done = true
		}
		if f.id != id {
			out = append(out, f)
		}
	}
	if !done {
		out = append(out, field{id, value})
	}
	return out
}

// without returns a copy that lacks a field.
func (o object) without(id int) object {
	var out object
	for _, f := range o {
		if f.id != id {
			out = append(out, f)
		}
	}
	return out
}

func encodeValue(v any) (typ byte, value []byte) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, nil
		}
		return 2, nil
	case int8:
		return 3, []byte{byte(v)}
	case int16:
		return 4, binary.AppendVarint(nil, int64(v))
	case int32:
		return 5, binary.AppendVarint(nil, int64(v))
	case int64:
		return 6, binary.AppendVarint(nil, v)
	case float64:
		return 7, binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))
	case string:
		return 8, append(binary.AppendUvarint(nil, uint64(len(v))), v...)
	case []object:
		return 9, encodeList(12, len(v), func(i int) []byte { return v[i].encode() })
	case []int32:
		return 9, encodeList(5, len(v), func(i int) []byte { return binary.AppendVarint(nil, int64(v[i])) })
	case []string:
		return 9, encodeList(8, len(v), func(i int) []byte { _, p := encodeValue(v[i]); return p })
	case object:
		return 12, v.encode()
	case raw:
		return v.typ, v.bytes
	}
	panic(fmt.Sprintf("a %T in a Thrift struct", v))
}

func encodeList(elem byte, n int, item func(int) []byte) []byte {
	out := listHead(elem, n)
	for i := range n {
		out = append(out, item(i)...)
	}
	return out
}

func listHead(elem byte, n int) []byte {
	if n < 15 {
		return []byte{byte(n)<<4 | elem}
	}
	return binary.AppendUvarint([]byte{0xf0 | elem}, uint64(n))
}

// A file is data and footer between the magics.
func file(data string, footer []byte) []byte {
	out := append([]byte("PAR1"+data), footer...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(footer)))
	return append(out, "PAR1"...)
}

// Physical types and repetitions as the format numbers them.
const (
	boolean, int32s, int64s, int96, float32s, double, bytesType, fixed = 0, 1, 2, 3, 4, 5, 6, 7

	req, opt, rep = 0, 1, 2
)

// leaf is the schema element of a column.
func leaf(name string, typ, repetition int32, more ...field) object {
	return append(object{{1, typ}, {3, repetition}, {4, name}}, more...)
}

// groupOf is the schema element of a group, whose children follow it.
func groupOf(name string, repetition int32, children int32, more ...field) object {
	return append(object{{3, repetition}, {4, name}, {5, children}}, more...)
}

// logicalType annotates an element with a member of the union LogicalType.
func logicalType(id int, parameters ...field) field {
	return field{10, object{{id, object(parameters)}}}
}

// convertedType annotates an element in the old way.
func convertedType(n int32) field { return field{6, n} }

// root is the schema element that a schema begins with.
func root(children int32) object { return object{{4, "root"}, {5, children}} }

// metadataOf is a footer with a schema and no row groups.
func metadataOf(elements ...object) object {
	return object{{1, int32(1)}, {2, elements}, {3, int64(0)}, {4, []object{}}}
}

// columnMetadata is of an int64 column x whose pages are n bytes at offset 4.
func columnMetadata(n int64) object {
	return object{
		{1, int32(int64s)},
		{2, []int32{0}},
		{3, []string{"x"}},
		{4, int32(0)},
		{5, int64(1)},
		{6, n},
		{7, n},
		{9, int64(4)},
	}
}

func rowGroup(rows int64, chunks ...object) object {
	return object{{1, chunks}, {2, int64(10)}, {3, rows}}
}

// oneChunk is a footer with one column x in one row group of one row.
func oneChunk(chunk object) object {
	return metadataOf(root(1), leaf("x", int64s, opt)).
		set(3, int64(1)).
		set(4, []object{rowGroup(1, chunk)})
}

// chunkWith is a footer whose one chunk has this metadata.
func chunkWith(metadata object) object {
	return oneChunk(object{{2, int64(0)}, {3, metadata}})
}
