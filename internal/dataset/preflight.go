package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/footer"
	"github.com/parqueue/parqueue/internal/keys"
)

// parquetTrailer is what follows a footer: its length in 4 bytes, and 4 of magic.
const parquetTrailer = 8

// preflight refuses a large file that can't be appended, as far as that can be
// known before it moves. Only the append decides.
func (s *Service) preflight(ctx context.Context, who keys.Principal, n NewUpload) error {
	d, err := s.catalog.Dataset(ctx, who.Tenant, n.DatasetID)
	if err != nil {
		return err
	}
	if err := s.NameFree(ctx, who, n.DatasetID, n.FileName); err != nil {
		return err
	}
	if n.Footer == nil {
		return nil
	}
	info, err := readSentFooter(n.Footer, n.SizeBytes)
	if err != nil {
		return err
	}
	if d.Schema != nil && d.Schema.Key() != info.Schema.Key() {
		return Mismatch(*d.Schema, info.Schema, d.SchemaFile)
	}
	return nil
}

// readSentFooter reads the footer of a file of which only the last bytes are known.
func readSentFooter(end []byte, size int64) (footer.Info, error) {
	if int64(len(end)) > size || len(end) < parquetTrailer {
		return footer.Info{}, fault.Newf(fault.CodeInvalidRequest, "Send the file's last bytes, its footer and the 8 bytes after it, or leave the field out.",
			"The field \"footer\" holds %d bytes of a file of %d.", len(end), size)
	}
	length := int64(binary.LittleEndian.Uint32(end[len(end)-parquetTrailer:]))
	if needed := length + parquetTrailer; bytes.HasSuffix(end, []byte("PAR1")) && needed > int64(len(end)) && needed <= size-4 {
		return footer.Info{}, fault.Newf(fault.CodeInvalidRequest, "Send as many, or leave the field out: the footer is then checked when the upload is completed.",
			"The field \"footer\" holds the file's last %d bytes, and the footer begins %d bytes before the end.", len(end), needed).With("needed_bytes", needed)
	}
	return footer.Read(&fileEnd{end, size}, size)
}

// fileEnd reads a file of which only the end is known. What comes before reads
// as the magic that every Parquet file begins with, and zeros: the footer lies in
// what is known, and nothing else is decoded.
type fileEnd struct {
	end  []byte
	size int64
}

// ReadAt implements io.ReaderAt.
func (f *fileEnd) ReadAt(p []byte, off int64) (int, error) {
	n := int(min(int64(len(p)), max(0, f.size-off)))
	begin := f.size - int64(len(f.end))
	for i := range p[:n] {
		switch at := off + int64(i); {
		case at >= begin:
			p[i] = f.end[at-begin]
		case at < 4:
			p[i] = "PAR1"[at]
		default:
			p[i] = 0
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// checkShortest refuses a size that no Parquet file has.
func checkShortest(size int64) error {
	if size >= 12 { // two magics and the footer's length
		return nil
	}
	_, err := footer.Read(bytes.NewReader(nil), size)
	return err
}
