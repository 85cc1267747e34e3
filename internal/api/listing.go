package api

import (
	"bufio"
	"fmt"
	"net/http"
)

// maxListed is the largest limit that a caller may set.
const maxListed = 10_000

// listing writes {"name": [row, …]} row by row, so that a list of any length is
// answered in little memory.
type listing struct {
	w     *bufio.Writer
	limit int // rows, 0 for no limit
	most  int // bytes, 0 for no limit
	count int
	bytes int
	err   error
}

// closingRoom is kept for the end of a listing: the cursor and the brackets.
const closingRoom = 256

func (a *API) startListing(w http.ResponseWriter, name string, limit int) *listing {
	w.Header().Set("Content-Type", contentJSON)
	w.Header().Set("Cache-Control", "no-store")
	l := &listing{w: bufio.NewWriterSize(w, 32<<10), limit: limit, most: a.ResponseLimit}
	l.write(fmt.Sprintf("{%q:[", name))
	return l
}

func (l *listing) write(text string) {
	if l.err == nil {
		var n int
		n, l.err = l.w.WriteString(text)
		l.bytes += n
	}
}

// full reports that no row may follow.
func (l *listing) full() bool { return l.err != nil || (l.limit > 0 && l.count == l.limit) }

// add writes a row and reports whether it was written. The first row is written
// whatever its size, so that a listing always gets on.
func (l *listing) add(row any) bool {
	text, ok := row.(string) // rows that are encoded already
	if !ok {
		encoded, err := encode(row)
		if err != nil {
			l.err = err
		}
		text = string(encoded)
	}
	if l.full() || (l.most > 0 && l.count > 0 && l.bytes+len(text)+closingRoom > l.most) {
		return false
	}
	if l.count > 0 {
		l.write(",")
	}
	l.write(text)
	l.count++
	return l.err == nil
}

// end closes the listing; next is where to continue, or "".
func (l *listing) end(next string) error {
	l.write("]")
	if next != "" {
		l.write(fmt.Sprintf(`,"next_cursor":%q`, next))
	}
	l.write("}\n")
	if l.err != nil {
		return l.err
	}
	return l.w.Flush()
}

// pageSize is how many rows to ask the catalog for: what is left of the limit,
// and no more than a page.
func pageSize(limit, have, page int) int {
	if limit == 0 {
		return page
	}
	return min(limit-have, page)
}
