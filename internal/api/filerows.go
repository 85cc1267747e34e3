package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// fileMember is a member of a file's row.
type fileMember struct {
	name  string
	value func(dataset.File) any // a string, an int64 or JSON
}

// schemaMember is one more member, the dataset's schema. It is the same in all
// rows of a list.
const schemaMember = "schema"

func fileMembers() []fileMember {
	return []fileMember{
		{"file_name", func(f dataset.File) any { return f.Name }},
		{"file_id", func(f dataset.File) any { return f.ID }},
		{"position", func(f dataset.File) any { return f.Position }},
		{"size_bytes", func(f dataset.File) any { return f.SizeBytes }},
		{"row_count", func(f dataset.File) any { return f.RowCount }},
		{"checksum_crc64nvme", func(f dataset.File) any { return f.CRC64NVME }},
		{"uploaded_at", func(f dataset.File) any { return timestamp(f.UploadedAt) }},
	}
}

// fileRow is a file as an answer about one shows it.
func fileRow(f dataset.File) map[string]any {
	row := make(map[string]any)
	for _, m := range fileMembers() {
		row[m.name] = m.value(f)
	}
	return row
}

// fileFields reads the field "fields": which members the rows of a list are to
// have. Without it ok is false.
func (f fields) fileFields() (wanted map[string]bool, ok bool, err error) {
	if _, ok := f["fields"]; !ok {
		return nil, false, nil
	}
	names := []string{schemaMember}
	for _, m := range fileMembers() {
		names = append(names, m.name)
	}
	hint := "Name some of " + strings.Join(names, ", ") + ", or leave it out to get all."
	list, err := f.requiredList("fields", hint)
	if err != nil {
		return nil, false, err
	}
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[name] = true
	}
	wanted = make(map[string]bool, len(list))
	for _, name := range list {
		if !known[name] {
			return nil, false, fault.Newf(fault.CodeInvalidRequest, hint, "A file has no field %q.", clip(name))
		}
		wanted[name] = true
	}
	if len(wanted) == 0 {
		return nil, false, fault.New(fault.CodeInvalidRequest, `The list "fields" is empty.`, hint)
	}
	return wanted, true, nil
}

// fileRows makes the rows of a listing. A list may have a million, so they are
// put together without encoding/json; the schema is encoded once.
type fileRows struct {
	names   bool         // a row is nothing but the name
	members []fileMember // by name, as encoding/json writes them
	row     []byte
}

// newFileRows makes the rows that a request asks for: with the members that it
// names, else with what its path says.
func newFileRows(r *request, f fields, s *schema.Schema) (*fileRows, error) {
	wanted, chosen, err := f.fileFields()
	if err != nil {
		return nil, err
	}
	rows := &fileRows{names: r.dialect.fileNames && !chosen}
	for _, m := range fileMembers() {
		if !chosen || wanted[m.name] {
			rows.members = append(rows.members, m)
		}
	}
	if s != nil && !rows.names && (!chosen || wanted[schemaMember]) {
		encoded, err := encode(s)
		if err != nil {
			return nil, err
		}
		var same any = json.RawMessage(encoded)
		rows.members = append(rows.members, fileMember{schemaMember, func(dataset.File) any { return same }})
	}
	slices.SortFunc(rows.members, func(a, b fileMember) int { return strings.Compare(a.name, b.name) })
	return rows, nil
}

// of is a file's row, which holds until the next one is made.
func (rows *fileRows) of(f dataset.File) []byte {
	if rows.names {
		rows.row = appendString(rows.row[:0], f.Name)
		return rows.row
	}
	row := append(rows.row[:0], '{')
	for _, m := range rows.members {
		row = appendName(row, m.name)
		switch value := m.value(f).(type) {
		case string:
			row = appendString(row, value)
		case int64:
			row = strconv.AppendInt(row, value, 10)
		case json.RawMessage:
			row = append(row, value...)
		}
	}
	rows.row = append(row, '}')
	return rows.row
}

// appendName begins a member of an object.
func appendName(row []byte, name string) []byte {
	if len(row) > 1 {
		row = append(row, ',')
	}
	row = append(row, '"')
	row = append(row, name...)
	return append(row, '"', ':')
}

// appendString encodes a string. Most need nothing but the quotes.
func appendString(row []byte, s string) []byte {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			encoded, _ := encode(s) // a string always encodes
			return append(row, encoded...)
		}
	}
	row = append(row, '"')
	row = append(row, s...)
	return append(row, '"')
}
