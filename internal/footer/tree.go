package footer

import (
	"strings"
	"unicode/utf8"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// node is an element with its children.
type node struct {
	*element
	children []node
}

// tree is a schema as it is stored, with every group in its place.
type tree struct {
	root   node
	leaves []physical
}

// newTree gives the flat list of elements its shape: each group is followed by
// its children.
func newTree(elements []element, maxDepth int) (tree, *fault.Error) {
	g := grower{elements: elements, unclaimed: len(elements) - 1, maxDepth: maxDepth}
	root, err := g.grow(0)
	if err != nil {
		return tree{}, err
	}
	if g.unclaimed != 0 {
		return tree{}, invalid("its schema has %d elements that belong to no group", g.unclaimed)
	}
	return tree{root: root, leaves: g.leaves}, nil
}

type grower struct {
	elements  []element // not yet in the tree
	unclaimed int       // how many of them no group has counted as its own
	maxDepth  int
	leaves    []physical
}

// grow takes the next element and all that is below it.
func (g *grower) grow(depth int) (node, *fault.Error) {
	if depth > g.maxDepth {
		return node{}, beyond("The schema is nested deeper than %d; that is the limit.", g.maxDepth)
	}
	n := node{element: &g.elements[0]}
	g.elements = g.elements[1:]
	if err := n.check(depth == 0); err != nil {
		return node{}, err
	}
	if n.typ != group {
		g.leaves = append(g.leaves, n.typ)
		return n, nil
	}
	count := int(n.element.children)
	if g.unclaimed -= count; g.unclaimed < 0 {
		return node{}, invalid("the groups of its schema have more columns than there are")
	}
	n.children = make([]node, count)
	for i := range n.children {
		child, err := g.grow(depth + 1)
		if err != nil {
			return node{}, err
		}
		n.children[i] = child
	}
	return n, nil
}

// check looks at what must hold for an element by itself.
func (n node) check(isRoot bool) *fault.Error {
	switch {
	case !isRoot && (len(n.name) == 0 || !utf8.Valid(n.name)):
		return invalid("the column name %s is empty or not UTF-8", shown(n.name))
	case !isRoot && n.rep == unset:
		return invalid("column %s is neither required, optional nor repeated", shown(n.name))
	case n.typ == group && n.element.children < 0:
		return invalid("column %s has neither a type nor columns of its own", shown(n.name))
	case n.typ != group && (isRoot || n.element.children > 0):
		return invalid("column %s has a type and columns of its own", shown(n.name))
	}
	return nil
}

// columns turns the tree into the logical schema. What the root is called and
// whether it repeats means nothing: writers do as they like there.
func (t tree) columns() ([]schema.Field, *fault.Error) {
	if len(t.root.children) == 0 {
		return nil, unsupported("Write a table with at least one column.", "The file has no columns.")
	}
	var c canonicalizer
	return c.fields(t.root.children)
}

// canonicalizer turns nodes into logical fields. It knows where it is, for
// messages.
type canonicalizer struct{ path []string }

// fields turns the children of a group into fields of different names.
func (c *canonicalizer) fields(nodes []node) ([]schema.Field, *fault.Error) {
	fields := make([]schema.Field, len(nodes))
	seen := make(map[string]struct{}, len(nodes))
	for i, n := range nodes {
		f, err := c.field(n)
		if err != nil {
			return nil, err
		}
		if _, twice := seen[f.Name]; twice {
			c.path = append(c.path, f.Name)
			return nil, unsupported("Give every column a name of its own: readers that go by name cannot tell the two apart.",
				"The column %s is there twice.", c.where())
		}
		seen[f.Name] = struct{}{}
		fields[i] = f
	}
	return fields, nil
}

// field turns a node into a field. A repeated one outside a list is a list.
func (c *canonicalizer) field(n node) (schema.Field, *fault.Error) {
	c.path = append(c.path, string(n.name))
	f, err := c.typeOf(n)
	if err != nil {
		return schema.Field{}, err
	}
	c.path = c.path[:len(c.path)-1]
	if n.rep == repeated {
		element := f
		f = schema.Field{Type: schema.List, Element: &element}
	}
	f.Name = string(n.name)
	f.Nullable = n.rep == optional
	return f, nil
}

// part turns a node into a field without a name.
func (c *canonicalizer) part(n node) (*schema.Field, *fault.Error) {
	f, err := c.field(n)
	f.Name = ""
	return &f, err
}

// typeOf turns a node into a field without a name, taking no notice of its
// repetition.
func (c *canonicalizer) typeOf(n node) (schema.Field, *fault.Error) {
	if n.typ != group {
		if n.typ == physFixed && (n.length < 1 || n.length > maxFixed) {
			return schema.Field{}, c.malformed("a fixed_len_byte_array without a usable length")
		}
		typ, ok := leafType(n.element)
		if !ok {
			return schema.Field{}, c.malformed("the logical type does not fit how it is stored")
		}
		return schema.Field{Type: typ}, nil
	}
	switch n.annotation() {
	case asList:
		return c.list(n)
	case asMap:
		return c.mapOf(n)
	case asVariant:
		return schema.Field{Type: "variant"}, nil
	case asStruct:
		fields, err := c.fields(n.children)
		return schema.Field{Type: schema.Struct, Fields: fields}, err
	}
	return schema.Field{}, c.malformed("a group has the logical type of a single value")
}

type annotation int

const (
	asStruct annotation = iota
	asList
	asMap
	asVariant
	misplaced
)

// annotation says what a group is. The logical type counts before the
// converted one, and an unknown one counts as none.
func (e *element) annotation() annotation {
	switch e.log {
	case noLogical:
		return e.convertedAnnotation()
	case logList:
		return asList
	case logMap:
		return asMap
	case logVariant:
		return asVariant
	case logOther:
		return asStruct
	}
	return misplaced
}

func (e *element) convertedAnnotation() annotation {
	switch e.conv {
	case noConverted:
		return asStruct
	case convList:
		return asList
	case convMap, convMapKeyValue:
		return asMap
	}
	return misplaced
}

// list applies the rules for lists of every age.
// https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#backward-compatibility-rules
func (c *canonicalizer) list(n node) (schema.Field, *fault.Error) {
	if len(n.children) != 1 || n.children[0].rep != repeated {
		return schema.Field{}, c.malformed("the LIST is not a group with one repeated field")
	}
	middle := n.children[0]
	if middle.typ == group && len(middle.children) == 0 {
		return schema.Field{}, c.malformed("the LIST has no element")
	}
	if isElement(n, middle) {
		element, err := c.typeOf(middle)
		return schema.Field{Type: schema.List, Element: &element}, err
	}
	element, err := c.part(middle.children[0])
	return schema.Field{Type: schema.List, Element: element}, err
}

// isElement reports whether the repeated field of a list is the element itself,
// as older writers have it, and not a group around the element.
func isElement(list, middle node) bool {
	switch {
	case middle.typ != group, len(middle.children) > 1, middle.children[0].rep == repeated:
		return true
	}
	name := string(middle.name)
	return name == "array" || name == string(list.name)+"_tuple"
}

// mapOf makes a map, or a list where there are keys without values.
func (c *canonicalizer) mapOf(n node) (schema.Field, *fault.Error) {
	if len(n.children) != 1 || n.children[0].rep != repeated {
		return schema.Field{}, c.malformed("the MAP is not a group with one repeated group")
	}
	pair := n.children[0].children
	if len(pair) < 1 || len(pair) > 2 || pair[0].rep == repeated {
		return schema.Field{}, c.malformed("the MAP does not have a key and a value")
	}
	key, err := c.part(pair[0])
	if err != nil {
		return schema.Field{}, err
	}
	if len(pair) == 1 {
		return schema.Field{Type: schema.List, Element: key}, nil
	}
	value, err := c.part(pair[1])
	return schema.Field{Type: schema.Map, Key: key, Value: value}, err
}

func (c *canonicalizer) malformed(why string) *fault.Error {
	return invalid("column %s: %s", c.where(), why)
}

func (c *canonicalizer) where() string { return shown([]byte(strings.Join(c.path, "."))) }
