package api

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"time"
)

// maxListed is the largest limit that a caller may set.
const maxListed = 10_000

// listing writes {"name": [row, …]} row by row, so that a list of any length is
// answered in little memory.
type listing struct {
	w     *bufio.Writer
	out   *output
	limit int       // rows, 0 for no limit
	most  int       // bytes, 0 for no limit
	until time.Time // when to come to an end, if it is set
	count int
	bytes int // of rows and what is between them, before compression
	err   error
}

// closingRoom is kept for the end of a listing: the cursor and the brackets.
const closingRoom = 256

// startListing begins an answer. The listing has to be released.
func (a *API) startListing(w http.ResponseWriter, r *request, name string, limit int) *listing {
	w.Header().Set("Content-Type", contentJSON)
	w.Header().Set("Cache-Control", "no-store")
	out := newOutput(w, r.Header, a.compressors)
	l := &listing{w: bufio.NewWriterSize(out, 32<<10), out: out, limit: limit, most: a.ResponseLimit, until: endBefore(r.Context())}
	l.write(fmt.Sprintf("{%q:[", name))
	return l
}

// endBefore is when a listing should come to an end, so that a cursor is answered
// before the request's time is over. It is zero when the request has no deadline.
func endBefore(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return time.Now().Add(time.Until(deadline) * 2 / 3)
}

// release gives back what the listing needed, whether it was ended or not.
func (l *listing) release() { l.out.release() }

func (l *listing) write(text string) {
	if l.err == nil {
		var n int
		n, l.err = l.w.WriteString(text)
		l.bytes += n
	}
}

// full reports that no row may follow.
func (l *listing) full() bool {
	return l.err != nil || l.limit > 0 && l.count == l.limit ||
		l.count > 0 && !l.until.IsZero() && time.Now().After(l.until)
}

// fits reports whether there is room for a row. The first one has to fit. Of an
// answer that is compressed it is known what went out, and only bounded what is
// still to come of the rest.
func (l *listing) fits(row []byte) bool {
	switch {
	case l.most == 0 || l.count == 0:
		return true
	case l.out.compresses:
		waiting := l.w.Buffered() + len(row)
		return l.out.sent+waiting+waiting/8+compressionRoom <= l.most
	}
	return l.bytes+len(row)+closingRoom <= l.most
}

// add writes a row and reports whether it was written. The first row is written
// whatever its size, so that a listing always gets on.
func (l *listing) add(row any) bool {
	encoded, err := encode(row)
	if err != nil {
		l.err = err
	}
	return l.addEncoded(encoded)
}

// addEncoded is add for a row that is JSON already.
func (l *listing) addEncoded(row []byte) bool {
	if l.full() || !l.fits(row) {
		return false
	}
	if l.count > 0 {
		l.write(",")
	}
	if l.err == nil {
		_, l.err = l.w.Write(row)
		l.bytes += len(row)
	}
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
	if err := l.w.Flush(); err != nil {
		return err
	}
	return l.out.end()
}

// pageSize is how many rows to ask the catalog for: what is left of the limit,
// and no more than a page.
func pageSize(limit, have, page int) int {
	if limit == 0 {
		return page
	}
	return min(limit-have, page)
}
