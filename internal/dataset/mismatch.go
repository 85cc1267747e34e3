package dataset

import (
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// Mismatch is the refusal of a file whose schema is not the one that schemaFile
// set. Its sentence names the columns and both types; the details hold the file
// and the whole difference, which is bounded however wide the schemas are.
func Mismatch(expected, found schema.Schema, schemaFile string) *fault.Error {
	diff := schema.Diff(expected, found)
	return fault.Newf(fault.CodeSchemaMismatch, mismatchHint(diff),
		"The file's schema is not the dataset's, which the file %q set. %s", printable(schemaFile), diff).
		With("schema_file", schemaFile).With("diff", diff)
}

// mismatchHint is the first known cause of a difference, or what always helps.
func mismatchHint(diff schema.Difference) string {
	for _, c := range diff.Changed {
		if c.Hint != "" {
			return c.Hint
		}
	}
	for _, list := range [][]schema.Column{diff.Extra, diff.Missing} {
		for _, c := range list {
			if c.Hint != "" {
				return c.Hint
			}
		}
	}
	return "Write the file with the dataset's columns and types, or add it to another dataset."
}
