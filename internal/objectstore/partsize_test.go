package objectstore

import "testing"

// Whatever a caller claims, the first part is small; and no more parts than S3
// takes hold the largest object, or the largest that the claim allows.
func TestPartSize(t *testing.T) {
	for _, atMost := range []int64{-1, minPartSize, 80 << 30, maxParts * minPartSize, maxParts*minPartSize + 1, maxObjectSize, 1 << 62} {
		want := int64(maxObjectSize)
		if atMost > 0 {
			want = min(want, atMost)
		}
		var size int64
		for done := 0; size < want; done++ {
			part, err := partSize(done, size, atMost)
			if err != nil {
				t.Fatalf("atMost %d: after %d parts and %d bytes: %v", atMost, done, size, err)
			}
			if part > max(minPartSize, size/500) {
				t.Fatalf("atMost %d: a part of %d bytes after %d", atMost, part, size)
			}
			size += part
		}
		if _, err := partSize(maxParts, size, atMost); err == nil {
			t.Errorf("atMost %d: part number %d is allowed", atMost, maxParts+1)
		}
	}
}
