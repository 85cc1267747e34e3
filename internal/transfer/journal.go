package transfer

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/fault"
)

// The journal of a transfer is a file of JSON lines: the transfer, its files, and
// then what happened to them. It is made whole under its name by a rename, only
// grows while the transfer runs, and is removed when it is done. A lock beside it
// tells a transfer that runs from one that was interrupted. A last line that a
// crash cut off is ignored; what it said is found out again.

// Kinds of transfers.
const (
	KindUpload   = "upload"
	KindDownload = "download"

	KindUploadAsset   = "upload_asset"
	KindDownloadAsset = "download_asset"
)

// Transfer is a transfer that has begun and is not done.
type Transfer struct {
	ID        string    `json:"transfer_id"`
	Kind      string    `json:"kind"`
	Server    string    `json:"server"`
	DatasetID string    `json:"dataset_id"`
	Asset     string    `json:"asset,omitempty"`  // its id, or the owner of a new one
	Folder    string    `json:"folder,omitempty"` // that a download fills
	CreatedAt time.Time `json:"created_at"`
	Files     int       `json:"files"`
	Bytes     int64     `json:"bytes"`
	Running   bool      `json:"running"` // by some process, now
}

// header is the first line.
type header struct {
	Version int `json:"version"`
	Transfer
	Nonce string `json:"nonce"` // begins the Idempotency-Keys of the transfer
}

const journalVersion = 1

// entry is any other line. A file is known by its place among the files.
type entry struct {
	File   *identity `json:"file,omitempty"`    // of an upload: adds the next file
	FileID string    `json:"file_id,omitempty"` // of a download: adds the next file
	Index  int       `json:"i,omitempty"`
	Upload string    `json:"upload,omitempty"` // the file's upload
	Try    int       `json:"try,omitempty"`    // which one it is
	Chunk  *int      `json:"chunk,omitempty"`  // that is in the partial file
	Spare  string    `json:"spare,omitempty"`  // an upload that no file needs any more
	Done   int       `json:"done,omitempty"`   // of an upload: so many files, from the first on, are in the dataset
}

// memory is what a journal says.
type memory struct {
	header
	known   map[identity]bool  // files of an upload
	uploads map[identity]begun // of files that are not in the dataset
	spare   []string
	chunks  map[string]map[int]bool // of every file of a download, by its id
}

// begun is an upload that was created for a file.
type begun struct {
	upload string
	try    int
}

// journals is the folder of all journals.
type journals struct{ stateDir string }

func (s *journals) folder() string           { return filepath.Join(s.stateDir, "transfers") }
func (s *journals) file(id string) string    { return filepath.Join(s.folder(), id+".jsonl") }
func (s *journals) lock(id string) string    { return filepath.Join(s.folder(), id+".lock") }
func (s *journals) starting() string         { return filepath.Join(s.folder(), "starting.lock") }
func validID(id string) bool                 { return uuid.Validate(id) == nil && len(id) == 36 }
func damaged(path string, cause error) error { return errDamaged(path).Because(cause) }

func errState(dir string, cause error) error {
	if Full(cause) {
		return ofDisk(cause, dir)
	}
	return fault.Newf(fault.CodeInvalidRequest, "Make the folder writable, or name another one with PARQUEUE_STATE_DIR.",
		"What a transfer has to remember can't be written to %s.", dir).Because(cause)
}

func errDamaged(path string) *fault.Error {
	return fault.Newf(fault.CodeInvalidRequest, "Remove the file: what has arrived and was not appended is then sent again.", "The journal %s is damaged, or of another version.", path)
}

// journal is one transfer's, open for writing.
type journal struct {
	header
	file *os.File
	lock *flock.Flock
	path string

	mu       sync.Mutex
	written  int64      // lines
	synced   int64      // lines that are on the disk
	syncing  bool       // somebody is at it
	progress *sync.Cond // synced or err has changed
	err      error
}

// begin makes the journal of a transfer. If an interrupted transfer has something
// for it, as takes says of what it remembers, that one goes on: its id stays,
// unless the transfer came with one of its own.
// Errors: CodeConflict when another process runs it; CodeInvalidRequest,
// CodeStorageFull when the folder can't be written to.
func (s *journals) begin(t Transfer, takes func(memory) bool, lines func(memory) iter.Seq[entry]) (*journal, memory, error) {
	if err := os.MkdirAll(s.folder(), 0o700); err != nil {
		return nil, memory{}, errState(s.folder(), err)
	}
	starting := flock.New(s.starting())
	if err := starting.Lock(); err != nil {
		return nil, memory{}, errState(s.folder(), err)
	}
	defer starting.Close()
	old, err := s.interrupted(t, takes)
	if err != nil {
		return nil, memory{}, err
	}
	t.ID = cmp.Or(t.ID, old.ID, uuid.NewString())
	t.CreatedAt = time.Now().UTC().Truncate(time.Second)
	// A transfer with an id of its own that is run once more, for want of knowing
	// that it was done, begins nothing twice: its keys are the same.
	nonce := t.ID
	if old.ID != "" {
		t.CreatedAt, nonce = old.CreatedAt, old.Nonce
	}
	j := &journal{header: header{journalVersion, t, nonce}, path: s.file(t.ID), lock: flock.New(s.lock(t.ID))}
	j.progress = sync.NewCond(&j.mu)
	switch held, err := j.lock.TryLock(); {
	case err != nil:
		return nil, memory{}, errState(s.folder(), err)
	case !held:
		return nil, memory{}, errRunning(t.ID)
	}
	if err := j.create(lines(old)); err != nil {
		return nil, memory{}, errors.Join(ofDisk(err, s.folder()), j.lock.Close())
	}
	if old.ID != t.ID {
		s.dropOthers(j.header)
	}
	return j, old, nil
}

// dropOthers removes the journals that one with another id has taken over. A
// crash may leave them: they have the same nonce.
func (s *journals) dropOthers(of header) {
	all, err := s.list()
	if err != nil {
		return // they are found the next time
	}
	for _, one := range all {
		if h, err := s.readHeader(one.ID); err == nil && h.Nonce == of.Nonce && h.ID != of.ID {
			_ = os.Remove(s.file(h.ID))
			_ = os.Remove(s.lock(h.ID))
		}
	}
}

func errRunning(id string) error {
	return fault.Newf(fault.CodeConflict, "Wait until it is done, or stop that process first; `parqueue transfers list` shows what runs.", "Another process runs this transfer (%s).", id)
}

// interrupted finds the transfer that begin goes on with, or none: the one with
// the same id, if there is one.
func (s *journals) interrupted(t Transfer, takes func(memory) bool) (memory, error) {
	all, err := s.list()
	if err != nil {
		return memory{}, err
	}
	slices.SortStableFunc(all, func(a, b Transfer) int {
		switch t.ID {
		case a.ID:
			return -1
		case b.ID:
			return 1
		}
		return 0
	})
	for _, one := range all {
		if one.Kind != t.Kind || one.Server != t.Server || one.DatasetID != t.DatasetID || one.Asset != t.Asset || one.Folder != t.Folder {
			continue
		}
		m, err := s.read(one.ID)
		if fault.Is(err, fault.CodeFileNotFound) {
			continue // done a moment ago
		}
		if err != nil {
			return memory{}, err
		}
		if one.ID != t.ID && !takes(m) {
			continue
		}
		if one.Running {
			return memory{}, errRunning(one.ID)
		}
		return m, nil
	}
	return memory{}, nil
}

// create writes the journal whole and opens it for more.
func (j *journal) create(lines iter.Seq[entry]) error {
	err := writeWhole(j.path, func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		if err := encoder.Encode(j.header); err != nil {
			return err
		}
		for line := range lines {
			if err := encoder.Encode(line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	return err
}

// writeWhole writes a private file that is there whole or as it was, through a
// loss of power too.
func writeWhole(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	buffered := bufio.NewWriterSize(f, 64<<10)
	if err = errors.Join(write(buffered), buffered.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a rename last. Where folders can't be synced it is as lasting
// as the system makes it.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = dir.Sync()
	return dir.Close()
}

// note appends a line. When lasting it returns once the line is on the disk;
// lines of many files go there together. Otherwise it survives the process, not a
// loss of power.
func (j *journal) note(e entry, lasting bool) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("noting what was done: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		if _, err := j.file.Write(append(line, '\n')); err != nil {
			j.err = ofDisk(err, j.path)
		}
		j.written++
	}
	mine := j.written
	for lasting && j.err == nil && j.synced < mine {
		if j.syncing {
			j.progress.Wait()
			continue
		}
		j.sync()
	}
	return j.err
}

// sync brings what is written to the disk. The lock is free meanwhile.
func (j *journal) sync() {
	upTo := j.written
	j.syncing = true
	j.mu.Unlock()
	err := j.file.Sync()
	j.mu.Lock()
	j.syncing = false
	if err != nil {
		j.err = ofDisk(err, j.path)
	}
	j.synced = max(j.synced, upTo)
	j.progress.Broadcast()
}

// close leaves the journal for another run.
func (j *journal) close() error { return errors.Join(j.file.Close(), j.lock.Close()) }

// remove ends the transfer: there is nothing left to remember.
func (j *journal) remove() error {
	err := errors.Join(os.Remove(j.path), j.close())
	_ = os.Remove(j.lock.Path()) // an empty file that nobody misses
	return err
}

// list finds every transfer that is not done, the oldest first. Journals that
// can't be read are left out: they are told about when they are needed.
func (s *journals) list() ([]Transfer, error) {
	entries, err := os.ReadDir(s.folder())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errState(s.folder(), err)
	}
	var all []Transfer
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".jsonl")
		if !ok || !validID(id) {
			continue
		}
		h, err := s.readHeader(id)
		if err != nil {
			continue
		}
		h.Running = s.running(id)
		all = append(all, h.Transfer)
	}
	slices.SortFunc(all, func(a, b Transfer) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

func (s *journals) running(id string) bool {
	lock := flock.New(s.lock(id))
	held, err := lock.TryLock()
	_ = lock.Close()
	return err == nil && !held
}

func (s *journals) readHeader(id string) (header, error) {
	var h header
	f, err := os.Open(s.file(id))
	if err != nil {
		return h, err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, lineLimit)).ReadBytes('\n')
	if err != nil {
		return h, err
	}
	return h, h.decode(line, id)
}

// lineLimit bounds a line: a path is the longest thing in it.
const lineLimit = 1 << 20

func (h *header) decode(line []byte, id string) error {
	if err := json.Unmarshal(line, h); err != nil {
		return err
	}
	if h.Version != journalVersion || h.ID != id {
		return errors.New("another version, or another transfer's")
	}
	return nil
}

// read reads a journal.
// Errors: CodeFileNotFound when there is none; CodeInvalidRequest when it is
// damaged.
func (s *journals) read(id string) (memory, error) {
	f, err := os.Open(s.file(id))
	if errors.Is(err, fs.ErrNotExist) {
		return memory{}, errNoTransfer(id)
	}
	if err != nil {
		return memory{}, errState(s.folder(), err)
	}
	defer f.Close()
	m, err := parseJournal(f, id)
	if err != nil {
		return memory{}, damaged(s.file(id), err)
	}
	return m, nil
}

func errNoTransfer(id string) error {
	return fault.Newf(fault.CodeFileNotFound, "`parqueue transfers list` shows those that there are.", "There is no transfer %.64q.", id)
}

// parseJournal reads the lines of a journal.
func parseJournal(r io.Reader, id string) (memory, error) {
	m := memory{known: map[identity]bool{}, uploads: map[identity]begun{}, chunks: map[string]map[int]bool{}}
	lines := bufio.NewReaderSize(r, 64<<10)
	first, err := readLine(lines)
	if err != nil {
		return m, errors.Join(errors.New("no first line"), err)
	}
	if err := m.decode(first, id); err != nil {
		return m, err
	}
	var files []identity // of an upload
	var ids []string     // of a download
	done := 0
	for {
		line, err := readLine(lines)
		if err == io.EOF { //nolint:errorlint // readLine's own
			return m, nil
		}
		if err != nil {
			return m, err
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return m, err
		}
		switch {
		case e.File != nil:
			files = append(files, *e.File)
			m.known[*e.File] = true
		case e.FileID != "":
			ids = append(ids, e.FileID)
			m.chunks[e.FileID] = nil
		case e.Spare != "":
			m.spare = append(m.spare, e.Spare)
		case e.Done < 0 || e.Done > len(files):
			return m, fmt.Errorf("there are no %d files", e.Done)
		case e.Done > 0:
			for _, id := range files[min(done, e.Done):e.Done] {
				delete(m.uploads, id)
			}
			done = e.Done
		case e.Index < 0 || e.Index >= len(files)+len(ids):
			return m, fmt.Errorf("there is no file %d", e.Index)
		case e.Upload != "" && e.Index < len(files):
			m.uploads[files[e.Index]] = begun{e.Upload, e.Try}
		case e.Chunk != nil && e.Index < len(ids):
			if m.chunks[ids[e.Index]] == nil {
				m.chunks[ids[e.Index]] = map[int]bool{}
			}
			m.chunks[ids[e.Index]][*e.Chunk] = true
		}
	}
}

// readLine reads a line of bounded length; a last one without an end was cut off
// by a crash, and is the end of the file.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		if len(line)+len(piece) > lineLimit {
			return nil, errors.New("a line is too long")
		}
		if line = append(line, piece...); !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
