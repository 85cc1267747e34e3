package transfer

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/parqueue/parqueue/internal/fault"
)

// Full reports an error of a disk that has no room left.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// ofDisk names an error of writing to a file or folder.
func ofDisk(err error, path string) error {
	var known *fault.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case Full(err):
		return fault.Newf(fault.CodeStorageFull, "Free some space and run the same command again: it goes on where it was.", "There is no room left to write %s.", path).Because(err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.Newf(fault.CodeInvalidRequest, "Choose a folder that you may write to.", "%s can't be written.", path).Because(err)
	}
	return fault.Newf(fault.CodeInvalidRequest, "Check the disk, and run the same command again.", "Writing %s failed.", path).Because(err)
}
