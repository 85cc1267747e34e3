package transfer

import (
	"context"
	"errors"
	"io"

	"github.com/parqueue/parqueue/internal/checksum"
	"github.com/parqueue/parqueue/internal/fault"
)

// Cat writes files of a dataset to w, one behind the other in the dataset's
// order, whatever the order of the names; none means all. Each file's checksum is
// checked when its last byte has been written. An error of w comes back as it is.
// Errors: CodeFileNotFound, CodeChecksumMismatch, and those of client.
func (e *Engine) Cat(ctx context.Context, datasetID string, names []string, w io.Writer) error {
	files, err := e.choose(ctx, datasetID, names)
	if err != nil {
		return err
	}
	g, locate := newGate(1, 1), e.locateIn(datasetID, files)
	for _, f := range files {
		var sum checksum.Sum
		from := &fileURL{locate: locate, file: f}
		err := e.get(ctx, from, g, 0, f.SizeBytes, f.SizeBytes, io.MultiWriter(w, &sum))
		var write writeError
		if errors.As(err, &write) {
			return write.error
		}
		if err != nil {
			return err
		}
		if sum.String() != f.Checksum {
			return fault.Newf(fault.CodeChecksumMismatch, "What was written last is damaged. Run `parqueue datasets verify`: it says whether the store has the right bytes.",
				"The bytes of %q are not those that were uploaded.", f.Name)
		}
	}
	return nil
}
