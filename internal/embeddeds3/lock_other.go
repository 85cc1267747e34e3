//go:build !unix

package embeddeds3

import (
	"errors"
	"io"
	"os"
)

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked by another process")

// lockFile only opens the file: there is no lock here that outlives neither a
// crash nor the process, so two servers on one folder are not told apart.
func lockFile(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
