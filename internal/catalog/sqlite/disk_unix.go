//go:build unix

package sqlite

import "golang.org/x/sys/unix"

// fullBelow is the room under which a failed write is taken for a full disk:
// SQLite does not tell why one failed in every case.
const fullBelow = 1 << 20

// diskFull reports whether a folder's disk has no room left.
func diskFull(dir string) bool {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return false
	}
	return uint64(s.Bavail)*uint64(s.Bsize) < fullBelow
}
