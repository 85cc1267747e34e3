package dataset_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parqueue/parqueue/internal/dataset"
)

// cutOff is a body whose connection ends early, as net/http tells of it.
type cutOff struct{ rest []byte }

func (c *cutOff) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *cutOff) Close() error { return nil }

// A connection that is cut says nothing about the file: who takes it for a verdict
// gives an upload up, or rejects an object of the inbox.
func TestACutConnectionIsNoVerdictAboutAFile(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "footer", "testdata", "same", "parquetgo_none.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	// Large enough to be looked at in two places.
	large := slices.Concat(content[:4], make([]byte, 100<<10), content[4:])
	for name, file := range map[string][]byte{"small": content, "large": large} {
		reads := 0
		_, err := dataset.ReadFooter(t.Context(), func(_ context.Context, part dataset.Range) (io.ReadCloser, error) {
			reads++
			return &cutOff{file[part.Offset : part.Offset+part.Length]}, nil
		}, int64(len(file)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for cut := range reads {
			for _, arrived := range []int64{0, 1, 5, 300} {
				read := 0
				_, err := dataset.ReadFooter(t.Context(), func(_ context.Context, part dataset.Range) (io.ReadCloser, error) {
					if read++; read-1 == cut {
						part.Length = min(part.Length-1, arrived)
					}
					return &cutOff{file[part.Offset : part.Offset+part.Length]}, nil
				}, int64(len(file)))
				if err == nil || dataset.AboutTheFile(err) {
					t.Errorf("%s, read %d is cut off after %d bytes: %v", name, cut+1, arrived, err)
				}
			}
		}
	}
}
