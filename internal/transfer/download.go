package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/checksum"
	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// DownloadRequest says what to download, and where to.
type DownloadRequest struct {
	TransferID string // as of UploadRequest

	DatasetID string
	Names     []string // files; none means all
	Folder    string   // made if it is not there
	Overwrite bool     // replace other files of the same names
}

// DownloadResult is what a download did.
type DownloadResult struct {
	TransferID string `json:"transfer_id,omitempty"`
	DatasetID  string `json:"dataset_id"`
	Folder     string `json:"folder"`
	Downloaded int    `json:"downloaded_count"`
	Skipped    int    `json:"skipped_count"` // they were there, with the same checksum
	Bytes      int64  `json:"downloaded_bytes"`
	BytesGot   int64  `json:"received_bytes"` // by this run
}

// Download brings a dataset's files into a folder, each in one step when it is
// whole and has the right checksum, and writes their order beside them. It may be
// repeated after any error and any crash, and goes on where it stopped.
// Errors: CodeFileNotFound for names that the dataset doesn't have; CodeFileExists
// for files in the way; CodeStorageFull; CodeChecksumMismatch; CodeConflict when
// another process is at it; those of client.
func (e *Engine) Download(ctx context.Context, request DownloadRequest, tell Observer) (DownloadResult, error) {
	folder, err := filepath.Abs(request.Folder)
	if err != nil {
		return DownloadResult{}, fmt.Errorf("finding %s: %w", request.Folder, err)
	}
	result := DownloadResult{TransferID: request.TransferID, DatasetID: request.DatasetID, Folder: folder}
	all, err := e.choose(ctx, request.DatasetID, request.Names)
	if err != nil {
		return result, err
	}
	if err := checkNames(all); err != nil {
		return result, err
	}
	root, err := openFolder(folder)
	if err != nil {
		return result, err
	}
	defer root.Close()
	wanted, err := missing(ctx, root, folder, all, request.Overwrite)
	if err != nil {
		return result, err
	}
	result.Skipped = len(all) - len(wanted)
	b := batch{
		transfer:  Transfer{ID: request.TransferID, Kind: KindDownload, Server: e.client.URL(), DatasetID: request.DatasetID, Folder: folder},
		overwrite: request.Overwrite,
		locate:    e.locateIn(request.DatasetID, wanted),
	}
	if len(wanted) > 0 {
		var got fetched
		got, err = e.fetch(ctx, b, root, wanted, tell)
		result.TransferID, result.BytesGot, result.Downloaded, result.Bytes = got.id, got.moved, got.files, got.bytes
	} else {
		err = e.forgetFetch(b)
	}
	if err != nil {
		return result, err
	}
	return result, writeOrder(root, folder, all)
}

// openFolder opens a folder to put files in, and makes it if it is not there.
func openFolder(folder string) (*os.Root, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // as other programs make folders
		return nil, ofDisk(err, folder)
	}
	root, err := os.OpenRoot(folder)
	return root, ofDisk(err, folder)
}

// choose lists the files that are wanted, in the dataset's order.
func (e *Engine) choose(ctx context.Context, datasetID string, names []string) ([]client.File, error) {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	var files []client.File
	for f, err := range e.client.Files(ctx, datasetID) {
		if err != nil {
			return nil, err
		}
		if len(names) == 0 || wanted[f.Name] {
			files = append(files, f)
			delete(wanted, f.Name)
		}
	}
	for name := range wanted {
		return nil, fault.Newf(fault.CodeFileNotFound, "`parqueue datasets files` lists the names, which have to be given letter by letter.",
			"The dataset has no file %.255q.", name)
	}
	return files, nil
}

// checkNames refuses names that could lead out of a folder or hide one another. A
// server takes no such names; that it is one is not relied upon.
func checkNames(files []client.File) error {
	var problems []Problem
	seen := make(map[string]string, len(files))
	for _, f := range files {
		if err := dataset.CheckFileName(f.Name); err != nil {
			problems = append(problems, problemOf(fmt.Sprintf("%.64q", f.Name), err))
			continue
		}
		key := f.Name
		if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
			key = strings.ToLower(key)
		}
		if other, taken := seen[key]; taken || key == OrderFile {
			if !taken {
				other = "the list of the files' order"
			}
			problems = append(problems, Problem{Path: f.Name, Code: fault.CodeFileExists,
				Message: "It can't be in one folder with " + other + ".", Hint: "Name the files to download, some in one folder and some in another."})
		}
		seen[key] = f.Name
	}
	return refuse(problems, len(files), "can't be downloaded")
}

// missing leaves out the files that are in the folder already.
func missing(ctx context.Context, root *os.Root, folder string, files []client.File, overwrite bool) ([]client.File, error) {
	var wanted []client.File
	var problems []Problem
	for _, f := range files {
		info, err := root.Lstat(f.Name)
		if errors.Is(err, fs.ErrNotExist) {
			wanted = append(wanted, f)
			continue
		}
		path := filepath.Join(folder, f.Name)
		same := false
		if err == nil && info.Mode().IsRegular() && info.Size() == f.SizeBytes {
			same, err = sameContent(ctx, root, f)
		}
		switch {
		case err != nil:
			problems = append(problems, unreadable(path, err))
		case same:
			if validFileID(f.ID) {
				_ = root.Remove(partialName(f.ID)) // left where a process was killed that had just linked it
			}
		case overwrite && info.Mode().IsRegular():
			wanted = append(wanted, f)
		default:
			problems = append(problems, Problem{Path: path, Code: fault.CodeFileExists, Message: "Another file with this name is there.", Hint: "Move it away, choose another folder with --to, or add --overwrite."})
		}
	}
	if len(wanted) == len(files) {
		wanted = files // one list of a hundred thousand is enough
	}
	return wanted, refuse(problems, len(files), "can't be downloaded")
}

func sameContent(ctx context.Context, root *os.Root, f client.File) (bool, error) {
	file, err := root.Open(f.Name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	sum, err := checksum.Of(&untilDone{ctx, file}, f.SizeBytes)
	return sum.String() == f.Checksum, err
}

// writeOrder leaves the names of the files in their order beside them.
func writeOrder(root *os.Root, folder string, files []client.File) error {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
	}
	text, err := json.MarshalIndent(names, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the order: %w", err)
	}
	const temporary = ".parqueue-order.new"
	err = root.WriteFile(temporary, append(text, '\n'), 0o644)
	if err == nil {
		err = root.Rename(temporary, OrderFile)
	}
	return ofDisk(err, filepath.Join(folder, OrderFile))
}

// downloadRun is a download that runs.
type downloadRun struct {
	engine    *Engine
	locate    locator
	root      *os.Root
	folder    string
	overwrite bool
	journal   *journal
	chunks    map[string]map[int]bool
	gate      *gate
	meter     *meter
}

// batch is files that are fetched into one folder.
type batch struct {
	transfer  Transfer // without what the files say
	overwrite bool
	locate    locator
}

// fetched is what came of it.
type fetched struct {
	id    string
	files int
	bytes int64
	moved int64
}

// fetch downloads files that are not there.
func (e *Engine) fetch(ctx context.Context, b batch, root *os.Root, files []client.File, tell Observer) (got fetched, err error) {
	var bytes int64
	for _, f := range files {
		bytes = dataset.AddUp(bytes, f.SizeBytes)
	}
	takes := func(memory) bool { return true } // the folder is the transfer's
	b.transfer.Files, b.transfer.Bytes = len(files), bytes
	got.id = b.transfer.ID
	journal, old, err := e.store.begin(b.transfer, takes, func(m memory) iter.Seq[entry] { return m.carryChunks(files) })
	if err != nil {
		return got, err
	}
	got.id = journal.ID
	g := e.newGate(bytes / int64(len(files)))
	run := &downloadRun{
		engine: e, locate: b.locate, root: root, folder: b.transfer.Folder, overwrite: b.overwrite, journal: journal,
		chunks: old.chunks, gate: g, meter: startMeter(journal.ID, g, len(files), bytes, tell),
	}
	err = run.run(ctx, files)
	run.meter.end()
	got.moved, got.files = run.meter.moved.Load(), run.meter.filesDone
	if err != nil {
		return got, errors.Join(err, journal.close())
	}
	got.bytes = bytes
	for _, f := range files {
		delete(old.chunks, f.ID)
	}
	for id := range old.chunks {
		_ = root.Remove(partialName(id)) // of a file that is not wanted any more
	}
	return got, journal.remove()
}

// forgetFetch ends a download of which nothing is left: it was interrupted after
// its last file.
func (e *Engine) forgetFetch(b batch) error {
	err := e.forget(b.transfer, func(memory) bool { return true })
	if fault.Is(err, fault.CodeConflict) {
		return nil // another process downloads other files to the folder
	}
	return err
}

// carryChunks is what a new journal says about the files, as far as an old one
// knows them.
func (m memory) carryChunks(files []client.File) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		for _, f := range files {
			if !yield(entry{FileID: f.ID}) {
				return
			}
		}
		for i, f := range files {
			for chunk := range m.chunks[f.ID] {
				if !yield(entry{Index: i, Chunk: &chunk}) {
					return
				}
			}
		}
	}
}

func (r *downloadRun) run(ctx context.Context, files []client.File) error {
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(filesAtOnce)
	for i, f := range files {
		if inGroup.Err() != nil {
			break
		}
		group.Go(func() error { return r.file(inGroup, i, f) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}
