package dataset

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// DerivedFileID is a file id that stands for something outside, which parts
// name: who meets the same thing again, at any time and in any process, makes the
// same id, and so the same append. Like every file id it sorts by a time.
func DerivedFileID(at time.Time, parts ...string) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%d", at.UnixNano())
	for _, part := range parts {
		fmt.Fprintf(sum, " %d:%s", len(part), part)
	}
	var id uuid.UUID
	copy(id[:], sum.Sum(nil))
	for i, ms := 5, at.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms) //nolint:gosec // the lowest byte is meant
	}
	id[6] = id[6]&0x0f | 0x70 // version 7, RFC 9562
	id[8] = id[8]&0x3f | 0x80
	return fileIDPrefix + id.String()
}
