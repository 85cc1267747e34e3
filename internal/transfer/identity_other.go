//go:build !unix

package transfer

import "io/fs"

// inode is 0 where files have no number: size and time have to do.
func inode(fs.FileInfo) uint64 { return 0 }
