package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/checksum"
	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
)

// chunkSize is the range of a file that one request fetches.
const chunkSize = 8 << 20

// partialName is what a file is called until it is whole: not a name that a
// dataset's file can have, since those don't begin with a dot.
func partialName(fileID string) string { return ".parqueue-" + fileID + ".part" }

// fetching is a file under way.
type fetching struct {
	index int
	client.File
	partial *os.File
	name    string // of the partial file
	meter   *fileMeter
	have    map[int]bool // chunks that the partial file has
	sums    []checksum.Sum
	url     fileURL
}

// file downloads one file. A partial file that turns out to be wrong is thrown
// away and the file fetched once more: its chunks may have been lost with power.
func (r *downloadRun) file(ctx context.Context, index int, f client.File) error {
	u := &fetching{index: index, File: f, name: partialName(f.ID), have: r.chunks[f.ID], sums: make([]checksum.Sum, (f.SizeBytes+chunkSize-1)/chunkSize)}
	u.url = fileURL{locate: r.locate, file: f}
	u.meter = r.meter.begin(index, f.Name, f.SizeBytes)
	defer r.meter.leave(u.meter)
	if !validFileID(f.ID) {
		return fault.New(fault.CodeUnavailable, "The server lists a file without an id.", "Check the URL with `parqueue auth status`.")
	}
	err := r.attempt(ctx, u)
	if fault.Is(err, fault.CodeChecksumMismatch) {
		r.meter.have(u.meter, -u.meter.done.Load())
		u.have = nil
		clear(u.sums)
		err = r.attempt(ctx, u)
	}
	if err != nil {
		return ofFile(err, filepath.Join(r.folder, f.Name))
	}
	r.meter.fileDone(FileDone{Name: f.Name, Position: f.Position, SizeBytes: f.SizeBytes})
	return nil
}

// validFileID keeps anything but an id out of the name of a partial file.
func validFileID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

func (r *downloadRun) attempt(ctx context.Context, u *fetching) error {
	if err := r.openPartial(u); err != nil {
		return ofDisk(err, filepath.Join(r.folder, u.name))
	}
	defer u.partial.Close()
	if err := r.chunksOf(ctx, u); err != nil {
		return err
	}
	var whole checksum.Sum
	for _, sum := range u.sums {
		whole = checksum.Join(whole, sum)
	}
	if whole.Bytes != u.SizeBytes || whole.String() != u.Checksum {
		return fault.New(fault.CodeChecksumMismatch, "The bytes that came are not those that were uploaded.", "Run `parqueue datasets verify`: it says whether the store has them.")
	}
	return ofDisk(r.put(u), filepath.Join(r.folder, u.Name))
}

// openPartial opens the partial file of an earlier run, if it and the journal
// agree, or makes a new one.
func (r *downloadRun) openPartial(u *fetching) (err error) {
	info, err := r.root.Lstat(u.name)
	if err == nil && info.Mode().IsRegular() && info.Size() == u.SizeBytes && len(u.have) > 0 {
		u.partial, err = r.root.OpenFile(u.name, os.O_RDWR, 0)
		return err
	}
	u.have = nil
	if err == nil {
		err = r.root.Remove(u.name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	u.partial, err = r.root.OpenFile(u.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return u.partial.Truncate(u.SizeBytes)
}

// chunksOf fetches what the partial file does not have. What it has is read
// again for the checksum: a loss of power may have left zeros.
func (r *downloadRun) chunksOf(ctx context.Context, u *fetching) error {
	group, inGroup := errgroup.WithContext(ctx)
	for chunk := range u.sums {
		size := min(chunkSize, u.SizeBytes-int64(chunk)*chunkSize)
		if u.have[chunk] {
			sum, err := checksum.Of(&untilDone{inGroup, io.NewSectionReader(u.partial, int64(chunk)*chunkSize, size)}, size)
			if err != nil {
				break
			}
			u.sums[chunk] = sum
			r.meter.have(u.meter, size)
			continue
		}
		end, err := r.engine.turn(inGroup, r.gate, u.index)
		if err != nil {
			break
		}
		group.Go(func() error {
			defer end()
			return r.chunk(inGroup, u, chunk, size)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// chunk fetches one range, going on where a try stopped.
func (r *downloadRun) chunk(ctx context.Context, u *fetching, chunk int, size int64) error {
	to := &chunkWriter{file: u.partial, offset: int64(chunk) * chunkSize, moved: func(n int64) { r.meter.add(u.meter, n) }}
	err := r.engine.get(ctx, &u.url, r.gate, to.offset, size, u.SizeBytes, to)
	var write writeError
	if errors.As(err, &write) {
		return ofDisk(write.error, filepath.Join(r.folder, u.name))
	}
	if err != nil {
		return err
	}
	u.sums[chunk] = to.sum
	if len(u.sums) == 1 {
		return nil // the file is done in a moment
	}
	return r.journal.note(entry{Index: u.index, Chunk: &chunk}, false)
}

// chunkWriter writes a range into its place.
type chunkWriter struct {
	file   *os.File
	offset int64
	sum    checksum.Sum
	moved  func(int64)
}

// Write implements io.Writer.
func (w *chunkWriter) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.offset+w.sum.Bytes)
	w.sum.Add(p[:n])
	w.moved(int64(n))
	return n, err
}

// put gives a whole file its name, which no other file has; with overwrite it
// takes the other one's place.
func (r *downloadRun) put(u *fetching) error {
	if err := u.partial.Sync(); err != nil {
		return err
	}
	if r.overwrite {
		return r.root.Rename(u.name, u.Name)
	}
	err := r.root.Link(u.name, u.Name)
	if err == nil {
		if err = r.root.Remove(u.name); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if _, there := r.root.Lstat(u.Name); there == nil {
		return fault.New(fault.CodeFileExists, "Another file with this name came while it was being downloaded.", "Move it away, or add --overwrite, and run the same command again.")
	}
	return r.root.Rename(u.name, u.Name) // a file system without links
}

// fileURL is where a file's bytes are. A URL is good for some minutes.
type fileURL struct {
	locate locator
	file   client.File

	mu    sync.Mutex
	url   string
	from  time.Time
	asked bool // there was one, which is not good any more
}

// fileURLFor is how long a URL is used after it came; the server makes it good
// for 5 minutes.
const fileURLFor = 3 * time.Minute

func (l *fileURL) get(ctx context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.url != "" && time.Since(l.from) < fileURLFor {
		return l.url, nil
	}
	d, err := l.locate(ctx, l.file, l.asked)
	l.asked = true
	if err != nil {
		return "", err
	}
	if d.URL == "" || d.SizeBytes != l.file.SizeBytes || d.Checksum != l.file.Checksum {
		return "", fault.New(fault.CodeFileChanged, "The server has another file under this name now.", "Run the same command again to get that one.")
	}
	l.url, l.from = d.URL, time.Now()
	return l.url, nil
}

// drop forgets a URL that is not taken any more.
func (l *fileURL) drop(url string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.url == url {
		l.url = ""
	}
}

// writeError is an error of the side that bytes are written to.
type writeError struct{ error }

func (w writeError) Unwrap() error { return w.error }

// get copies a range of a file to w. After a failure it asks for the rest of the
// range, for as long as the retries have patience since the last byte came.
func (e *Engine) get(ctx context.Context, from *fileURL, g *gate, offset, size, whole int64, w io.Writer) error {
	for got := int64(0); got < size; {
		err := e.options.Retry.Do(ctx, func(ctx context.Context) error {
			n, err := e.getOnce(ctx, from, g, offset+got, size-got, whole, w)
			got += n
			var write writeError
			if n >= getsOn && got < size && !errors.As(err, &write) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// getsOn is how many bytes a try has to bring for the patience to begin anew.
const getsOn = 64 << 10

func (e *Engine) getOnce(ctx context.Context, from *fileURL, g *gate, offset, size, whole int64, w io.Writer) (int64, error) {
	url, err := from.get(ctx)
	if err != nil {
		return 0, err
	}
	n, err := e.getFrom(ctx, url, offset, size, whole, w)
	if err != nil {
		heed(err, g, func() { from.drop(url) })
	}
	return n, err
}

func (e *Engine) getFrom(ctx context.Context, url string, offset, size, whole int64, w io.Writer) (int64, error) {
	ctx, watch := watchStall(ctx, e.options.Stall)
	defer watch.stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, errStoreURL()
	}
	wanted := http.StatusOK
	if size < whole {
		wanted = http.StatusPartialContent
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+size-1))
	}
	resp, err := e.http.Do(r)
	if err != nil {
		return 0, client.Again(errStore(watch.reason(err)))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != wanted && resp.StatusCode/100 == 2, resp.StatusCode == wanted && resp.ContentLength != size:
		return 0, client.AgainFew(errStore(errors.New("the store sent another range than was asked for")), fewTries)
	case resp.StatusCode != wanted:
		return 0, refusedBy(resp)
	}
	n, err := e.copy(ctx, w, io.LimitReader(resp.Body, size), size, watch)
	var write writeError
	switch {
	case errors.As(err, &write):
		return n, err
	case err != nil:
		return n, client.Again(errStore(watch.reason(err)))
	case n < size:
		return n, client.Again(errStore(io.ErrUnexpectedEOF))
	}
	return n, nil
}

// smallRange is what needs no large buffer.
const smallRange = 32 << 10

// copy copies what comes, in pieces of a buffer that is used again.
func (e *Engine) copy(ctx context.Context, w io.Writer, r io.Reader, size int64, watch *stallWatch) (total int64, err error) {
	var buffer []byte
	if size <= smallRange {
		buffer = make([]byte, size+1)
	} else {
		large := e.buffers.Get().(*[]byte)
		defer e.buffers.Put(large)
		buffer = *large
	}
	for {
		n, err := r.Read(buffer)
		watch.moved()
		if n > 0 {
			if err := e.pace(ctx, n, watch.moved); err != nil {
				return total, err
			}
			watch.moved()
			written, err := w.Write(buffer[:n])
			total += int64(written)
			if err != nil {
				return total, writeError{err}
			}
		}
		switch {
		case err == io.EOF: //nolint:errorlint // io.Reader
			return total, nil
		case err != nil:
			return total, err
		}
	}
}
