package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/parqueue/parqueue/internal/schema"
)

// Account is who a key belongs to.
type Account struct {
	Tenant string   `json:"tenant"`
	Scopes []string `json:"scopes"`
}

// Account asks whom the key belongs to.
// Errors: CodeUnauthorized.
func (c *Client) Account(ctx context.Context) (Account, error) {
	var a Account
	return a, c.do(ctx, call{endpoint: "try-authentication", get: true}, &a)
}

// Dataset is a dataset as the API shows it. A listing leaves Version,
// NextPosition and Metadata out.
type Dataset struct {
	ID             string          `json:"dataset_id"`
	Name           string          `json:"name"`
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
	FileCount      int64           `json:"file_count"`
	RowCount       int64           `json:"row_count"`
	TotalSizeBytes int64           `json:"total_size_bytes"`
	Version        int64           `json:"version,omitempty"`
	NextPosition   int64           `json:"next_position"`
	Metadata       json.RawMessage `json:"metadata,omitempty"`
	Schema         schema.Schema   `json:"schema"`
}

// File is a file of a dataset.
type File struct {
	Name       string    `json:"file_name"`
	ID         string    `json:"file_id"`
	Position   int64     `json:"position"`
	SizeBytes  int64     `json:"size_bytes"`
	RowCount   int64     `json:"row_count"`
	Checksum   string    `json:"checksum_crc64nvme"`
	UploadedAt time.Time `json:"uploaded_at"`
}

// CreateDataset makes a dataset; name and metadata (a JSON object) may be empty.
// Errors: CodeForbidden, CodeInvalidName, CodeInvalidMetadata.
func (c *Client) CreateDataset(ctx context.Context, name string, metadata json.RawMessage) (Dataset, error) {
	body := map[string]any{}
	if name != "" {
		body["name"] = name
	}
	if len(metadata) > 0 {
		body["metadata"] = metadata
	}
	var d Dataset
	return d, c.do(ctx, call{endpoint: "create-dataset", body: body, key: NewKey()}, &d)
}

// Dataset returns one dataset.
// Errors: CodeForbidden, CodeDatasetNotFound.
func (c *Client) Dataset(ctx context.Context, id string) (Dataset, error) {
	var d Dataset
	return d, c.do(ctx, call{endpoint: "get-dataset", body: map[string]any{"dataset_id": id}}, &d)
}

// Pages are asked for in sizes that keep an answer to a few megabytes.
const (
	datasetsPage = 100
	filesPage    = 10_000
	uploadsPage  = 1000
)

// Datasets goes through the datasets, newest first, page by page.
// Errors: CodeForbidden.
func (c *Client) Datasets(ctx context.Context) iter.Seq2[Dataset, error] {
	return pages(ctx, func(ctx context.Context, cursor string) ([]Dataset, string, error) {
		var page struct {
			Datasets []Dataset `json:"datasets"`
			Next     string    `json:"next_cursor"`
		}
		err := c.do(ctx, call{endpoint: "list-datasets", body: listing(nil, cursor, datasetsPage), limit: listLimit}, &page)
		return page.Datasets, page.Next, err
	})
}

// Files goes through a dataset's files in order, page by page. With fields, such
// as "file_name", it asks for these members alone, and leaves the others zero: ids
// and checksums are most of what a listing has to carry.
// Errors: CodeForbidden, CodeDatasetNotFound.
func (c *Client) Files(ctx context.Context, datasetID string, fields ...string) iter.Seq2[File, error] {
	if len(fields) == 0 {
		fields = fileFields()
	}
	// What is read ahead is an answer as it came: so it is decoded while the server makes the next one.
	answers := pages(ctx, func(ctx context.Context, cursor string) (texts [][]byte, next string, err error) {
		body := listing(map[string]any{"dataset_id": datasetID, "fields": fields}, cursor, filesPage)
		err = c.ask(ctx, call{endpoint: "list-dataset-files", body: body, limit: listLimit}, func(text []byte) (err error) {
			texts = [][]byte{text}
			next, err = nextCursor(text)
			return err
		})
		return texts, next, err
	})
	return func(yield func(File, error) bool) {
		for text, err := range answers {
			var page fileList
			if err == nil {
				if err = page.decode(text); err != nil {
					err = errNoAnswer(c.base, fmt.Errorf("list-dataset-files: %w", err))
				}
			}
			if err != nil {
				yield(File{}, err)
				return
			}
			for _, f := range page.Files {
				if !yield(f, nil) {
					return
				}
			}
		}
	}
}

// fileFields is all that a listing says of a file but the schema, which is the
// dataset's and the same in every row.
func fileFields() []string {
	return []string{"file_name", "file_id", "position", "size_bytes", "row_count", "checksum_crc64nvme", "uploaded_at"}
}

// Deletion is a dataset that was deleted.
type Deletion struct {
	DatasetID      string `json:"dataset_id"`
	State          string `json:"state"` // "deleting": its bytes go in the background
	FileCount      int64  `json:"file_count"`
	TotalSizeBytes int64  `json:"total_size_bytes"`
}

// DeleteDataset deletes a dataset and all that is in it, if it still has the
// version that the caller saw.
// Errors: CodeForbidden, CodeDatasetNotFound, CodeVersionMismatch.
func (c *Client) DeleteDataset(ctx context.Context, id string, version int64) (Deletion, error) {
	var d Deletion
	body := map[string]any{"dataset_id": id, "if_version": version}
	return d, c.do(ctx, call{endpoint: "delete-dataset", body: body, key: NewKey()}, &d)
}

// DeleteFile takes a file out of a dataset. Its position stays empty.
// Errors: CodeForbidden, CodeDatasetNotFound, CodeFileNotFound.
func (c *Client) DeleteFile(ctx context.Context, datasetID, name string) (File, error) {
	var f File
	return f, c.do(ctx, call{endpoint: "delete-dataset-file", body: map[string]any{"dataset_id": datasetID, "file_name": name}, key: NewKey()}, &f)
}

// Download is where a file's bytes are.
type Download struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
	SizeBytes int64     `json:"size_bytes"`
	Checksum  string    `json:"checksum_crc64nvme"`
}

// Download makes a URL that anyone can fetch a file with for some minutes.
// Errors: CodeForbidden, CodeDatasetNotFound, CodeFileNotFound.
func (c *Client) Download(ctx context.Context, datasetID, name string) (Download, error) {
	var d Download
	body := map[string]any{"dataset_id": datasetID, "file_name": name, "delivery": "url"}
	return d, c.do(ctx, call{endpoint: "download-from-dataset", body: body}, &d)
}

// MaxDownloads is the most names that Downloads takes.
const MaxDownloads = 100

// Downloads is Download for several files, all of which have to be there, in the order
// of the names.
// Errors: those of Download; CodeInvalidRequest from a server of before.
func (c *Client) Downloads(ctx context.Context, datasetID string, names []string) ([]Download, error) {
	var answer struct {
		Files []Download `json:"files"`
	}
	body := map[string]any{"dataset_id": datasetID, "file_names": names, "delivery": "url"}
	if err := c.do(ctx, call{endpoint: "download-from-dataset", body: body}, &answer); err != nil {
		return nil, err
	}
	if len(answer.Files) != len(names) {
		return nil, errNoAnswer(c.URL(), fmt.Errorf("%d files were asked for, and %d answered", len(names), len(answer.Files)))
	}
	return answer.Files, nil
}

// Problem is a file whose object is not the one that was appended.
type Problem struct {
	FileName string `json:"file_name"`
	Position int64  `json:"position"`
	Problem  string `json:"problem"`
}

// Verification is what the store says of a dataset's files.
type Verification struct {
	Checked  int64     `json:"checked"`
	Sound    int64     `json:"sound"`
	Problems []Problem `json:"problems"`
}

// Verify asks the store about every file of a dataset. next hears of every
// answer, with what was found so far.
// Errors: CodeForbidden, CodeDatasetNotFound.
func (c *Client) Verify(ctx context.Context, datasetID string, next func(Verification)) (Verification, error) {
	all := Verification{Problems: []Problem{}}
	for cursor := ""; ; {
		var page struct {
			Verification
			Next string `json:"next_cursor"`
		}
		if err := c.do(ctx, call{endpoint: "verify-dataset", body: listing(map[string]any{"dataset_id": datasetID}, cursor, 0)}, &page); err != nil {
			return all, err
		}
		all.Checked += page.Checked
		all.Sound += page.Sound
		all.Problems = append(all.Problems, page.Problems...)
		next(all)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// listing is the body of a request for a page.
func listing(body map[string]any, cursor string, limit int) map[string]any {
	if body == nil {
		body = map[string]any{}
	}
	if cursor != "" {
		body["cursor"] = cursor
	}
	if limit > 0 {
		body["limit"] = limit
	}
	return body
}
