//go:build unix

package profile

import "io/fs"

// tooOpen reports a file that others than its owner can read or change.
func tooOpen(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
