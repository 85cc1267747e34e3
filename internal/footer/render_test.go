package footer_test

import (
	"fmt"
	"strings"

	"github.com/parqueue/parqueue/internal/schema"
)

// render writes a schema with its nullability, which a schema's own text leaves
// out.
func render(fields []schema.Field) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = fmt.Sprintf("%q:%s", f.Name, renderType(f))
	}
	return strings.Join(parts, ",")
}

func renderType(f schema.Field) string {
	s := f.Type
	switch f.Type {
	case schema.Struct:
		s += "<" + render(f.Fields) + ">"
	case schema.List:
		s += "<" + renderType(*f.Element) + ">"
	case schema.Map:
		s += "<" + renderType(*f.Key) + "," + renderType(*f.Value) + ">"
	}
	if f.Nullable {
		s += "?"
	}
	return s
}
