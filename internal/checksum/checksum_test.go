package checksum_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc64"
	"testing"

	"pgregory.net/rapid"

	"github.com/parqueue/parqueue/internal/checksum"
)

// reference is the standard library's slow way to the same CRC.
func reference(p []byte) string {
	sum := crc64.Checksum(p, crc64.MakeTable(0x9a6c9329ac4bc9b5))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}

// The sums of parts, joined in order, are the sum of the whole.
func TestJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var whole []byte
		var joined checksum.Sum
		for range rapid.IntRange(0, 6).Draw(t, "parts") {
			part := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "part")
			var sum checksum.Sum
			sum.Add(part)
			joined = checksum.Join(joined, sum)
			whole = append(whole, part...)
		}
		if joined.String() != reference(whole) || joined.Bytes != int64(len(whole)) {
			t.Fatalf("joined %v of %d bytes, want %s of %d", joined, joined.Bytes, reference(whole), len(whole))
		}
	})
}

// Parts of gigabytes are joined as quickly; zeros stand for them.
func TestJoinOfLargeParts(t *testing.T) {
	zeros := make([]byte, 1<<20)
	var a, b, whole checksum.Sum
	a.Add([]byte("begin"))
	whole.Add([]byte("begin"))
	for range 300 {
		b.Add(zeros)
		whole.Add(zeros)
	}
	if got := checksum.Join(a, b); got != whole {
		t.Errorf("joined %v, want %v", got, whole)
	}
}

func TestOf(t *testing.T) {
	content := bytes.Repeat([]byte("Parquet, in order. "), 50_000)
	sum, err := checksum.Of(bytes.NewReader(content), int64(len(content)))
	if err != nil || sum.String() != reference(content) || sum.Bytes != int64(len(content)) {
		t.Errorf("got %v, %d bytes, %v", sum, sum.Bytes, err)
	}
}
