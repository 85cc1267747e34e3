package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// keyDomain separates these hashes from any other use of SHA-256. Changing the
// encoding below means changing the number: stored keys then no longer match.
const keyDomain = "parqueue schema 1\n"

// Key identifies the schema: two schemas have the same key exactly when they
// are the same. It may be stored; it stays the same between releases.
func (s Schema) Key() [32]byte {
	return sha256.Sum256(appendFields([]byte(keyDomain), s.Fields))
}

// Equal reports whether two files with these schemas may be in one dataset.
func (s Schema) Equal(other Schema) bool { return s.Key() == other.Key() }

// sameField reports whether two fields of the same name are the same.
func sameField(a, b Field) bool {
	return bytes.Equal(appendType(nil, a), appendType(nil, b))
}

// appendFields appends the canonical encoding of a set of fields: their number,
// then each of them, sorted by its encoding. Every part of an encoding says how
// long it is, so no two schemas share one.
func appendFields(dst []byte, fields []Field) []byte {
	encoded := make([][]byte, len(fields))
	for i, f := range fields {
		encoded[i] = appendType(appendText(nil, f.Name), f)
	}
	slices.SortFunc(encoded, bytes.Compare)
	dst = binary.AppendUvarint(dst, uint64(len(fields)))
	for _, e := range encoded {
		dst = append(dst, e...)
	}
	return dst
}

// appendType appends everything about a field but its name and nullability.
// The names of elements, keys and values are left out: writers choose them.
func appendType(dst []byte, f Field) []byte {
	dst = appendText(dst, f.Type)
	dst = appendFields(dst, f.Fields)
	for _, part := range []*Field{f.Element, f.Key, f.Value} {
		if part == nil {
			dst = append(dst, 0)
			continue
		}
		dst = appendType(append(dst, 1), *part)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
