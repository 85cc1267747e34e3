//go:build !unix

package sqlite

// diskFull is not known here; SQLite's own code for a full disk still is.
func diskFull(string) bool { return false }
