package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what a Difference holds, so that an answer stays small however
// wide the two schemas are.
const (
	maxListed    = 100 // entries in each list
	maxPathBytes = 256 // of a column's path
	maxTypeBytes = 512 // of a type
	maxTold      = 3   // columns that the sentence names
	maxToldBytes = 60  // of each name and type in it
)

// Column is a column that only one of two schemas has.
type Column struct {
	Column string `json:"column"` // its path, such as st.a
	Type   string `json:"type"`
	Hint   string `json:"hint,omitempty"`
}

// Change is a column that has another type than expected.
type Change struct {
	Column   string `json:"column"` // its path, such as st.a
	Expected string `json:"expected"`
	Found    string `json:"found"`
	Hint     string `json:"hint,omitempty"`
}

// Difference is how one schema differs from the one that was expected. The
// lists are never nil and hold the first entries; the counts count all.
type Difference struct {
	Missing      []Column `json:"missing"` // expected and not found
	Extra        []Column `json:"extra"`   // found and not expected
	Changed      []Change `json:"changed"`
	MissingCount int      `json:"missing_count"`
	ExtraCount   int      `json:"extra_count"`
	ChangedCount int      `json:"changed_count"`
}

// Diff compares a schema with the one that was expected. The result is empty
// exactly when the two are equal.
func Diff(expected, found Schema) Difference {
	d := Difference{Missing: []Column{}, Extra: []Column{}, Changed: []Change{}}
	d.fields("", expected.Fields, found.Fields)
	return d
}

// Empty reports whether there is no difference.
func (d Difference) Empty() bool {
	return d.MissingCount+d.ExtraCount+d.ChangedCount == 0
}

// fields compares two sets of fields under a path and reports whether it found
// a difference.
func (d *Difference) fields(path string, expected, found []Field) bool {
	before := d.MissingCount + d.ExtraCount + d.ChangedCount
	in := index(found)
	wanted := index(expected)
	folded := foldedNames(expected, found)
	for i, e := range expected {
		if others := in[e.Name]; wanted[e.Name][0] == i && len(wanted[e.Name]) == 1 && len(others) == 1 {
			d.field(join(path, e.Name), e, found[others[0]])
		} else if wanted[e.Name][0] == i {
			d.repeated(path, pick(expected, wanted[e.Name]), pick(found, others), folded)
		}
	}
	for i, f := range found {
		if len(wanted[f.Name]) == 0 && in[f.Name][0] == i {
			d.repeated(path, nil, pick(found, in[f.Name]), folded)
		}
	}
	return d.MissingCount+d.ExtraCount+d.ChangedCount > before
}

// repeated compares the fields of one name where not both sides have exactly
// one. Fields that are the same cancel out; the rest are missing or extra.
func (d *Difference) repeated(path string, expected, found []Field, folded map[string][]string) {
	for _, e := range expected {
		if i := slices.IndexFunc(found, func(f Field) bool { return sameField(e, f) }); i >= 0 {
			found = slices.Delete(found, i, i+1)
			continue
		}
		d.MissingCount++
		if len(d.Missing) < maxListed {
			d.Missing = append(d.Missing, column(path, e, missingHint(e, folded)))
		}
	}
	for _, f := range found {
		d.ExtraCount++
		if len(d.Extra) < maxListed {
			d.Extra = append(d.Extra, column(path, f, extraHint(f, folded)))
		}
	}
}

// field compares two fields of the same name. It goes into nested types as long
// as both sides are alike, so that a person sees the part that differs.
func (d *Difference) field(path string, e, f Field) {
	if sameField(e, f) {
		return
	}
	if e.Type == f.Type && d.inside(path, e, f) {
		return
	}
	d.ChangedCount++
	if len(d.Changed) < maxListed {
		d.Changed = append(d.Changed, Change{
			Column:   clip(path, maxPathBytes),
			Expected: clip(e.TypeString(), maxTypeBytes),
			Found:    clip(f.TypeString(), maxTypeBytes),
			Hint:     changeHint(e, f),
		})
	}
}

// inside reports whether it could name the difference by a path below this one.
func (d *Difference) inside(path string, e, f Field) bool {
	switch {
	case e.Type == Struct:
		return d.fields(path, e.Fields, f.Fields)
	case e.Type == List && bothNested(e.Element, f.Element):
		d.field(join(path, "element"), *e.Element, *f.Element)
		return true
	case e.Type == Map && bothNested(e.Value, f.Value) && e.Key != nil && f.Key != nil && sameField(*e.Key, *f.Key):
		d.field(join(path, "value"), *e.Value, *f.Value)
		return true
	}
	return false
}

// bothNested reports whether two parts are nested types of one kind.
func bothNested(a, b *Field) bool {
	return a != nil && b != nil && a.Type == b.Type && (a.Type == Struct || a.Type == List || a.Type == Map)
}

// String says the difference in one sentence of bounded length.
func (d Difference) String() string {
	if d.Empty() {
		return "The schemas are the same."
	}
	var told []string
	for _, c := range d.Changed {
		told = append(told, fmt.Sprintf("column %s is %s where %s is expected", tell(c.Column), clip(c.Found, maxToldBytes), clip(c.Expected, maxToldBytes)))
	}
	for _, c := range d.Missing {
		told = append(told, fmt.Sprintf("column %s (%s) is missing", tell(c.Column), clip(c.Type, maxToldBytes)))
	}
	for _, c := range d.Extra {
		told = append(told, fmt.Sprintf("column %s (%s) is not expected", tell(c.Column), clip(c.Type, maxToldBytes)))
	}
	more := ""
	if len(told) > maxTold {
		told = told[:maxTold]
		more = fmt.Sprintf("; and %d more", d.MissingCount+d.ExtraCount+d.ChangedCount-maxTold)
	}
	sentence := strings.Join(told, "; ") + more + "."
	return "C" + sentence[1:]
}

// tell quotes a path for the sentence. A name that had to be quoted inside the
// path is readable as it is.
func tell(path string) string {
	path = clip(path, maxToldBytes)
	if strings.Contains(path, `"`) {
		return path
	}
	return `"` + path + `"`
}

func column(path string, f Field, hint string) Column {
	return Column{
		Column: clip(join(path, f.Name), maxPathBytes),
		Type:   clip(f.TypeString(), maxTypeBytes),
		Hint:   hint,
	}
}

// join appends a name to a path. A name that could be mistaken for a path, or
// that would garble a terminal, is quoted.
func join(path, name string) string {
	quoted := strconv.Quote(name)
	if name != "" && !strings.Contains(name, ".") && quoted == `"`+name+`"` {
		quoted = name
	}
	if path == "" {
		return quoted
	}
	return path + "." + quoted
}

// index maps each name to the places where it occurs.
func index(fields []Field) map[string][]int {
	m := make(map[string][]int, len(fields))
	for i, f := range fields {
		m[f.Name] = append(m[f.Name], i)
	}
	return m
}

func pick(fields []Field, places []int) []Field {
	picked := make([]Field, len(places))
	for i, place := range places {
		picked[i] = fields[place]
	}
	return picked
}

// foldedNames maps lower-cased names to the names that either side has, so that
// a name that differs by case alone can be pointed out.
func foldedNames(sides ...[]Field) map[string][]string {
	m := make(map[string][]string)
	for _, side := range sides {
		for _, f := range side {
			folded := strings.ToLower(f.Name)
			if !slices.Contains(m[folded], f.Name) {
				m[folded] = append(m[folded], f.Name)
			}
		}
	}
	return m
}
