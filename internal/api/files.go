package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
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
	rows, err := newFileRows(r, f, page.Dataset.Schema)
	if err != nil {
		return err
	}
	l := a.startListing(w, r, "files", limit)
	defer l.release()
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	for {
		more := page.More && page.Next < end
		var ahead <-chan pageRead
		if count := l.count + len(page.Files); more && (limit == 0 || count < limit) {
			ahead = a.readAhead(ctx, r, id, page.Next, pageSize(limit, count, filesPage))
		}
		for _, file := range page.Files {
			if file.Position >= end {
				return l.end("")
			}
			if !l.addEncoded(rows.of(file)) {
				return l.end(cursor(file.Position))
			}
		}
		if !more {
			return l.end("")
		}
		if l.full() {
			return l.end(cursor(page.Next))
		}
		read := <-ahead // there is one: the listing is not full
		if page, err = read.page, read.err; err != nil {
			return err
		}
	}
}

// pageRead is what came of reading a page.
type pageRead struct {
	page dataset.FilePage
	err  error
}

// readAhead reads a page while the rows of the one before are written, which
// takes about as long.
func (a *API) readAhead(ctx context.Context, r *request, id string, from int64, limit int) <-chan pageRead {
	read := make(chan pageRead, 1)
	go func() {
		var p pageRead
		defer func() {
			if defect := recover(); defect != nil { // here it would end the process
				p.err = fault.Internal("reading a page", panicError{defect})
			}
			read <- p
		}()
		p.page, p.err = a.Service.Files(ctx, r.who, id, from, limit)
	}()
	return read
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
