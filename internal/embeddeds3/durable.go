package embeddeds3

import (
	"errors"
	"fmt"
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
