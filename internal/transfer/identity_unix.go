//go:build unix

package transfer

import (
	"io/fs"
	"syscall"
)

// inode is a file's number in its file system.
func inode(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}
