package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Types of owners of assets. A dataset is a collection.
const (
	OwnerProject    = "project"
	OwnerCollection = "collection"
)

// Asset is an asset as the API shows it, with its latest content. A listing leaves
// Metadata out.
type Asset struct {
	ID          string          `json:"asset_id"`
	OwnerType   string          `json:"owner_type"`
	OwnerID     string          `json:"owner_id"`
	Title       string          `json:"title"` // the file's name when none was given
	Description string          `json:"description"`
	Alias       string          `json:"alias"`
	Tags        []string        `json:"tags"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	ETag        string          `json:"etag"` // another one after every change
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`

	Version   int64  `json:"version"`
	FileName  string `json:"file_name"`
	SizeBytes int64  `json:"size_bytes"`
	Checksum  string `json:"checksum_crc64nvme"`
}

// AssetVersion is a version of an asset's content.
type AssetVersion struct {
	Version   int64     `json:"version"`
	FileName  string    `json:"file_name"`
	SizeBytes int64     `json:"size_bytes"`
	Checksum  string    `json:"checksum_crc64nvme"`
	CreatedAt time.Time `json:"created_at"`
}

// AssetChanges are what is said of an asset. Nil leaves what there is; a pointer to
// nothing (of Metadata to JSON's null) clears it.
type AssetChanges struct {
	Title       *string          `json:"title,omitempty"`
	Description *string          `json:"description,omitempty"`
	Alias       *string          `json:"alias,omitempty"`
	Tags        *[]string        `json:"tags,omitempty"`
	Metadata    *json.RawMessage `json:"metadata,omitempty"` // a JSON object
}

// NewAsset is what create-asset is told.
type NewAsset struct {
	OwnerType string `json:"owner_type"`
	OwnerID   string `json:"owner_id"`
	FileName  string `json:"file_name"`
	SizeBytes int64  `json:"size_bytes"`
	Checksum  string `json:"checksum,omitempty"`
	PartSize  int64  `json:"part_size,omitempty"`
	Limit     int    `json:"limit,omitempty"`      // part URLs in the answer
	SinglePut bool   `json:"single_put,omitempty"` // as of NewUpload
	AssetChanges
}

// CreateAsset begins an asset, which is there when CommitUpload says so. Under the same
// key it is the same upload, however often it is called.
// Errors: those of CreateUpload; CodeInvalidRequest, CodeInvalidName,
// CodeInvalidMetadata, CodeAliasTaken.
func (c *Client) CreateAsset(ctx context.Context, n NewAsset, key string) (Upload, error) {
	var u Upload
	return u, c.do(ctx, call{endpoint: "create-asset", body: n, key: key}, &u)
}

// NewAssetVersion is what create-asset-version is told.
type NewAssetVersion struct {
	AssetID   string `json:"asset_id"`
	FileName  string `json:"file_name,omitempty"` // that of the latest content if it is ""
	SizeBytes int64  `json:"size_bytes"`
	Checksum  string `json:"checksum,omitempty"`
	PartSize  int64  `json:"part_size,omitempty"`
	Limit     int    `json:"limit,omitempty"`      // part URLs in the answer
	SinglePut bool   `json:"single_put,omitempty"` // as of NewUpload
}

// CreateAssetVersion begins new content for an asset, which is there when CommitUpload
// says so. Under the same key it is the same upload, however often it is called.
// Errors: CodeForbidden, CodeAssetNotFound, CodeInvalidFileName, CodeRequestTooLarge,
// CodeStorageFull.
func (c *Client) CreateAssetVersion(ctx context.Context, n NewAssetVersion, key string) (Upload, error) {
	var u Upload
	return u, c.do(ctx, call{endpoint: "create-asset-version", body: n, key: key}, &u)
}

// CommitUpload makes the parts of an upload a file, if it has the checksum, and then
// what the upload was begun for: an asset, its next content, or a file at the end of a
// dataset. It has no second effect.
// Errors: those of CompleteUpload and AppendFiles; CodeAssetNotFound, CodeAliasTaken.
func (c *Client) CommitUpload(ctx context.Context, id, checksum string) (Upload, error) {
	var u Upload
	body := map[string]any{"upload_id": id}
	if checksum != "" {
		body["checksum"] = checksum
	}
	return u, c.do(ctx, call{endpoint: "complete-upload", body: body, key: "commit-" + id}, &u)
}

// Asset returns an asset, which may be a file of a dataset.
// Errors: CodeForbidden, CodeAssetNotFound.
func (c *Client) Asset(ctx context.Context, id string) (Asset, error) {
	var a Asset
	return a, c.do(ctx, call{endpoint: "get-asset-metadata", body: map[string]any{"asset_id": id}}, &a)
}

// SetAsset changes what is said of an asset and returns it as it is then. With an ETag
// it does so only if the asset still has it.
// Errors: CodeForbidden, CodeAssetNotFound, CodeAssetChanged, CodeAliasTaken,
// CodeInvalidName, CodeInvalidMetadata.
func (c *Client) SetAsset(ctx context.Context, id string, changes AssetChanges, ifMatch string) (Asset, error) {
	var a Asset
	body := struct {
		AssetID string `json:"asset_id"`
		AssetChanges
	}{id, changes}
	return a, c.do(ctx, call{endpoint: "set-asset-metadata", body: body, key: NewKey(), ifMatch: ifMatch}, &a)
}

// AssetFilter says which assets a listing has; what is "" does not matter. An owner has
// both a type and an id.
type AssetFilter struct {
	OwnerType string
	OwnerID   string
	Tag       string
	Alias     string
}

// assetsPage is how many assets are asked for at a time.
const assetsPage = 1000

// Assets goes through the assets that match, page by page: the files of a dataset in
// order, all others newest first.
// Errors: CodeForbidden, CodeInvalidRequest, CodeDatasetNotFound.
func (c *Client) Assets(ctx context.Context, f AssetFilter) iter.Seq2[Asset, error] {
	return pages(ctx, func(ctx context.Context, cursor string) ([]Asset, string, error) {
		var page struct {
			Assets []Asset `json:"assets"`
			Next   string  `json:"next_cursor"`
		}
		body := listing(nil, cursor, assetsPage)
		for name, value := range map[string]string{"owner_type": f.OwnerType, "owner_id": f.OwnerID, "tag": f.Tag, "alias": f.Alias} {
			if value != "" {
				body[name] = value
			}
		}
		err := c.do(ctx, call{endpoint: "list-assets", body: body, limit: listLimit}, &page)
		return page.Assets, page.Next, err
	})
}

// AssetVersions goes through the versions of an asset's content, the latest first.
// Errors: CodeForbidden, CodeAssetNotFound.
func (c *Client) AssetVersions(ctx context.Context, id string) iter.Seq2[AssetVersion, error] {
	return pages(ctx, func(ctx context.Context, cursor string) ([]AssetVersion, string, error) {
		var page struct {
			Versions []AssetVersion `json:"versions"`
			Next     string         `json:"next_cursor"`
		}
		body := listing(map[string]any{"asset_id": id}, cursor, assetsPage)
		err := c.do(ctx, call{endpoint: "list-asset-versions", body: body, limit: listLimit}, &page)
		return page.Versions, page.Next, err
	})
}

// DownloadAsset makes a URL that anyone can fetch a version of an asset with for some
// minutes; 0 is the latest version.
// Errors: CodeForbidden, CodeAssetNotFound.
func (c *Client) DownloadAsset(ctx context.Context, id string, version int64) (Download, error) {
	var d Download
	body := map[string]any{"asset_id": id, "delivery": "url"}
	if version > 0 {
		body["version"] = version
	}
	return d, c.do(ctx, call{endpoint: "download-asset", body: body}, &d)
}

// DeleteAsset deletes an asset with all its versions, or a file of a dataset.
// Errors: CodeForbidden, CodeAssetNotFound.
func (c *Client) DeleteAsset(ctx context.Context, id string) error {
	var answer struct{}
	return c.do(ctx, call{endpoint: "delete-asset", body: map[string]any{"asset_id": id}, key: NewKey()}, &answer)
}
