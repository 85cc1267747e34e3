// Package schema describes the logical schema of a Parquet file, free of how a
// writer happened to store it, and says whether two files have the same one.
//
// Two schemas are the same when their columns have the same names and logical
// types. What does not count: the order of columns and of struct fields,
// nullability, the inner names of lists and maps, how a decimal is stored,
// field ids, key-value metadata, codecs and encodings.
//
// The package needs no IAM actions.
package schema

// The nested types. Every other type is a word of the grammar in
// docs/schema.md, such as "string", "int64", "decimal(10,2)" or
// "timestamp(us,utc)".
const (
	List   = "list"
	Map    = "map"
	Struct = "struct"
)

// Field is a column, or a part of a nested one. Its JSON is the shape that
// clients read: {"name":"a","type":"int64"}; a struct adds "fields", a list
// "element", a map "key" and "value" (those three have no name).
type Field struct {
	Name     string  `json:"name,omitempty"`
	Type     string  `json:"type"`
	Nullable bool    `json:"-"` // not part of the schema's identity, so not of its JSON
	Fields   []Field `json:"fields,omitempty"`
	Element  *Field  `json:"element,omitempty"`
	Key      *Field  `json:"key,omitempty"`
	Value    *Field  `json:"value,omitempty"`
}

// Schema is the columns of a file, in the order of the file.
type Schema struct {
	Fields []Field `json:"fields"`
}
