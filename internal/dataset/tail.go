package dataset

import "io"

// tail is a Writer that keeps the last bytes that went through it.
type tail struct {
	ring  []byte
	total int64 // bytes written so far
}

func newTail(size int) *tail { return &tail{ring: make([]byte, size)} }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if skip := n - len(t.ring); skip > 0 { // only the end of p can stay
		t.total += int64(skip)
		p = p[skip:]
	}
	for len(p) > 0 {
		at := int(t.total % int64(len(t.ring)))
		k := copy(t.ring[at:], p)
		t.total += int64(k)
		p = p[k:]
	}
	return n, nil
}

// readerAt reads the whole stream: its end from memory, the rest from before.
func (t *tail) readerAt(before io.ReaderAt) io.ReaderAt { return tailReaderAt{t, before} }

type tailReaderAt struct {
	tail   *tail
	before io.ReaderAt
}

// ReadAt reads from the tail when it has all that is asked for.
func (r tailReaderAt) ReadAt(p []byte, off int64) (int, error) {
	t := r.tail
	if off < t.total-int64(len(t.ring)) || off < 0 {
		return r.before.ReadAt(p, off)
	}
	want := min(int64(len(p)), max(0, t.total-off))
	for i := range want { // at most the ring's size, once a file
		p[i] = t.ring[(off+i)%int64(len(t.ring))]
	}
	if want < int64(len(p)) {
		return int(want), io.EOF
	}
	return int(want), nil
}
