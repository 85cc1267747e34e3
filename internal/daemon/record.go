package daemon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// record is what a daemon remembers of a transfer through its own end: a file
// of its own, replaced in one step whenever the state changes. How far it has come
// is in the engine's journal and at the server. There is no key in it.
type record struct {
	Version   int             `json:"version"`
	ID        string          `json:"transfer_id"`
	State     string          `json:"state"` // running stays through a crash: the next daemon goes on
	Request   NewTransfer     `json:"request"`
	Server    string          `json:"server"`            // its URL
	Profile   string          `json:"profile,omitempty"` // that has the key; "" for a key that was given
	AllowHTTP bool            `json:"allow_http,omitempty"`
	CreatedAt time.Time       `json:"created_at"`
	EndedAt   time.Time       `json:"ended_at,omitzero"`
	Files     int             `json:"files"`
	FilesDone int             `json:"files_done"`
	Bytes     int64           `json:"bytes"`
	BytesDone int64           `json:"bytes_done"`
	Moved     int64           `json:"bytes_moved"`
	Error     json.RawMessage `json:"error,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
}

const recordVersion = 1

// recordLimit bounds a record's file; a request may name many paths.
const recordLimit = 64 << 20

// Folder is where a daemon keeps what is its own, in a state folder.
func Folder(stateDir string) string { return filepath.Join(stateDir, "daemon") }

func recordsFolder(stateDir string) string { return filepath.Join(Folder(stateDir), "transfers") }

func recordFile(stateDir, id string) string {
	return filepath.Join(recordsFolder(stateDir), id+".json")
}

func validID(id string) bool { return uuid.Validate(id) == nil && len(id) == 36 }

// save writes a record whole.
func (r *record) save(stateDir string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding a transfer: %w", err)
	}
	return writeFile(recordFile(stateDir, r.ID), text)
}

// writeFile replaces a private file in one step.
func writeFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// loadRecord reads one.
func loadRecord(stateDir, id string) (record, error) {
	f, err := os.Open(recordFile(stateDir, id))
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, recordLimit))
	if err != nil {
		return record{}, err
	}
	return parseRecord(text, id)
}

func parseRecord(text []byte, id string) (record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	if r.Version != recordVersion || r.ID != id {
		return r, errors.New("another version, or another transfer's")
	}
	return r, nil
}

// loadRecords reads all that can be read, the oldest first; damaged hears of the
// others.
func loadRecords(stateDir string, damaged func(path string, err error)) ([]record, error) {
	entries, err := os.ReadDir(recordsFolder(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []record
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !validID(id) {
			continue
		}
		r, err := loadRecord(stateDir, id)
		if err != nil {
			damaged(recordFile(stateDir, id), err)
			continue
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b record) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// Remembered is the transfers that a daemon goes on with or keeps the results
// of, the oldest first, read from the disk: for when none runs. One that ran is
// StateWaiting then.
// Errors: CodeInvalidRequest when the folder can't be read.
func Remembered(stateDir string) ([]Transfer, error) {
	records, err := loadRecords(stateDir, func(string, error) {})
	if err != nil {
		return nil, errState(recordsFolder(stateDir), err)
	}
	all := make([]Transfer, 0, len(records))
	for _, r := range records {
		if r.State == StateRunning {
			r.State = StateWaiting
		}
		all = append(all, r.view())
	}
	return all, nil
}

// view is the transfer as it is shown.
func (r *record) view() Transfer {
	t := Transfer{
		ID: r.ID, Kind: r.Request.Kind, State: r.State, CreatedAt: r.CreatedAt, Server: r.Server,
		DatasetID: r.Request.DatasetID, AssetID: r.assetID(), Folder: r.Request.To,
		Files: r.Files, FilesDone: r.FilesDone, Bytes: r.Bytes, BytesDone: r.BytesDone, BytesMoved: r.Moved, SecondsLeft: -1,
		Error: r.Error, Result: r.Result,
	}
	if r.State == StateDone {
		t.SecondsLeft = 0
	}
	return t
}

// assetID is the asset's: a new one has an id when its upload is done.
func (r *record) assetID() string {
	if r.Request.AssetID != "" || r.Request.Kind != KindUploadAsset || len(r.Result) == 0 {
		return r.Request.AssetID
	}
	var made struct {
		AssetID string `json:"asset_id"`
	}
	if json.Unmarshal(r.Result, &made) != nil {
		return ""
	}
	return made.AssetID
}

func errState(dir string, cause error) error {
	if transfer.Full(cause) {
		return fault.Newf(fault.CodeStorageFull, "Free some space, or name another folder with PARQUEUE_STATE_DIR, and run the same command again.",
			"There is no room left for what the transfer daemon has to remember in %s.", dir).Because(cause)
	}
	return fault.Newf(fault.CodeInvalidRequest, "Make the folder writable, or name another one with PARQUEUE_STATE_DIR.",
		"What the transfer daemon has to remember can't be kept in %s.", dir).Because(cause)
}
