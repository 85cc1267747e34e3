package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// AssetUpload says what to upload as an asset, and where to.
type AssetUpload struct {
	TransferID string // as of UploadRequest
	Path       string // a file
	AssetID    string // gets new content; "" makes an asset
	OwnerType  string // of a new one: project or collection
	OwnerID    string
	Info       AssetInfo // of a new one
	PartSize   int64     // bytes; 0 is the usual
}

// AssetInfo is what is said of a new asset; all of it may be empty.
type AssetInfo struct {
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Alias       string          `json:"alias,omitempty"` // unique in its owner
	Tags        []string        `json:"tags,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"` // a JSON object
}

// changes is the same for the API, which is not told what is empty.
func (i AssetInfo) changes() (c client.AssetChanges) {
	if i.Title != "" {
		c.Title = &i.Title
	}
	if i.Description != "" {
		c.Description = &i.Description
	}
	if i.Alias != "" {
		c.Alias = &i.Alias
	}
	if len(i.Tags) > 0 {
		c.Tags = &i.Tags
	}
	if len(i.Metadata) > 0 {
		c.Metadata = &i.Metadata
	}
	return c
}

// AssetUploadResult is what the upload of an asset did.
type AssetUploadResult struct {
	TransferID string `json:"transfer_id,omitempty"`
	AssetID    string `json:"asset_id"`
	Version    int64  `json:"version"`
	FileName   string `json:"file_name"`
	Bytes      int64  `json:"uploaded_bytes"`
	BytesSent  int64  `json:"sent_bytes"` // by this run
}

// UploadAsset sends a file as an asset, or as the next content of one, which is
// there when all of it is. After an error or a crash it goes on where it stopped,
// as Upload does.
// Errors: CodeFileNotFound, CodeInvalidRequest for what is no file; CodeFileChanged;
// CodeConflict when another process is at it; those of client.
func (e *Engine) UploadAsset(ctx context.Context, request AssetUpload, tell Observer) (AssetUploadResult, error) {
	f, err := plannedAsset(request.Path)
	if err != nil {
		return AssetUploadResult{TransferID: request.TransferID}, err
	}
	result := AssetUploadResult{TransferID: request.TransferID, AssetID: request.AssetID, FileName: f.Name}
	to := &assetDestination{client: e.client, request: request}
	files := []PlannedFile{f}
	spare := func(m memory) []string { return m.spares(files) }
	journal, old, err := e.store.begin(Transfer{
		ID: request.TransferID, Kind: KindUploadAsset, Server: e.client.URL(), Asset: to.name(), Files: 1, Bytes: f.SizeBytes,
	}, func(m memory) bool { return m.hasAny(files) }, func(m memory) iter.Seq[entry] { return m.carry(files, spare(m)) })
	if err != nil {
		return result, err
	}
	result.TransferID = journal.ID
	g := e.newGate(f.SizeBytes)
	run := &uploadRun{
		engine: e, to: to, files: files, journal: journal, before: old.uploads, gate: g,
		meter: startMeter(journal.ID, g, 1, f.SizeBytes, tell),
	}
	_, err = run.upload(ctx, 0)
	if err == nil {
		run.meter.fileDone(FileDone{Name: f.Name, SizeBytes: f.SizeBytes})
	}
	run.meter.end()
	result.BytesSent = run.meter.moved.Load()
	if err != nil {
		return result, errors.Join(err, journal.close())
	}
	result.AssetID, result.Version, result.Bytes = to.made.AssetID, to.made.Version, f.SizeBytes
	e.abandon(ctx, spare(old))
	return result, journal.remove()
}

// plannedAsset looks at a file that is to be an asset.
func plannedAsset(path string) (PlannedFile, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return PlannedFile{}, fmt.Errorf("finding %s: %w", path, err)
	}
	info, err := os.Stat(absolute)
	if err == nil && !info.Mode().IsRegular() {
		return PlannedFile{}, fault.Newf(fault.CodeInvalidRequest, "Give a file; several are uploaded one by one.", "%s is no regular file.", absolute)
	}
	if err == nil {
		var file *os.File
		if file, err = os.Open(absolute); err == nil {
			err = file.Close()
		}
	}
	if err != nil {
		p := unreadable(absolute, err)
		return PlannedFile{}, fault.New(p.Code, absolute+": "+p.Message, p.Hint)
	}
	name := filepath.Base(absolute)
	if err := dataset.CheckFileName(name); err != nil {
		return PlannedFile{}, ofFile(err, absolute)
	}
	return PlannedFile{Path: absolute, Name: name, SizeBytes: info.Size(), Action: ActionUpload, source: identify(absolute, info)}, nil
}

// assetDestination takes a file that is an asset's content when it is whole.
type assetDestination struct {
	client  *client.Client
	request AssetUpload
	made    client.Upload
}

// name tells the transfers of assets apart: an upload that was begun with another
// title is another one.
func (d *assetDestination) name() string {
	if d.request.AssetID != "" {
		return d.request.AssetID
	}
	said, err := json.Marshal(d.request.Info)
	if err != nil {
		said = nil // metadata that is no JSON: the server says so
	}
	sum := sha256.Sum256(said)
	return d.request.OwnerType + "/" + d.request.OwnerID + "#" + hex.EncodeToString(sum[:6])
}

func (d *assetDestination) begin(ctx context.Context, f PlannedFile, key string) (client.Upload, error) {
	size := d.request.PartSize
	if size == 0 || size*maxParts < f.SizeBytes {
		size = partSizeOf(f.SizeBytes)
	}
	if d.request.AssetID != "" {
		return d.client.CreateAssetVersion(ctx, client.NewAssetVersion{
			AssetID: d.request.AssetID, FileName: f.Name, SizeBytes: f.SizeBytes, PartSize: size, Limit: partsAsked, SinglePut: true,
		}, key)
	}
	return d.client.CreateAsset(ctx, client.NewAsset{
		OwnerType: d.request.OwnerType, OwnerID: d.request.OwnerID, FileName: f.Name, SizeBytes: f.SizeBytes, PartSize: size, Limit: partsAsked,
		SinglePut: true, AssetChanges: d.request.Info.changes(),
	}, key)
}

func (d *assetDestination) has(view client.Upload) bool {
	if view.State != client.UploadAppended {
		return false
	}
	d.made = view
	return true
}

func (d *assetDestination) finish(ctx context.Context, uploadID, checksum string) (err error) {
	d.made, err = d.client.CommitUpload(ctx, uploadID, checksum)
	return err
}

// AssetDownload says which asset to download, and where to.
type AssetDownload struct {
	TransferID string // as of UploadRequest
	AssetID    string
	Version    int64  // 0 is the latest
	Folder     string // made if it is not there
	Overwrite  bool   // replace another file of the same name
}

// AssetDownloadResult is what the download of an asset did.
type AssetDownloadResult struct {
	TransferID string `json:"transfer_id,omitempty"`
	AssetID    string `json:"asset_id"`
	Version    int64  `json:"version"`
	Path       string `json:"path"` // where it is now
	Bytes      int64  `json:"size_bytes"`
	Skipped    bool   `json:"skipped"` // it was there, with the same checksum
	BytesGot   int64  `json:"received_bytes"`
}

// DownloadAsset brings an asset's content into a folder, in one step when it is
// whole and has the right checksum, and goes on where it stopped, as Download does.
// Errors: CodeAssetNotFound; CodeFileExists for a file in the way; CodeStorageFull;
// CodeChecksumMismatch; CodeConflict when another process is at it; those of client.
func (e *Engine) DownloadAsset(ctx context.Context, request AssetDownload, tell Observer) (AssetDownloadResult, error) {
	result := AssetDownloadResult{TransferID: request.TransferID, AssetID: request.AssetID, Version: request.Version}
	folder, err := filepath.Abs(request.Folder)
	if err != nil {
		return result, fmt.Errorf("finding %s: %w", request.Folder, err)
	}
	content, err := e.contentOf(ctx, request.AssetID, request.Version)
	if err != nil {
		return result, err
	}
	f := client.File{Name: content.FileName, ID: fmt.Sprintf("%s-%d", request.AssetID, content.Version), SizeBytes: content.SizeBytes, Checksum: content.Checksum}
	if err := checkNames([]client.File{f}); err != nil {
		return result, err
	}
	result.Version, result.Path, result.Bytes = content.Version, filepath.Join(folder, f.Name), f.SizeBytes
	root, err := openFolder(folder)
	if err != nil {
		return result, err
	}
	defer root.Close()
	wanted, err := missing(ctx, root, folder, []client.File{f}, request.Overwrite)
	if err != nil {
		return result, err
	}
	b := batch{
		transfer:  Transfer{ID: request.TransferID, Kind: KindDownloadAsset, Server: e.client.URL(), Asset: f.ID, Folder: folder},
		overwrite: request.Overwrite,
		locate: func(ctx context.Context, _ client.File, _ bool) (client.Download, error) {
			return e.client.DownloadAsset(ctx, request.AssetID, content.Version)
		},
	}
	if result.Skipped = len(wanted) == 0; result.Skipped {
		return result, e.forgetFetch(b)
	}
	got, err := e.fetch(ctx, b, root, wanted, tell)
	result.TransferID, result.BytesGot = got.id, got.moved
	return result, err
}

// contentOf finds a version of an asset; 0 is the latest.
func (e *Engine) contentOf(ctx context.Context, id string, version int64) (client.AssetVersion, error) {
	a, err := e.client.Asset(ctx, id)
	if err != nil || version == 0 || version == a.Version {
		return client.AssetVersion{Version: a.Version, FileName: a.FileName, SizeBytes: a.SizeBytes, Checksum: a.Checksum}, err
	}
	for c, err := range e.client.AssetVersions(ctx, id) {
		if err != nil || c.Version == version {
			return c, err
		}
	}
	return client.AssetVersion{}, fault.Newf(fault.CodeAssetNotFound, "`parqueue assets versions` lists those that there are.", "The asset has no version %d.", version)
}
