package schema

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// TypeString writes a field's type on one line, for people:
// list<struct<"a":int32,"b":string>>.
func (f Field) TypeString() string {
	var b strings.Builder
	f.writeType(&b)
	return b.String()
}

func (f Field) writeType(b *strings.Builder) {
	b.WriteString(f.Type)
	switch f.Type {
	case List:
		writeParts(b, f.Element)
	case Map:
		writeParts(b, f.Key, f.Value)
	case Struct:
		b.WriteByte('<')
		for i, child := range f.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.Quote(child.Name))
			b.WriteByte(':')
			child.writeType(b)
		}
		b.WriteByte('>')
	}
}

func writeParts(b *strings.Builder, parts ...*Field) {
	b.WriteByte('<')
	for i, part := range parts {
		if i > 0 {
			b.WriteByte(',')
		}
		if part == nil {
			b.WriteByte('?')
			continue
		}
		part.writeType(b)
	}
	b.WriteByte('>')
}

// clip shortens a text to at most limit bytes, never inside a character.
func clip(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
