package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// identity is what tells a file from the same path with other bytes, without
// reading it.
type identity struct {
	Path    string `json:"path"` // absolute
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime"` // nanoseconds since 1970
	Inode   uint64 `json:"inode"`
}

func identify(path string, info fs.FileInfo) identity {
	return identity{Path: path, Size: info.Size(), ModTime: info.ModTime().UnixNano(), Inode: inode(info)}
}

// source is a file that is to be uploaded.
type source struct {
	identity
	name     string // in the dataset
	relative string // to the folder that was given, with slashes
	given    int    // place of what it was found under among what was given
	rows     int64  // by its footer, once that was read
}

// sources are the files that were found, and what is wrong with what was given.
type sources struct {
	files    []source
	problems []Problem
	ignored  int // files in folders that are no Parquet by their names
	most     int // how many files there may be
}

// maxSources bounds how many files one transfer has.
const maxSources = 1_000_000

// find looks for the files that are meant by paths: files, folders with all that
// is in them, and patterns such as part-*.parquet.
func find(ctx context.Context, paths []string) (*sources, error) {
	s := &sources{most: maxSources}
	for i, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := s.add(ctx, i, path, true); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *sources) add(ctx context.Context, given int, path string, mayBePattern bool) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("finding %s: %w", path, err)
	}
	info, err := os.Stat(absolute)
	switch {
	case errors.Is(err, fs.ErrNotExist) && mayBePattern && strings.ContainsAny(path, "*?["):
		return s.addMatches(ctx, given, path)
	case err != nil:
		s.unreadable(path, err)
	case info.IsDir():
		return s.addFolder(ctx, given, absolute)
	case !info.Mode().IsRegular():
		s.problem(path, fault.CodeInvalidRequest, "It is no regular file.", "Give a file on a disk.")
	default:
		s.files = append(s.files, source{identity: identify(absolute, info), name: filepath.Base(absolute), relative: filepath.Base(absolute), given: given})
	}
	return nil
}

func (s *sources) addMatches(ctx context.Context, given int, pattern string) error {
	matches, err := filepath.Glob(pattern)
	if err != nil || len(matches) == 0 {
		s.problem(pattern, fault.CodeFileNotFound, "No file matches the pattern.", "Check the path; quote a pattern or let the shell expand it, both work.")
		return nil
	}
	for _, path := range matches {
		if err := s.add(ctx, given, path, false); err != nil {
			return err
		}
	}
	return nil
}

// addFolder adds the Parquet files in a folder and in those inside it. Links to
// files are followed, links to folders are not, but for the folder itself: a loop
// of them has an end.
func (s *sources) addFolder(ctx context.Context, given int, folder string) error {
	root, err := filepath.EvalSymlinks(folder)
	if err != nil {
		s.unreadable(folder, err)
		return nil
	}
	before := len(s.files) + len(s.problems)
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			s.unreadable(path, err)
			return nil
		case path != root && hidden(entry.Name()):
			if entry.IsDir() {
				return fs.SkipDir
			}
			s.ignored++
		case !entry.IsDir():
			return s.addFound(given, root, path)
		}
		return nil
	})
	if err == nil && len(s.files)+len(s.problems) == before {
		s.problem(folder, fault.CodeFileNotFound, "The folder has no files whose names end in .parquet.", "Give the files themselves when they are called otherwise.")
	}
	return err
}

// hidden reports names that writers give to what is beside their data, such as
// _SUCCESS, _metadata and .part-0.crc.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }

// addFound adds a file that was found in a folder.
func (s *sources) addFound(given int, root, path string) error {
	if !strings.EqualFold(filepath.Ext(path), ".parquet") {
		s.ignored++
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		s.unreadable(path, err)
		return nil
	case !info.Mode().IsRegular():
		s.ignored++
		return nil
	case len(s.files) >= s.most:
		return fault.Newf(fault.CodeRequestTooLarge, "Upload some of the folders at a time.", "There are more than %d files.", s.most)
	}
	// Parts of the path: a hundred thousand texts of their own would be megabytes.
	relative := strings.TrimPrefix(path[len(root):], string(filepath.Separator))
	s.files = append(s.files, source{identity: identify(path, info), name: filepath.Base(path), relative: filepath.ToSlash(relative), given: given})
	return nil
}

// problem notes what is wrong with a path.
func (s *sources) problem(path string, code fault.Code, message, hint string) {
	s.problems = append(s.problems, Problem{Path: path, Code: code, Message: message, Hint: hint})
}

func (s *sources) unreadable(path string, err error) {
	s.problems = append(s.problems, unreadable(path, err))
}

// unreadable says why a file can't be read, in the words of this machine.
func unreadable(path string, err error) Problem {
	p := Problem{Path: path, Code: fault.CodeInvalidRequest, Message: "It can't be read: " + reason(err) + ".", Hint: "Make it readable for the user that uploads it, or leave it out."}
	if errors.Is(err, fs.ErrNotExist) {
		p.Code, p.Message, p.Hint = fault.CodeFileNotFound, "There is no such file.", "Check the path."
	}
	return p
}

// reason is the part of an error of the file system that is not about the path.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// checkNames finds names that a dataset does not take, and names that two files
// have.
func (s *sources) checkNames() {
	first := make(map[string]string, len(s.files))
	for _, f := range s.files {
		if err := dataset.CheckFileName(f.name); err != nil {
			s.problems = append(s.problems, problemOf(f.Path, err))
		}
		if other, taken := first[f.name]; taken {
			message := "It has the same name as " + other + "."
			if other == f.Path {
				message = "It is given twice."
			}
			s.problem(f.Path, fault.CodeFileExists, message, "Names are unique in a dataset: rename one of the files, or upload them to two datasets.")
			continue
		}
		first[f.name] = f.Path
	}
}

// problemOf is an error about a file as a problem.
func problemOf(path string, err error) Problem {
	var f *fault.Error
	if errors.As(err, &f) {
		return Problem{Path: path, Code: f.Code, Message: f.Message, Hint: f.Hint}
	}
	return unreadable(path, err)
}

// unchanged sees that a file is still the one that was planned.
// Errors: CodeFileChanged.
func (id identity) unchanged(open *os.File) error {
	inside, err := open.Stat()
	if err == nil && identify(id.Path, inside) == id {
		outside, err := os.Stat(id.Path)
		if err == nil && identify(id.Path, outside) == id {
			return nil
		}
		return errChanged(id, err)
	}
	return errChanged(id, err)
}

func errChanged(id identity, cause error) error {
	const hint = "Nothing of it was appended. Wait until its writer is done, and upload again: what has arrived of the other files is kept."
	if errors.Is(cause, fs.ErrNotExist) {
		return fault.Newf(fault.CodeFileChanged, hint, "%s was removed while it was being uploaded.", id.Path)
	}
	return fault.Newf(fault.CodeFileChanged, hint, "%s changed while it was being uploaded.", id.Path)
}

// modified is when a file was written last.
func (id identity) modified() time.Time { return time.Unix(0, id.ModTime) }
