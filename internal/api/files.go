package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// filesPage is how many files are read from the catalog at a time.
const filesPage = 1000

// listDatasetFiles answers with a dataset's files in order: all that there were
// when it began.
func (a *API) listDatasetFiles(w http.ResponseWriter, r *request) error {
	f, id, err := readDatasetFields(r)
	if err != nil {
		return err
	}
	limit, err := f.count("limit", maxListed)
	if err != nil {
		return err
	}
	from, err := f.position()
	if err != nil {
		return err
	}
	page, err := a.Service.Files(r.Context(), r.who, id, from, pageSize(limit, 0, filesPage))
	if err != nil {
		return err
	}
	end := page.Dataset.NextPosition
	rows := newFileRows(r.dialect, page.Dataset.Schema)
	l := a.startListing(w, r, "files", limit)
	defer l.release()
	for {
		for _, file := range page.Files {
			if file.Position >= end {
				return l.end("")
			}
			if !l.add(rows.row(file)) {
				return l.end(cursor(file.Position))
			}
		}
		if from = page.Next; !page.More || from >= end {
			return l.end("")
		}
		if l.full() {
			return l.end(cursor(from))
		}
		page, err = a.Service.Files(r.Context(), r.who, id, from, pageSize(limit, l.count, filesPage))
		if err != nil {
			return err
		}
	}
}

// fileRows makes the rows of a listing; the schema, which is the same in all of
// them, is encoded once.
type fileRows struct {
	names  bool
	schema json.RawMessage
}

func newFileRows(d dialect, s *schema.Schema) fileRows {
	rows := fileRows{names: d.fileNames}
	if s != nil && !d.fileNames {
		rows.schema, _ = encode(s) // strings only: it always encodes
	}
	return rows
}

func (rows fileRows) row(f dataset.File) any {
	if rows.names {
		return jsonString(f.Name)
	}
	row := fileRow(f)
	row["schema"] = rows.schema
	return row
}

// jsonString encodes a string, as a row that is encoded already.
func jsonString(s string) string {
	encoded, _ := encode(s) // a string always encodes
	return string(encoded)
}

// fileRow is a file as answers show it.
func fileRow(f dataset.File) map[string]any {
	return map[string]any{
		"file_name":          f.Name,
		"file_id":            f.ID,
		"position":           f.Position,
		"size_bytes":         f.SizeBytes,
		"row_count":          f.RowCount,
		"checksum_crc64nvme": f.CRC64NVME,
		"uploaded_at":        timestamp(f.UploadedAt),
	}
}

// cursorPrefix marks a cursor of list-dataset-files, and its version.
const cursorPrefix = "p1."

// cursor names the position that a listing continues from.
func cursor(position int64) string { return cursorPrefix + strconv.FormatInt(position, 36) }

// position reads the field "cursor"; without it a listing starts at 0.
func (f fields) position() (int64, error) {
	text, err := f.text("cursor")
	if err != nil || text == "" {
		return 0, err
	}
	digits, ok := strings.CutPrefix(text, cursorPrefix)
	position, err := strconv.ParseInt(digits, 36, 64)
	if !ok || err != nil || position < 0 {
		return 0, errCursor()
	}
	return position, nil
}

// fileName is the required name of the one file that a request is about.
func (f fields) fileName() (string, error) {
	if raw, ok := f["file_name"]; ok && string(raw) == "null" {
		return "", fault.New(fault.CodeInvalidRequest, "The field \"file_name\" is null, and has to be the name of one file.",
			"Name a file; list-dataset-files shows the names.")
	}
	return f.required("file_name", "Name a file; list-dataset-files shows the names.")
}
