package dataset

import (
	"context"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
)

// Limits of S3 on an upload in parts.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	MaxUploadBytes = 5 << 40
	MaxParts       = 10_000
	MinPartSize    = 5 << 20 // but for the last part
	MaxPartSize    = 5 << 30
)

// usualPartSize is what a part has unless MaxParts of them would not do. An
// interruption costs at most that much of every part under way.
const usualPartSize = 16 << 20

// Part is a part of an object that has arrived.
type Part struct {
	Number    int // from 1
	SizeBytes int64
	ETag      string // of the object store
	CRC64NVME string // "" where the object store did not tell
}

// Parts stores objects that come from somebody else, by presigned URLs, in parts
// or as one. An object appears under its key when its parts are completed, whole,
// or when all of its bytes have come, and is never replaced.
type Parts interface {
	// PresignWhole makes a URL that takes the object as one, of exactly size bytes,
	// by PUT with the headers, until it expires. It takes it once: what is under the
	// key is never replaced.
	PresignWhole(ctx context.Context, key string, size int64, expires time.Duration) (url string, headers map[string]string, err error)

	// CreateParts begins an object and returns the store's name for it.
	// Errors: CodeStorageFull, CodeUnavailable.
	CreateParts(ctx context.Context, key string) (id string, err error)

	// PresignPart makes a URL that takes one part of exactly size bytes, by PUT,
	// until it expires. A part that is sent again replaces the earlier one.
	PresignPart(ctx context.Context, key, id string, number int, size int64, expires time.Duration) (string, error)

	// ListParts returns up to limit of the parts that arrived whose numbers are
	// above after, in order. Fewer than limit are all that there are.
	// Errors: CodeUploadNotFound once the parts were completed or aborted.
	ListParts(ctx context.Context, key, id string, after, limit int) ([]Part, error)

	// CompleteParts makes parts the object, if they have as many bytes and the
	// CRC-64/NVME that want says ("" for any), and nothing is under the key.
	// Errors: CodeUploadNotFound as for ListParts; CodeChecksumMismatch;
	// CodeUploadIncomplete when a part is not the one that was listed;
	// CodeConflict when the key exists; CodeStorageFull. After these the parts
	// are what they were. After any other error the object may be there.
	CompleteParts(ctx context.Context, key, id string, parts []Part, want Stored) (Stored, error)

	// AbortParts throws parts away; doing so again, or after they were
	// completed, is no error. The id "" is that of an object that has none.
	AbortParts(ctx context.Context, key, id string) error

	// Joined describes the object that parts were made into, or that came as one.
	// Errors: CodeFileNotFound, also when the store does not tell this caller
	// whether there is one.
	Joined(ctx context.Context, key string) (Stored, error)
}

// PartCount is how many parts an upload has. An empty file has an empty one.
func (u Upload) PartCount() int { return max(1, int((u.SizeBytes+u.PartSize-1)/u.PartSize)) }

// PartOffset is where in the file a part begins.
func (u Upload) PartOffset(number int) int64 { return int64(number-1) * u.PartSize }

// PartBytes is how many bytes a part has.
func (u Upload) PartBytes(number int) int64 {
	return min(u.PartSize, u.SizeBytes-u.PartOffset(number))
}

// choosePartSize checks the part size that a caller wants, or chooses one for 0.
func choosePartSize(size, wanted int64) (int64, error) {
	least := max(MinPartSize, roundUpMiB((size+MaxParts-1)/MaxParts))
	switch {
	case wanted == 0:
		return max(usualPartSize, least), nil
	case wanted < least || wanted > MaxPartSize:
		return 0, fault.Newf(fault.CodeInvalidRequest, "Leave \"part_size\" out to have one chosen.",
			"A file of %d bytes needs parts of %d to %d bytes, and not of %d: there can be %d of them.", size, least, int64(MaxPartSize), wanted, MaxParts)
	}
	return wanted, nil
}

func roundUpMiB(size int64) int64 {
	const unit = 1 << 20
	return (size + unit - 1) / unit * unit
}
