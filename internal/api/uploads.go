package api

import (
	"net/http"
	"strconv"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

const (
	// createUploadLimit bounds the body of create-upload, which may carry a footer.
	// As base64 within API Gateway's own it is what Lambda takes.
	createUploadLimit = 4_400_000

	partsShown    = 100  // of an upload, unless a limit is given
	maxPartsShown = 1000 // that a limit may ask for
	uploadsPage   = 100
	uploadsPages  = 50 // looked through for a state or a key that does not reach all, before the listing ends with a cursor
	sendUploadID  = `Send {"upload_id": "upload-…"}; list-uploads shows the ids.`
)

// createUpload begins a large file and answers where its parts go.
func (a *API) createUpload(w http.ResponseWriter, r *request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	if err := a.Service.MayWrite(r.who); err != nil {
		return err
	}
	f, err := readFieldsUpTo(r, createUploadLimit)
	if err != nil {
		return err
	}
	id, err := f.datasetID(r)
	if err != nil {
		return err
	}
	n, limit, err := f.newUpload()
	if err != nil {
		return err
	}
	n.DatasetID = id
	view, err := a.Service.CreateUpload(r.Context(), r.who, n, limit, key)
	if err != nil {
		return err
	}
	noteReplay(w, view.Replayed)
	return writeJSON(w, http.StatusOK, a.uploadView(view))
}

const sendUpload = "Send file_name and size_bytes; the bytes themselves go to the URLs in the answer."

// newUpload reads what is said of a file that is to be uploaded.
func (f fields) newUpload() (n dataset.NewUpload, limit int, err error) {
	if n.FileName, err = f.required("file_name", sendUpload); err != nil {
		return n, 0, err
	}
	return f.newContent(n)
}

// newContent reads what is said of a file that need not have a name of its own.
func (f fields) newContent(n dataset.NewUpload) (_ dataset.NewUpload, limit int, err error) {
	if n.SizeBytes, err = f.requiredSize("size_bytes", sendUpload); err != nil {
		return n, 0, err
	}
	if n.PartSize, err = f.size("part_size"); err != nil {
		return n, 0, err
	}
	if n.Checksum, err = f.text("checksum"); err != nil {
		return n, 0, err
	}
	if n.Footer, err = f.encoded("footer"); err != nil {
		return n, 0, err
	}
	if n.SinglePut, err = f.flag("single_put", false); err != nil {
		return n, 0, err
	}
	limit, err = f.partLimit()
	return n, limit, err
}

// partLimit is how many parts to answer with.
func (f fields) partLimit() (int, error) {
	limit, err := f.count("limit", maxPartsShown)
	if limit == 0 {
		limit = partsShown
	}
	return limit, err
}

// getUpload answers how far an upload has come, and where its parts go.
func (a *API) getUpload(w http.ResponseWriter, r *request) error {
	f, err := readFields(r)
	if err != nil {
		return err
	}
	id, err := f.required("upload_id", sendUploadID)
	if err != nil {
		return err
	}
	from, err := f.count("parts_from", dataset.MaxParts)
	if err != nil {
		return err
	}
	limit, err := f.partLimit()
	if err != nil {
		return err
	}
	view, err := a.Service.Upload(r.Context(), r.who, id, max(from, 1), limit)
	if err != nil {
		return err
	}
	r.dataset = view.DatasetID
	row := a.uploadView(view)
	arrived := make([]any, len(view.Arrived))
	for i, p := range view.Arrived {
		arrived[i] = map[string]any{"part_number": p.Number, "size_bytes": p.SizeBytes}
	}
	row["parts"] = arrived
	return writeJSON(w, http.StatusOK, row)
}

// completeUpload makes an upload's parts a file and appends it.
func (a *API) completeUpload(w http.ResponseWriter, r *request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	id, err := f.required("upload_id", sendUploadID)
	if err != nil {
		return err
	}
	checksum, err := f.text("checksum")
	if err != nil {
		return err
	}
	andAppend, err := f.flag("append", true)
	if err != nil {
		return err
	}
	done, err := a.Service.CompleteUpload(r.Context(), r.who, id, checksum, andAppend, key)
	if err != nil {
		return err
	}
	r.dataset = done.Upload.DatasetID
	if done.Upload.State == dataset.UploadAppended && !done.Replayed {
		r.appended = 1
	}
	noteReplay(w, done.Replayed)
	return writeJSON(w, http.StatusOK, a.completedRow(w, done))
}

// completedRow is an upload that is complete, as the file that it is if it was
// appended.
func (a *API) completedRow(w http.ResponseWriter, done dataset.Completing) map[string]any {
	row := a.uploadRow(done.Upload)
	if done.Upload.OutsideDatasets() {
		return row
	}
	if done.Upload.State == dataset.UploadAppended {
		file := done.Upload.File()
		w.Header().Set(positionHeader, strconv.FormatInt(file.Position, 10))
		for name, value := range fileRow(file) {
			row[name] = value
		}
	}
	row["schema"] = schema.Schema{Fields: append([]schema.Field{}, done.Schema.Fields...)}
	return row
}

// abortUpload gives an upload up.
func (a *API) abortUpload(w http.ResponseWriter, r *request) error {
	if _, err := idempotencyKey(r.Header); err != nil { // aborting again has no second effect by itself
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	id, err := f.required("upload_id", sendUploadID)
	if err != nil {
		return err
	}
	u, err := a.Service.AbortUpload(r.Context(), r.who, id)
	if err != nil {
		return err
	}
	r.dataset = u.DatasetID
	return writeJSON(w, http.StatusOK, a.uploadRow(u))
}

// listUploads answers with the uploads of a dataset, or of all, newest first.
func (a *API) listUploads(w http.ResponseWriter, r *request) error {
	f, err := readFields(r)
	if err != nil {
		return err
	}
	id := ""
	if len(f["dataset_id"])+len(f["stage_id"]) > 0 {
		if id, err = f.datasetID(r); err != nil {
			return err
		}
	}
	state, err := f.uploadState()
	if err != nil {
		return err
	}
	limit, err := f.count("limit", maxListed)
	if err != nil {
		return err
	}
	after, err := f.text("cursor")
	if err != nil {
		return err
	}
	if after != "" && !dataset.ValidUploadID(after) {
		return errCursor()
	}
	page, err := a.Service.Uploads(r.Context(), r.who, id, after, uploadsPage)
	if err != nil {
		return err
	}
	l := a.startListing(w, r, "uploads", limit)
	defer l.release()
	for pages := 1; ; pages++ {
		for _, u := range page.Uploads {
			if state != "" && a.Service.StateOf(u) != state {
				continue
			}
			if !l.add(a.uploadRow(u)) {
				return l.end(after)
			}
			after = u.ID
		}
		if page.Next == "" {
			return l.end("")
		}
		after = page.Next
		if l.full() || pages == uploadsPages && (state != "" || len(r.who.Datasets) > 0) {
			return l.end(after)
		}
		page, err = a.Service.Uploads(r.Context(), r.who, id, after, uploadsPage)
		if err != nil {
			return err
		}
	}
}

// uploadState reads the field "state", "" for uploads in any.
func (f fields) uploadState() (dataset.UploadState, error) {
	text, err := f.text("state")
	if err != nil {
		return "", err
	}
	switch state := dataset.UploadState(text); state {
	case "", dataset.UploadOpen, dataset.UploadComplete, dataset.UploadAppended, dataset.UploadAborted, dataset.UploadExpired:
		return state, nil
	}
	return "", fault.New(fault.CodeInvalidRequest, "The field \"state\" is none that an upload has.", "The states are open, complete, expired, appended and aborted; leave it out for all.")
}

// appendFiles appends finished uploads in the order given.
func (a *API) appendFiles(w http.ResponseWriter, r *request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	f, id, err := readDatasetFields(r)
	if err != nil {
		return err
	}
	uploads, err := f.requiredList("upload_ids", `Send {"upload_ids": ["upload-…", …]} in the order that the files are to have.`)
	if err != nil {
		return err
	}
	done, err := a.Service.AppendUploads(r.Context(), r.who, id, uploads, key)
	if err != nil {
		return err
	}
	noteReplay(w, done.Replayed)
	if !done.Replayed {
		r.appended = len(done.Files)
	}
	rows := make([]any, len(done.Files))
	for i, file := range done.Files {
		row := fileRow(file)
		row["upload_id"] = uploads[i]
		rows[i] = row
	}
	return writeJSON(w, http.StatusOK, map[string]any{"dataset_id": id, "appended_count": len(rows), "files": rows})
}

func noteReplay(w http.ResponseWriter, replayed bool) {
	if replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
}

// uploadRow is an upload as answers show it.
func (a *API) uploadRow(u dataset.Upload) map[string]any {
	row := map[string]any{
		"upload_id":  u.ID,
		"asset_id":   u.AssetID(),
		"file_name":  u.FileName,
		"size_bytes": u.SizeBytes,
		"part_size":  u.PartSize,
		"part_count": u.PartCount(),
		"state":      a.Service.StateOf(u),
		"created_at": timestamp(u.CreatedAt),
		"expires_at": timestamp(u.ExpiresAt),
	}
	whole, appended := u.State == dataset.UploadComplete || u.State == dataset.UploadAppended, u.State == dataset.UploadAppended
	if whole {
		row["checksum_crc64nvme"] = u.CRC64NVME
	}
	if appended {
		row["file_id"] = u.FileID
		row["version"] = max(u.Version, 1)
	}
	if u.OutsideDatasets() {
		row["owner_type"], row["owner_id"] = u.Asset.Owner.Type, u.Asset.Owner.ID
		return row
	}
	row["dataset_id"] = u.DatasetID
	if whole {
		row["row_count"] = u.RowCount
	}
	if appended {
		row["position"] = u.Position
	}
	return row
}

// uploadView is an upload with where a stretch of its parts goes.
func (a *API) uploadView(v dataset.UploadView) map[string]any {
	row := a.uploadRow(v.Upload)
	if row["state"] != dataset.UploadOpen {
		return row
	}
	urls := make([]any, len(v.URLs))
	for i, u := range v.URLs {
		part := map[string]any{"part_number": u.Number, "offset": u.Offset, "size_bytes": u.SizeBytes, "url": u.URL}
		if len(u.Headers) > 0 {
			part["headers"] = u.Headers
		}
		urls[i] = part
	}
	row["part_urls"] = urls
	if len(urls) > 0 {
		row["part_urls_expire_at"] = timestamp(v.URLsExpire)
	}
	if v.Next > 0 {
		row["next_parts_from"] = v.Next
	}
	return row
}
