//go:build unix

package daemon

import (
	"fmt"
	"os"
	"syscall"
)

// checkPrivate sees that a folder is the user's own, and nobody else's to use.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a folder of this user's own with mode 0700", dir)
	}
	return nil
}
