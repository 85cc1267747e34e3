package schema_test

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/parqueue/parqueue/internal/schema"
)

// genFields draws fields of different names; the names are few, so that two
// draws meet.
func genFields(depth int) *rapid.Generator[[]schema.Field] {
	return rapid.Custom(func(t *rapid.T) []schema.Field {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "A", "a.b", "ü", "", `"`, "key", "value"}), 0, 5, rapid.ID).Draw(t, "names")
		fields := make([]schema.Field, len(names))
		for i, name := range names {
			fields[i] = genField(depth).Draw(t, "field")
			fields[i].Name = name
		}
		return fields
	})
}

func genField(depth int) *rapid.Generator[schema.Field] {
	return rapid.Custom(func(t *rapid.T) schema.Field {
		types := []string{"int64", "string", "double", "decimal(10,2)", "timestamp(us,utc)"}
		if depth > 0 {
			types = append(types, schema.List, schema.Map, schema.Struct)
		}
		f := schema.Field{Type: rapid.SampledFrom(types).Draw(t, "type"), Nullable: rapid.Bool().Draw(t, "nullable")}
		part := func(label string) *schema.Field {
			p := genField(depth-1).Draw(t, label)
			return &p
		}
		switch f.Type {
		case schema.List:
			f.Element = part("element")
		case schema.Map:
			f.Key, f.Value = part("key"), part("value")
		case schema.Struct:
			f.Fields = genFields(depth-1).Draw(t, "fields")
		}
		return f
	})
}

func genSchema() *rapid.Generator[schema.Schema] {
	return rapid.Custom(func(t *rapid.T) schema.Schema {
		return schema.Schema{Fields: genFields(3).Draw(t, "columns")}
	})
}

// shuffled is the same schema in another order and with other nullability.
func shuffled(t *rapid.T, fields []schema.Field) []schema.Field {
	if len(fields) == 0 {
		return nil
	}
	out := rapid.Permutation(fields).Draw(t, "order")
	for i := range out {
		out[i] = shuffledField(t, out[i])
	}
	return out
}

func shuffledField(t *rapid.T, f schema.Field) schema.Field {
	f.Nullable = rapid.Bool().Draw(t, "nullable")
	f.Fields = shuffled(t, f.Fields)
	for _, part := range []**schema.Field{&f.Element, &f.Key, &f.Value} {
		if *part != nil {
			p := shuffledField(t, **part)
			*part = &p
		}
	}
	return f
}

func TestOrderAndNullabilityDoNotCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSchema().Draw(t, "schema")
		other := schema.Schema{Fields: shuffled(t, s.Fields)}
		if s.Key() != other.Key() || !s.Equal(other) || !schema.Diff(s, other).Empty() {
			t.Fatalf("not the same: %v and %v: %s", s, other, schema.Diff(s, other))
		}
	})
}

// changed is the schema with one change, at a place drawn from all there are.
func changed(t *rapid.T, fields []schema.Field) []schema.Field {
	fields = slices.Clone(fields)
	if len(fields) == 0 {
		return append(fields, schema.Field{Name: "new", Type: "int64"})
	}
	i := rapid.IntRange(0, len(fields)-1).Draw(t, "place")
	switch rapid.SampledFrom([]string{"add", "remove", "rename", "retype", "inside"}).Draw(t, "change") {
	case "add":
		return append(fields, schema.Field{Name: "new", Type: "int64"})
	case "remove":
		return slices.Delete(fields, i, i+1)
	case "rename":
		fields[i].Name += "new"
	case "retype":
		fields[i] = schema.Field{Name: fields[i].Name, Type: "int16"}
	case "inside":
		fields[i] = changedInside(t, fields[i])
	}
	return fields
}

func changedInside(t *rapid.T, f schema.Field) schema.Field {
	switch f.Type {
	case schema.Struct:
		f.Fields = changed(t, f.Fields)
	case schema.List:
		f.Element = changedPart(t, f.Element)
	case schema.Map:
		if rapid.Bool().Draw(t, "key") {
			f.Key = changedPart(t, f.Key)
		} else {
			f.Value = changedPart(t, f.Value)
		}
	default:
		return schema.Field{Name: f.Name, Type: schema.List, Element: &schema.Field{Type: f.Type}}
	}
	return f
}

func changedPart(t *rapid.T, f *schema.Field) *schema.Field {
	p := changedInside(t, *f)
	return &p
}

func TestAnyChangeCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSchema().Draw(t, "schema")
		other := schema.Schema{Fields: changed(t, s.Fields)}
		diff := schema.Diff(s, other)
		if s.Key() == other.Key() || s.Equal(other) || diff.Empty() {
			t.Fatalf("the same: %v and %v", s, other)
		}
		if diff.MissingCount > 1 || diff.ExtraCount > 1 || diff.MissingCount+diff.ExtraCount+2*diff.ChangedCount > 2 {
			t.Fatalf("one change is told as more: %s", diff)
		}
	})
}

// Any two schemas, names that occur twice included, differ exactly when their
// keys do, and the difference one way is that of the other way turned around.
func TestDiffAgreesWithKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genSchema().Draw(t, "a"), genSchema().Draw(t, "b")
		if rapid.Bool().Draw(t, "twice") {
			a.Fields = append(a.Fields, genSchema().Draw(t, "more").Fields...)
			b.Fields = append(b.Fields, genSchema().Draw(t, "more").Fields...)
		}
		there, back := schema.Diff(a, b), schema.Diff(b, a)
		if there.Empty() != a.Equal(b) {
			t.Fatalf("Diff says %q, Equal %t: %v and %v", there, a.Equal(b), a, b)
		}
		if there.MissingCount != back.ExtraCount || there.ExtraCount != back.MissingCount || there.ChangedCount != back.ChangedCount {
			t.Fatalf("there %q, back %q", there, back)
		}
	})
}

// The type's text tells any two types apart, up to the order of fields.
func TestTypeStringTellsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genField(3).Draw(t, "a"), genField(3).Draw(t, "b")
		same := schema.Schema{Fields: []schema.Field{a}}.Equal(schema.Schema{Fields: []schema.Field{b}})
		if a.TypeString() == b.TypeString() && !same {
			t.Fatalf("%s for %v and %v", a.TypeString(), a, b)
		}
	})
}

func TestEncodeDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSchema().Draw(t, "schema")
		encoded, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := schema.Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Equal(decoded) {
			t.Fatalf("%v became %v", s, decoded)
		}
		again, err := decoded.Encode()
		if err != nil || string(again) != string(encoded) {
			t.Fatalf("%s became %s (%v)", encoded, again, err)
		}
	})
}

// wide is a schema of n columns with a prefix.
func wide(prefix string, n int) schema.Schema {
	var s schema.Schema
	for i := range n {
		s.Fields = append(s.Fields, schema.Field{Name: prefix + strconv.Itoa(i), Type: "int64"})
	}
	return s
}
