package schema

import (
	"encoding/json"
	"errors"
	"fmt"
)

// What Decode takes. A schema that came out of a footer is always inside: there
// 20,000 elements may nest 64 deep with 4 MiB of names, an element is at most
// two fields within each other (a list and its element), and a byte of a name is
// at most six in JSON.
const (
	maxEncodedBytes = 32 << 20
	maxFields       = 2 * 20_000
	maxDepth        = 2*64 + 2
)

// Encode writes a schema as JSON, in the shape that clients read.
func (s Schema) Encode() ([]byte, error) {
	if s.Fields == nil {
		s.Fields = []Field{}
	}
	return json.Marshal(s)
}

// Decode reads what Encode wrote. Nullability is not in it, so every field is
// read as not nullable.
func Decode(data []byte) (Schema, error) {
	if len(data) > maxEncodedBytes {
		return Schema{}, fmt.Errorf("schema of %d bytes exceeds %d", len(data), maxEncodedBytes)
	}
	var s Schema
	if err := json.Unmarshal(data, &s); err != nil {
		return Schema{}, fmt.Errorf("decoding a schema: %w", err)
	}
	left := maxFields
	if err := checkFields(s.Fields, 1, &left); err != nil {
		return Schema{}, fmt.Errorf("decoding a schema: %w", err)
	}
	return s, nil
}

func checkFields(fields []Field, depth int, left *int) error {
	for i := range fields {
		if err := checkField(&fields[i], depth, left); err != nil {
			return err
		}
	}
	return nil
}

// checkField makes sure that a field has the parts that its type calls for and
// no others, so that code that walks a schema need not look again.
func checkField(f *Field, depth int, left *int) error {
	if *left--; *left < 0 {
		return fmt.Errorf("more than %d fields", maxFields)
	}
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	if f.Type == "" {
		return errors.New("a field has no type")
	}
	isList, isMap := f.Type == List, f.Type == Map
	if (f.Element != nil) != isList || (f.Key != nil) != isMap || (f.Value != nil) != isMap ||
		(len(f.Fields) > 0 && f.Type != Struct) {
		return fmt.Errorf("a field of type %q has the wrong parts", clip(f.Type, 64))
	}
	for _, part := range []*Field{f.Element, f.Key, f.Value} {
		if part == nil {
			continue
		}
		if err := checkField(part, depth+1, left); err != nil {
			return err
		}
	}
	return checkFields(f.Fields, depth+1, left)
}
