package client

import (
	"context"
	"iter"
	"time"
)

// States of an upload.
const (
	UploadOpen     = "open"
	UploadComplete = "complete"
	UploadAppended = "appended"
	UploadAborted  = "aborted"
)

// Upload is a file on its way into a dataset, or to be the content of an asset.
type Upload struct {
	ID            string    `json:"upload_id"`
	DatasetID     string    `json:"dataset_id"` // "" outside datasets
	AssetID       string    `json:"asset_id"`   // in a dataset the file's id
	Version       int64     `json:"version"`    // of the asset's content, once it is appended
	FileName      string    `json:"file_name"`
	SizeBytes     int64     `json:"size_bytes"`
	PartSize      int64     `json:"part_size"`
	PartCount     int       `json:"part_count"`
	State         string    `json:"state"`
	ExpiresAt     time.Time `json:"expires_at"`
	Checksum      string    `json:"checksum_crc64nvme"` // once complete
	Parts         []Part    `json:"parts"`              // that arrived, of the stretch that was asked for
	PartURLs      []PartURL `json:"part_urls"`          // of the same stretch
	PartURLsUntil time.Time `json:"part_urls_expire_at"`
	NextPartsFrom int       `json:"next_parts_from"` // 0 at the end
}

// Part is a part that has arrived.
type Part struct {
	Number    int   `json:"part_number"`
	SizeBytes int64 `json:"size_bytes"`
}

// PartURL is where one part goes, by PUT.
type PartURL struct {
	Number    int               `json:"part_number"`
	Offset    int64             `json:"offset"`
	SizeBytes int64             `json:"size_bytes"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"` // to be sent with it; there are some if the file goes as one
}

// NewUpload is what create-upload is told.
type NewUpload struct {
	DatasetID string `json:"dataset_id"`
	FileName  string `json:"file_name"`
	SizeBytes int64  `json:"size_bytes"`
	PartSize  int64  `json:"part_size,omitempty"`
	Limit     int    `json:"limit,omitempty"`      // part URLs in the answer
	SinglePut bool   `json:"single_put,omitempty"` // the Headers of a PartURL are sent, so a file of one part may go as one
}

// CreateUpload begins a file. Under the same key it is the same upload, however
// often it is called.
// Errors: CodeForbidden, CodeDatasetNotFound, CodeFileExists,
// CodeInvalidFileName, CodeRequestTooLarge, CodeStorageFull.
func (c *Client) CreateUpload(ctx context.Context, n NewUpload, key string) (Upload, error) {
	var u Upload
	return u, c.do(ctx, call{endpoint: "create-upload", body: n, key: key}, &u)
}

// Upload tells how far an upload has come: up to limit parts from one on.
// Errors: CodeForbidden, CodeUploadNotFound.
func (c *Client) Upload(ctx context.Context, id string, from, limit int) (Upload, error) {
	var u Upload
	body := map[string]any{"upload_id": id, "limit": limit}
	if from > 1 {
		body["parts_from"] = from
	}
	return u, c.do(ctx, call{endpoint: "get-upload", body: body}, &u)
}

// CompleteUpload makes the parts a file that can be appended, if it has the
// checksum. It has no second effect.
// Errors: CodeForbidden, CodeUploadNotFound, CodeUploadClosed,
// CodeUploadIncomplete, CodeChecksumMismatch, and those of an unsound file.
func (c *Client) CompleteUpload(ctx context.Context, id, checksum string) (Upload, error) {
	var u Upload
	body := map[string]any{"upload_id": id, "checksum": checksum, "append": false}
	return u, c.do(ctx, call{endpoint: "complete-upload", body: body}, &u)
}

// MaxAppend is the most uploads of one AppendFiles.
const MaxAppend = 1000

// AppendFiles appends complete uploads in the order given, in runs each of
// which makes a longer prefix of the list. It has no second effect: files that are
// there already count as done.
// Errors: CodeForbidden, CodeUploadNotFound, CodeUploadClosed,
// CodeUploadIncomplete, CodeFileExists, CodeSchemaMismatch.
func (c *Client) AppendFiles(ctx context.Context, datasetID string, uploadIDs []string) ([]File, error) {
	var answer struct {
		Files []File `json:"files"`
	}
	body := map[string]any{"dataset_id": datasetID, "upload_ids": uploadIDs}
	return answer.Files, c.do(ctx, call{endpoint: "append-files", body: body}, &answer)
}

// AbortUpload gives an upload up and removes its bytes. It has no second effect.
// Errors: CodeForbidden, CodeUploadNotFound, CodeUploadClosed.
func (c *Client) AbortUpload(ctx context.Context, id string) error {
	var u Upload
	return c.do(ctx, call{endpoint: "abort-upload", body: map[string]any{"upload_id": id}}, &u)
}

// Uploads goes through the uploads of a dataset, or of all for "", newest first.
// state is one of the states, or "" for all.
// Errors: CodeForbidden, CodeDatasetNotFound.
func (c *Client) Uploads(ctx context.Context, datasetID, state string) iter.Seq2[Upload, error] {
	return pages(ctx, func(ctx context.Context, cursor string) ([]Upload, string, error) {
		var page struct {
			Uploads []Upload `json:"uploads"`
			Next    string   `json:"next_cursor"`
		}
		body := listing(nil, cursor, uploadsPage)
		if datasetID != "" {
			body["dataset_id"] = datasetID
		}
		if state != "" {
			body["state"] = state
		}
		err := c.do(ctx, call{endpoint: "list-uploads", body: body, limit: listLimit}, &page)
		return page.Uploads, page.Next, err
	})
}
