package api

import (
	"context"
	"encoding/base64"
	"net/http"

	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/keys"
)

const (
	rejectionsShown    = 100 // unless a limit is given; for each its reason is read
	maxRejectionsShown = 500 // that a limit may ask for
	sendRejectionID    = `Send {"rejection_id": "dataset-…/name.parquet"}; list-rejections shows the ids.`
)

// listRejections answers with the objects of the inbox that were refused, of a
// dataset or of all.
func (a *API) listRejections(w http.ResponseWriter, r *request) error {
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
	limit, err := f.count("limit", maxRejectionsShown)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = rejectionsShown
	}
	after, err := f.rejectionCursor()
	if err != nil {
		return err
	}
	page, err := a.Rejections.List(r.Context(), r.who, id, after, limit)
	if err != nil {
		return err
	}
	l := a.startListing(w, r, "rejections", limit)
	defer l.release()
	for _, rejection := range page.Rejections {
		if !l.add(rejectionRow(rejection)) {
			page.Next = after
			break
		}
		after = rejection.ID
	}
	return l.end(base64.RawURLEncoding.EncodeToString([]byte(page.Next)))
}

// rejectionCursor reads where a listing is to go on. Ids are names, so a cursor
// is one in letters that stand for themselves in any text.
func (f fields) rejectionCursor() (string, error) {
	text, err := f.text("cursor")
	if err != nil {
		return "", err
	}
	after, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", errCursor()
	}
	return string(after), nil
}

// retryRejection moves a refused object back into the inbox.
func (a *API) retryRejection(w http.ResponseWriter, r *request) error {
	return a.settleRejection(w, r, a.Rejections.Retry, "retried")
}

// deleteRejection removes a refused object for good.
func (a *API) deleteRejection(w http.ResponseWriter, r *request) error {
	return a.settleRejection(w, r, a.Rejections.Delete, "deleted")
}

// settling is what can be done to a rejection.
type settling func(ctx context.Context, who keys.Principal, id string) (ingest.Rejection, error)

func (a *API) settleRejection(w http.ResponseWriter, r *request, settle settling, done string) error {
	if _, err := idempotencyKey(r.Header); err != nil { // doing it again has no second effect by itself
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	id, err := f.required("rejection_id", sendRejectionID)
	if err != nil {
		return err
	}
	rejection, err := settle(r.Context(), r.who, id)
	if err != nil {
		return err
	}
	r.dataset = rejection.DatasetID
	row := rejectionRow(rejection)
	row[done] = true
	return writeJSON(w, http.StatusOK, row)
}

// rejectionRow is a rejection as answers show it.
func rejectionRow(r ingest.Rejection) map[string]any {
	return map[string]any{
		"rejection_id": r.ID,
		"dataset_id":   r.DatasetID,
		"file_name":    r.FileName,
		"object_key":   r.ObjectKey,
		"size_bytes":   r.SizeBytes,
		"rejected_at":  timestamp(r.RejectedAt),
		"reason":       r.Error,
	}
}
