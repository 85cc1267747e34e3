package dataset

import (
	"context"

	"github.com/parqueue/parqueue/internal/asset"
)

// AssetUpdate is a request to change what people say of an asset.
type AssetUpdate struct {
	Tenant      string
	ID          string
	Changes     asset.Changes // checked
	IfMatch     asset.Precondition
	Idempotency Idempotency
}

// AssetDeletion is a request to delete an asset with all versions of its content.
type AssetDeletion struct {
	ID          string // of this request; no other one has it
	Tenant      string
	AssetID     string
	Idempotency Idempotency

	// ReplayOnly has a deletion answer what an earlier request with the same
	// Idempotency-Key did, and delete nothing.
	ReplayOnly bool
}

// AssetDeleted is the answer to an AssetDeletion.
type AssetDeleted struct {
	AssetID  string
	Owner    asset.Owner
	Objects  []string // keys of the contents, the latest first, MaxContentsTold at most
	Replayed bool     // true when an earlier request with the same Idempotency-Key did the work
}

// MaxContentsTold is how many contents a deletion names.
const MaxContentsTold = 100

// Assets holds assets outside datasets, with all the versions of their content, and
// what people say of assets and of files of datasets. Both catalogs implement it,
// beside Uploads, whose uploads the contents come from.
//
// Every method is scoped to a tenant, and answers fault.CodeAssetNotFound for another
// tenant's asset as for one that never existed; so it does for a file of a dataset that
// was deleted with its dataset. Every read sees every write that was acknowledged
// before it began. As with Catalog, a documented *fault.Error means that nothing
// changed, and any other error of a write leaves its outcome unknown; every write may
// be repeated with the same arguments.
type Assets interface {
	// CommitAsset is the one step that makes a complete upload the content of its
	// asset: the asset appears with version 1 and what is said of it, and its alias
	// is claimed; or it gets its next version. It returns the upload, which is
	// appended then; one that is appended already is returned as it is. What is wrong
	// is told in this order: the upload, the asset, the alias.
	// Errors: CodeUploadNotFound, also for an upload into a dataset; CodeUploadClosed,
	// CodeUploadIncomplete; CodeAssetNotFound when the asset was deleted meanwhile;
	// CodeAliasTaken, made by asset.ErrAliasTaken; CodeConflict, CodeStorageFull.
	CommitAsset(ctx context.Context, tenant, uploadID string) (Upload, error)

	// Asset returns an asset, which may be a file of a dataset.
	// Errors: CodeAssetNotFound.
	Asset(ctx context.Context, tenant, id string) (asset.Asset, error)

	// AssetsOfFiles returns files of a dataset as the assets that they are. Of one that
	// was deleted since it was read, what was said may be missing.
	AssetsOfFiles(ctx context.Context, tenant, datasetID string, files []File) ([]asset.Asset, error)

	// ListAssets returns up to limit assets that match a filter and come after one
	// with an id ("" for the first page), newest first. Of files of datasets it finds
	// those alone that have the tag or the alias that the filter asks for. A page may
	// be short, and even empty, and still have a next one.
	ListAssets(ctx context.Context, tenant string, f asset.Filter, after string, limit int) (asset.Page, error)

	// AssetVersions returns up to limit versions of an asset outside datasets below
	// one (0 for the first page), the latest first.
	// Errors: CodeAssetNotFound.
	AssetVersions(ctx context.Context, tenant, id string, below int64, limit int) ([]asset.Content, error)

	// SetAsset changes what is said of an asset, which may be a file of a dataset, and
	// returns it as it is then. Under a known Idempotency-Key it changes nothing and
	// returns the asset as it is now. What is wrong is told in this order: the asset,
	// the Idempotency-Key, If-Match, the alias.
	// Errors: CodeAssetNotFound; CodeIdempotencyKeyReused; CodeAssetChanged;
	// CodeAliasTaken; CodeConflict, CodeStorageFull.
	SetAsset(ctx context.Context, u AssetUpdate) (asset.Asset, error)

	// DeleteAsset is the one step that makes an asset disappear with all its versions,
	// and frees its alias. A file of a dataset is taken out of it, as Catalog.DeleteFile
	// does. Under a known Idempotency-Key the first answer is given again. Repeating an
	// AssetDeletion with the same id returns the first one's answer. What is wrong is
	// told in this order: the Idempotency-Key, the asset.
	// Errors: CodeAssetNotFound; CodeIdempotencyKeyReused; CodeConflict, CodeStorageFull.
	DeleteAsset(ctx context.Context, d AssetDeletion) (AssetDeleted, error)
}

// FileAsset is a file of a dataset as the asset that it is, with what is said of it.
func FileAsset(datasetID string, f File) asset.Asset {
	return asset.Asset{
		ID: f.ID, Owner: asset.OfDataset(datasetID), CreatedAt: f.UploadedAt, UpdatedAt: f.UploadedAt, Position: f.Position,
		Content: asset.Content{
			Version: 1, FileID: f.ID, FileName: f.Name, SizeBytes: f.SizeBytes, CRC64NVME: f.CRC64NVME, ObjectKey: f.ObjectKey, CreatedAt: f.UploadedAt,
		},
	}
}

// contentFile is a content as a file to hand out.
func contentFile(c asset.Content) File {
	return File{ID: c.FileID, Name: c.FileName, SizeBytes: c.SizeBytes, CRC64NVME: c.CRC64NVME, ObjectKey: c.ObjectKey, UploadedAt: c.CreatedAt}
}
