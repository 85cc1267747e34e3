package dataset

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// unreadable stands for the object store where a test must not need it.
type unreadable struct{}

var errUnreadable = errors.New("read from before the tail")

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errUnreadable }

// A tail gives the end of any stream, in whatever pieces it was written, as a
// reader over the whole stream would.
func TestTailReadsLikeTheStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 64).Draw(t, "size")
		kept := newTail(size)
		var all []byte
		for _, piece := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 100), 0, 8).Draw(t, "pieces") {
			if n, err := kept.Write(piece); n != len(piece) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
			all = append(all, piece...)
		}
		off := rapid.Int64Range(0, int64(len(all))+4).Draw(t, "off")
		got := make([]byte, rapid.IntRange(0, 80).Draw(t, "length"))
		n, err := kept.readerAt(unreadable{}).ReadAt(got, off)
		if off < int64(len(all)-size) {
			if err != errUnreadable {
				t.Fatalf("reading at %d of %d with a tail of %d: %v", off, len(all), size, err)
			}
			return
		}
		want := make([]byte, len(got))
		wantN, wantErr := bytes.NewReader(all).ReadAt(want, off)
		if len(got) == 0 {
			wantErr = nil // bytes.Reader reports the end even to a read of nothing
		}
		if n != wantN || !bytes.Equal(got[:n], want[:n]) || (err == io.EOF) != (wantErr == io.EOF) {
			t.Fatalf("ReadAt(%d bytes, %d) = %d, %v; want %d, %v", len(got), off, n, err, wantN, wantErr)
		}
	})
}
