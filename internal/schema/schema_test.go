package schema_test

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parqueue/parqueue/internal/schema"
)

func of(name, typ string) schema.Field { return schema.Field{Name: name, Type: typ} }

func structOf(name string, fields ...schema.Field) schema.Field {
	return schema.Field{Name: name, Type: schema.Struct, Fields: fields}
}

func listOf(name string, element schema.Field) schema.Field {
	element.Name = ""
	return schema.Field{Name: name, Type: schema.List, Element: &element}
}

func mapOf(name string, key, value schema.Field) schema.Field {
	key.Name, value.Name = "", ""
	return schema.Field{Name: name, Type: schema.Map, Key: &key, Value: &value}
}

func columns(fields ...schema.Field) schema.Schema { return schema.Schema{Fields: fields} }

// Keys are stored, so they may not change between releases.
func TestKeyIsStable(t *testing.T) {
	s := columns(of("b", "int64"), structOf("a", of("x", "string"), listOf("y", of("", "double"))), mapOf("m", of("", "string"), of("", "int32")))
	key := s.Key()
	const want = "32b9765c4cdac85b4eb423f2c5f1bae0d6bb22e564e0ea37fe4d0e704ab0e57e"
	if got := hex.EncodeToString(key[:]); got != want {
		t.Errorf("the key is %s, want %s", got, want)
	}
}

// What a writer chooses to call the parts of lists and maps does not count.
func TestInnerNamesDoNotCount(t *testing.T) {
	a, b := listOf("l", of("", "int64")), listOf("l", of("", "int64"))
	b.Element.Name = "item"
	if !columns(a).Equal(columns(b)) || !schema.Diff(columns(a), columns(b)).Empty() {
		t.Error("the name of an element counts")
	}
}

func TestTypeString(t *testing.T) {
	for want, f := range map[string]schema.Field{
		`int64`:                               of("x", "int64"),
		`list<struct<"a":int32,"b":string>>`:  listOf("x", structOf("", of("a", "int32"), of("b", "string"))),
		`map<string,list<timestamp(us,utc)>>`: mapOf("x", of("", "string"), listOf("", of("", "timestamp(us,utc)"))),
		`struct<>`:                            structOf("x"),
		`struct<"a\"b\n":int32>`:              structOf("x", of("a\"b\n", "int32")),
	} {
		if got := f.TypeString(); got != want {
			t.Errorf("the text is %s, want %s", got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	s := columns(of("input", "string"), structOf("st", of("a", "int32")), listOf("l", of("", "int64")), mapOf("m", of("", "string"), of("", "int32")))
	s.Fields[0].Nullable = true
	got, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"fields":[{"name":"input","type":"string"},` +
		`{"name":"st","type":"struct","fields":[{"name":"a","type":"int32"}]},` +
		`{"name":"l","type":"list","element":{"type":"int64"}},` +
		`{"name":"m","type":"map","key":{"type":"string"},"value":{"type":"int32"}}]}`
	if string(got) != want {
		t.Errorf("the JSON is\n%s, want\n%s", got, want)
	}
	if got, err := (schema.Schema{}).Encode(); err != nil || string(got) != `{"fields":[]}` {
		t.Errorf("no columns are %s, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	nested := func(n int) string {
		return strings.Repeat(`{"type":"list","element":`, n) + `{"type":"int64"}` + strings.Repeat("}", n)
	}
	for name, text := range map[string]string{
		"no JSON":           `{"fields":[`,
		"another JSON":      `["fields"]`,
		"no type":           `{"fields":[{"name":"a"}]}`,
		"list of nothing":   `{"fields":[{"name":"a","type":"list"}]}`,
		"map without value": `{"fields":[{"name":"a","type":"map","key":{"type":"string"}}]}`,
		"int of elements":   `{"fields":[{"name":"a","type":"int64","element":{"type":"int64"}}]}`,
		"int of fields":     `{"fields":[{"name":"a","type":"int64","fields":[{"name":"b","type":"int64"}]}]}`,
		"struct of a key":   `{"fields":[{"name":"a","type":"struct","key":{"type":"int64"}}]}`,
		"too deep":          `{"fields":[` + nested(200) + `]}`,
		"far too deep":      `{"fields":[` + nested(20_000) + `]}`,
		"too wide":          `{"fields":[` + strings.Repeat(`{"type":"int64"},`, 40_000) + `{"type":"int64"}]}`,
		"too long":          `{"fields":[]}` + strings.Repeat(" ", 32<<20),
	} {
		if s, err := schema.Decode([]byte(text)); err == nil {
			t.Errorf("%s: decoded %d columns", name, len(s.Fields))
		}
	}
	for _, text := range []string{`{"fields":[` + nested(128) + `]}`, `{"fields":[{"name":"a","type":"struct"}]}`, `{}`} {
		if _, err := schema.Decode([]byte(text)); err != nil {
			t.Errorf("refused: %v", err)
		}
	}
}

func FuzzSchemaJSON(f *testing.F) {
	f.Add([]byte(`{"fields":[{"name":"st","type":"struct","fields":[{"name":"a","type":"int32"}]}]}`))
	f.Add([]byte(`{"fields":[{"name":"m","type":"map","key":{"type":"string"},"value":{"type":"list","element":{"type":"int32"}}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := schema.Decode(text)
		if err != nil {
			return
		}
		encoded, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := schema.Decode(encoded)
		if err != nil || !s.Equal(again) {
			t.Fatalf("%s became %s (%v)", text, encoded, err)
		}
		if d := schema.Diff(s, again); !d.Empty() || schema.Diff(s, schema.Schema{}).String() == "" {
			t.Fatalf("%s differs from itself: %s", text, d)
		}
	})
}

// TestDiff gives pairs of schemas and the difference, as JSON without hints.
func TestDiff(t *testing.T) {
	a, b := of("a", "int64"), of("b", "string")
	for name, test := range map[string]struct {
		expected, found       schema.Schema
		missing, extra, other string // each "column type; ..." or "column expected found; ..."
	}{
		"nothing":               {columns(a, b), columns(b, a), "", "", ""},
		"missing":               {columns(a, b), columns(a), "b string", "", ""},
		"extra":                 {columns(a), columns(a, b), "", "b string", ""},
		"changed":               {columns(a), columns(of("a", "double")), "", "", "a int64 double"},
		"all at once":           {columns(a, b), columns(of("a", "double"), of("c", "bool")), "b string", "c bool", "a int64 double"},
		"in the found order":    {columns(), columns(b, a), "", "b string; a int64", ""},
		"in a struct":           {columns(structOf("s", a, b)), columns(structOf("s", of("a", "bool"), of("c", "int8"))), "s.b string", "s.c int8", "s.a int64 bool"},
		"in structs of structs": {columns(structOf("s", structOf("t", a))), columns(structOf("s", structOf("t", b))), "s.t.a int64", "s.t.b string", ""},
		"of a list":             {columns(listOf("l", a)), columns(listOf("l", b)), "", "", "l list<int64> list<string>"},
		"in a list of structs":  {columns(listOf("l", structOf("", a))), columns(listOf("l", structOf("", a, b))), "", "l.element.b string", ""},
		"in a list of lists":    {columns(listOf("l", listOf("", a))), columns(listOf("l", listOf("", b))), "", "", "l.element list<int64> list<string>"},
		"of a map":              {columns(mapOf("m", a, a)), columns(mapOf("m", a, b)), "", "", "m map<int64,int64> map<int64,string>"},
		"in a map of structs":   {columns(mapOf("m", a, structOf("", a))), columns(mapOf("m", a, structOf("", b))), "m.value.a int64", "m.value.b string", ""},
		"of a map's keys":       {columns(mapOf("m", a, structOf("", a))), columns(mapOf("m", b, structOf("", b))), "", "", `m map<int64,struct<"a":int64>> map<string,struct<"b":string>>`},
		"another kind":          {columns(listOf("x", a)), columns(structOf("x", a)), "", "", `x list<int64> struct<"a":int64>`},
		"a name like a path":    {columns(of("s.a", "int8"), structOf("s", of("a", "int8"))), columns(structOf("s")), `"s.a" int8; s.a int8`, "", ""},
		"an unprintable name":   {columns(), columns(of("a\x1b[2J\u202e", "int8"), of("", "int8")), "", `"a\x1b[2J\u202e" int8; "" int8`, ""},
		"twice against once":    {columns(a), columns(a, of("a", "bool")), "", "a bool", ""},
		"twice against twice":   {columns(a, of("a", "int8")), columns(a, of("a", "bool")), "a int8", "a bool", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := schema.Diff(test.expected, test.found)
			var missing, extra, changed []string
			for _, c := range d.Missing {
				missing = append(missing, c.Column+" "+c.Type)
			}
			for _, c := range d.Extra {
				extra = append(extra, c.Column+" "+c.Type)
			}
			for _, c := range d.Changed {
				changed = append(changed, c.Column+" "+c.Expected+" "+c.Found)
			}
			got := []string{strings.Join(missing, "; "), strings.Join(extra, "; "), strings.Join(changed, "; ")}
			if want := []string{test.missing, test.extra, test.other}; !reflect.DeepEqual(got, want) {
				t.Errorf("missing, extra and changed are\n%q, want\n%q", got, want)
			}
		})
	}
}

func TestDifferenceJSON(t *testing.T) {
	d := schema.Diff(columns(of("a", "string"), of("b", "string")), columns(of("a", "bool"), of("c", "string")))
	got, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"missing":[{"column":"b","type":"string"}],"extra":[{"column":"c","type":"string"}],` +
		`"changed":[{"column":"a","expected":"string","found":"bool"}],"missing_count":1,"extra_count":1,"changed_count":1}`
	if string(got) != want {
		t.Errorf("the JSON is\n%s, want\n%s", got, want)
	}
	if got, err := json.Marshal(schema.Diff(columns(), columns())); err != nil || !strings.HasPrefix(string(got), `{"missing":[],"extra":[],"changed":[]`) {
		t.Errorf("no difference is %s, %v", got, err)
	}
}

func TestSentence(t *testing.T) {
	for want, d := range map[string]schema.Difference{
		"The schemas are the same.": schema.Diff(columns(), columns()),
		`Column "a" is double where int64 is expected; column "b" (string) is missing; column "s.c" (bool) is not expected.`: schema.Diff(columns(of("a", "int64"), of("b", "string"), structOf("s")), columns(of("a", "double"), structOf("s", of("c", "bool")))),
		`Column "x0" (int64) is missing; column "x1" (int64) is missing; column "x2" (int64) is missing; and 4997 more.`:     schema.Diff(wide("x", 5000), columns()),
	} {
		if got := d.String(); got != want {
			t.Errorf("the sentence is\n%s, want\n%s", got, want)
		}
	}
}

// However wide the schemas and long the names, a difference stays small.
func TestDifferenceIsBounded(t *testing.T) {
	name := strings.Repeat("ü", 2000)
	d := schema.Diff(wide(name, 5000), wide(name+"x", 5000))
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if d.MissingCount != 5000 || d.ExtraCount != 5000 || len(d.Missing) != 100 || len(d.Extra) != 100 {
		t.Errorf("%d missing, %d extra, %d and %d listed", d.MissingCount, d.ExtraCount, len(d.Missing), len(d.Extra))
	}
	if !utf8.ValidString(d.Missing[0].Column) || !utf8.ValidString(d.String()) {
		t.Errorf("cut inside a character: %q", d.String())
	}
	if len(text) > 100_000 || len(d.String()) > 1000 {
		t.Errorf("the JSON has %d bytes, the sentence %d", len(text), len(d.String()))
	}
	big := schema.Diff(columns(structOf("s", wide(name, 500).Fields...)), columns(of("s", "json")))
	if n := len(big.Changed[0].Expected); n > 512 {
		t.Errorf("the type has %d bytes", n)
	}
}
