package embeddeds3

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// makeDurable puts a file, its name and the names of the folders above it, up
// to and with stop, on disk.
func makeDurable(file, stop string) error {
	if err := syncPath(file); err != nil {
		return err
	}
	return syncFolders(filepath.Dir(file), stop)
}

// makeFolderDurable does for all files in a folder what makeDurable does for one.
func makeFolderDurable(dir, stop string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading a folder to sync: %w", err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			if err := syncPath(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return syncFolders(dir, stop)
}

// syncFolders syncs dir and each folder above it up to stop. A folder that was
// on disk before costs little.
func syncFolders(dir, stop string) error {
	for {
		if err := syncPath(dir); err != nil {
			return err
		}
		up := filepath.Dir(dir)
		if dir == stop || up == dir {
			return nil
		}
		dir = up
	}
}

func syncPath(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening to sync: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	return nil
}

// isMissing reports whether a sync failed because the file isn't there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// partsOnDisk joins parts, and puts what it made on disk with the last of them. The
// gateway gives it its key and removes the parts right after that: a loss of power
// must not take both.
type partsOnDisk struct {
	left int                  // parts to come
	sync func(*os.File) error // (*os.File).Sync; a field for tests
	err  error                // why a copy failed
}

// copy is a posix.CustomCopyFunc: that it returns true means that the upload may be
// completed again after an error.
func (j *partsOnDisk) copy(part, whole *os.File) (again bool, err error) {
	_, err = io.Copy(whole, part)
	if j.left--; err == nil && j.left == 0 {
		err = j.sync(whole)
	}
	if err != nil {
		j.err = err
		// The gateway now tries to copy the part by itself, behind what is there of it
		// already. It must not succeed.
		err = errors.Join(err, part.Close())
	}
	return true, err
}
