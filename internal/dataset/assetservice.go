package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// reachesOwner reports whether a key may see an owner's assets. One that is limited
// to datasets reaches no project.
func reachesOwner(who keys.Principal, o asset.Owner) bool {
	return len(who.Datasets) == 0 || o.Type == asset.Collection && who.Reaches(o.ID)
}

// NewAsset is what a caller says of an asset before it sends its content. The
// DatasetID of the upload is not read.
type NewAsset struct {
	NewUpload
	Owner asset.Owner
	Info  asset.Changes // what is said of it
}

// CreateAsset begins an asset: it checks what can be known before any byte moves, and
// answers where the first parts go, up to limit of them. The asset is there when the
// upload is completed, and not before. In a dataset it is a file of it, to which all
// of CreateUpload applies.
// Errors: CodeForbidden, CodeInvalidFileName, CodeInvalidRequest, CodeInvalidName,
// CodeInvalidMetadata, CodeRequestTooLarge, CodeAliasTaken, CodeIdempotencyKeyReused,
// CodeStorageFull; in a dataset those of CreateUpload.
func (s *Service) CreateAsset(ctx context.Context, who keys.Principal, n NewAsset, limit int, idempotencyKey string) (UploadView, error) {
	draft, err := n.draft(who)
	if err != nil {
		return UploadView{}, err
	}
	n.DatasetID = draft.Owner.DatasetID()
	said, err := json.Marshal(draft)
	if err != nil {
		return UploadView{}, fault.Internal("encoding an asset", err)
	}
	idem := idempotency(idempotencyKey, n.operation("create asset", string(said))...)
	if n.DatasetID == "" {
		return s.begin(ctx, who, n.NewUpload, &draft, limit, idem, func() error {
			return s.aliasFree(ctx, who, draft.Owner, draft.Info.Alias)
		})
	}
	if draft.Info.Empty() {
		return s.createUpload(ctx, who, n.NewUpload, nil, limit, idem)
	}
	return s.createUpload(ctx, who, n.NewUpload, &draft, limit, idem)
}

// draft checks what a caller says of an asset.
func (n NewAsset) draft(who keys.Principal) (asset.Draft, error) {
	if err := authorize(who, keys.ScopeWrite, ""); err != nil {
		return asset.Draft{}, err
	}
	if err := asset.CheckOwner(n.Owner); err != nil {
		return asset.Draft{}, err
	}
	if n.Owner.DatasetID() == "" && !reachesOwner(who, n.Owner) {
		return asset.Draft{}, fault.New(fault.CodeForbidden, "This key is limited to certain datasets, so it can't create an asset outside them.",
			"Use a key that reaches all of the tenant's datasets, or a dataset that the key reaches as the owner.")
	}
	if err := CheckFileName(n.FileName); err != nil {
		return asset.Draft{}, err
	}
	info, err := n.Info.Check()
	return asset.Draft{Owner: n.Owner, Info: info.Apply(asset.Info{})}, err
}

// aliasFree says early that an alias is taken. Only the commit decides.
func (s *Service) aliasFree(ctx context.Context, who keys.Principal, owner asset.Owner, alias string) error {
	if alias == "" {
		return nil
	}
	page, err := s.assets.ListAssets(ctx, who.Tenant, asset.Filter{Owner: owner, Alias: alias}, "", 1)
	if err != nil || len(page.Assets) == 0 {
		return err
	}
	return asset.ErrAliasTaken(alias, page.Assets[0].ID)
}

// CreateAssetVersion begins new content for an asset that is in no dataset. It is
// there when the upload is completed; its version is the next one then. Without a file
// name it has that of the latest content.
// Errors: CodeForbidden, CodeAssetNotFound, and those of CreateAsset.
func (s *Service) CreateAssetVersion(ctx context.Context, who keys.Principal, assetID string, n NewUpload, limit int, idempotencyKey string) (UploadView, error) {
	a, err := s.findAsset(ctx, who, keys.ScopeWrite, assetID)
	if err != nil {
		return UploadView{}, err
	}
	if a.InDataset() {
		return UploadView{}, asset.ErrInDataset()
	}
	n.DatasetID = ""
	idem := idempotency(idempotencyKey, n.operation("create asset version", assetID)...)
	if n.FileName == "" {
		n.FileName = a.Content.FileName
	}
	if err := CheckFileName(n.FileName); err != nil {
		return UploadView{}, err
	}
	return s.begin(ctx, who, n, &asset.Draft{AssetID: a.ID, Owner: a.Owner}, limit, idem, func() error { return nil })
}

// commit makes a complete upload the content of its asset. When the asset is gone the
// upload can never become anything, and is aborted.
func (s *Service) commit(ctx context.Context, who keys.Principal, u Upload) (Upload, error) {
	committed, err := s.assets.CommitAsset(ctx, who.Tenant, u.ID)
	var f *fault.Error
	if err == nil || !errors.As(err, &f) {
		return committed, err
	}
	switch f.Code {
	case fault.CodeAliasTaken:
		return Upload{}, ofUpload(stillComplete(f), u)
	case fault.CodeAssetNotFound:
		aborted, abortErr := s.uploads.AbortUpload(ctx, who.Tenant, u.ID)
		if abortErr != nil {
			return Upload{}, fmt.Errorf("giving %s up: %w", u.ID, errors.Join(err, abortErr))
		}
		_ = s.removeAborted(ctx, aborted) // what stays behind the sweeper removes
		return Upload{}, ofUpload(f.With("state", string(UploadAborted)), u)
	}
	return Upload{}, fmt.Errorf("committing %s: %w", u.ID, err)
}

// findAsset returns an asset that the caller may see. One whose owner the key does
// not reach looks like one that is not there.
// Errors: CodeForbidden, CodeAssetNotFound.
func (s *Service) findAsset(ctx context.Context, who keys.Principal, scope keys.Scope, id string) (asset.Asset, error) {
	if err := authorize(who, scope, ""); err != nil {
		return asset.Asset{}, err
	}
	if !validID(id, fileIDPrefix) {
		return asset.Asset{}, asset.ErrNotFound()
	}
	a, err := s.assets.Asset(ctx, who.Tenant, id)
	if err != nil {
		return asset.Asset{}, err
	}
	if !reachesOwner(who, a.Owner) {
		return asset.Asset{}, asset.ErrNotFound()
	}
	return a, nil
}

// Asset returns an asset, which may be a file of a dataset.
// Errors: CodeForbidden, CodeAssetNotFound.
func (s *Service) Asset(ctx context.Context, who keys.Principal, id string) (asset.Asset, error) {
	return s.findAsset(ctx, who, keys.ScopeRead, id)
}

// SetAsset changes what is said of an asset, and returns it as it is then.
// Errors: CodeForbidden, CodeInvalidRequest, CodeInvalidName, CodeInvalidMetadata, and
// those of Assets.SetAsset.
func (s *Service) SetAsset(ctx context.Context, who keys.Principal, id string, c asset.Changes, ifMatch asset.Precondition, idempotencyKey string) (asset.Asset, error) {
	if c.Empty() {
		return asset.Asset{}, fault.New(fault.CodeInvalidRequest, "There is nothing to change.",
			`Send "title", "description", "alias", "tags", "metadata" or several of them; null clears one, and what is left out stays as it is.`)
	}
	if _, err := s.findAsset(ctx, who, keys.ScopeWrite, id); err != nil {
		return asset.Asset{}, err
	}
	checked, err := c.Check()
	if err != nil {
		return asset.Asset{}, err
	}
	said, err := json.Marshal(checked)
	if err != nil {
		return asset.Asset{}, fault.Internal("encoding changes", err)
	}
	changed, err := s.assets.SetAsset(ctx, AssetUpdate{
		Tenant: who.Tenant, ID: id, Changes: checked, IfMatch: ifMatch,
		Idempotency: idempotency(idempotencyKey, "set asset", id, string(said), ifMatch.String()),
	})
	if err != nil {
		return asset.Asset{}, fmt.Errorf("changing %s: %w", id, err)
	}
	return changed, nil
}

// DeleteAsset deletes an asset with all its versions, or a file of a dataset, and then
// removes the bytes. What the second leaves the sweeper removes.
// Errors: CodeForbidden, and those of Assets.DeleteAsset.
func (s *Service) DeleteAsset(ctx context.Context, who keys.Principal, assetID, idempotencyKey string) (AssetDeleted, error) {
	_, err := s.findAsset(ctx, who, keys.ScopeWrite, assetID)
	notThere := fault.Is(err, fault.CodeAssetNotFound)
	if err != nil && (!notThere || idempotencyKey == "" || !validID(assetID, fileIDPrefix)) {
		return AssetDeleted{}, err // with a key, an earlier request may have deleted it
	}
	id, err := newID(deletionIDPrefix)
	if err != nil {
		return AssetDeleted{}, err
	}
	deleted, err := s.assets.DeleteAsset(ctx, AssetDeletion{
		ID: id, Tenant: who.Tenant, AssetID: assetID, Idempotency: idempotency(idempotencyKey, "delete-asset", assetID),
		ReplayOnly: notThere,
	})
	if err != nil {
		return AssetDeleted{}, fmt.Errorf("deleting %s: %w", assetID, err)
	}
	if !reachesOwner(who, deleted.Owner) {
		return AssetDeleted{}, asset.ErrNotFound()
	}
	s.removeAll(ctx, deleted.Objects)
	return deleted, nil
}

// removeAll deletes objects that nothing refers to any more, as long as there is time.
func (s *Service) removeAll(ctx context.Context, keys []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	for _, key := range keys {
		if ctx.Err() != nil {
			return // the sweeper removes the rest
		}
		_ = s.objects.Delete(ctx, key) // see above
	}
}

// assetsOfDataset is how many files of a dataset are read at a time.
const assetsOfDataset = 100

// ListAssets returns a page of the assets that the key reaches and that match a
// filter. Those of a dataset are its files in order, unless a tag or an alias is asked
// for; all others come newest first. A page may be empty and still have a next one:
// after is where it continues, which is an id, or for the files of a dataset a position.
// Errors: CodeForbidden, CodeInvalidRequest, CodeInvalidName, CodeDatasetNotFound.
func (s *Service) ListAssets(ctx context.Context, who keys.Principal, f asset.Filter, after string, limit int) (asset.Page, error) {
	if err := authorize(who, keys.ScopeRead, ""); err != nil {
		return asset.Page{}, err
	}
	if err := asset.CheckFilter(f); err != nil {
		return asset.Page{}, err
	}
	if datasetID := f.Owner.DatasetID(); datasetID != "" {
		if err := authorize(who, keys.ScopeRead, datasetID); err != nil {
			return asset.Page{}, err
		}
		if f.Tag == "" && f.Alias == "" {
			return s.filesAsAssets(ctx, who, datasetID, after, limit)
		}
		if err := s.catalog.Exists(ctx, who.Tenant, datasetID); err != nil {
			return asset.Page{}, err
		}
	}
	if after != "" && !validID(after, fileIDPrefix) {
		return asset.Page{}, errPlace()
	}
	page, err := s.assets.ListAssets(ctx, who.Tenant, f, after, limit)
	if err != nil {
		return asset.Page{}, err
	}
	reached := page.Assets[:0]
	for _, a := range page.Assets {
		if reachesOwner(who, a.Owner) {
			reached = append(reached, a)
		}
	}
	page.Assets = reached
	return page, nil
}

func errPlace() error {
	return fault.New(fault.CodeInvalidRequest, "The cursor is not one that this listing gave out.", "Leave it out to start from the beginning.")
}

// filesAsAssets is ListAssets for the files of a dataset.
func (s *Service) filesAsAssets(ctx context.Context, who keys.Principal, datasetID, after string, limit int) (asset.Page, error) {
	var from int64
	if after != "" {
		var err error
		if from, err = strconv.ParseInt(after, 10, 64); err != nil || from < 0 {
			return asset.Page{}, errPlace()
		}
	}
	files, err := s.catalog.Files(ctx, who.Tenant, datasetID, from, min(limit, assetsOfDataset))
	if err != nil {
		return asset.Page{}, err
	}
	page := asset.Page{}
	if page.Assets, err = s.assets.AssetsOfFiles(ctx, who.Tenant, datasetID, files.Files); err != nil {
		return asset.Page{}, err
	}
	if files.More {
		page.Next = strconv.FormatInt(files.Next, 10)
	}
	return page, nil
}

// PlaceAfter is where a listing with a filter continues behind an asset.
func PlaceAfter(f asset.Filter, a asset.Asset) string {
	if f.Owner.DatasetID() != "" && f.Tag == "" && f.Alias == "" {
		return strconv.FormatInt(a.Position+1, 10)
	}
	return a.ID
}

// AssetVersions returns up to limit versions of an asset's content below one (0 for the
// first page), the latest first. A file of a dataset has one.
// Errors: CodeForbidden, CodeAssetNotFound.
func (s *Service) AssetVersions(ctx context.Context, who keys.Principal, id string, below int64, limit int) ([]asset.Content, error) {
	a, err := s.findAsset(ctx, who, keys.ScopeRead, id)
	if err != nil {
		return nil, err
	}
	if !a.InDataset() {
		return s.assets.AssetVersions(ctx, who.Tenant, id, below, limit)
	}
	if below > 0 && below <= a.Content.Version {
		return nil, nil
	}
	return []asset.Content{a.Content}, nil
}

// AssetFile returns a version of an asset's content as a file, 0 for the latest one,
// and its number.
// Errors: CodeForbidden, CodeAssetNotFound.
func (s *Service) AssetFile(ctx context.Context, who keys.Principal, id string, version int64) (asset.Asset, File, error) {
	a, err := s.findAsset(ctx, who, keys.ScopeRead, id)
	if err != nil {
		return asset.Asset{}, File{}, err
	}
	if version == 0 || version == a.Content.Version {
		return a, contentFile(a.Content), nil
	}
	if version > a.Content.Version || a.InDataset() {
		return asset.Asset{}, File{}, asset.ErrVersionNotFound(a.Content.Version)
	}
	contents, err := s.assets.AssetVersions(ctx, who.Tenant, id, version+1, 1)
	if err != nil {
		return asset.Asset{}, File{}, err
	}
	if len(contents) != 1 || contents[0].Version != version {
		return asset.Asset{}, File{}, fault.Internal("reading a version", fmt.Errorf("%s has no version %d", id, version))
	}
	return a, contentFile(contents[0]), nil
}

// OpenAsset returns a part of the bytes of an asset's content; the caller closes them.
// They are checked as Open does.
// Errors: CodeAssetNotFound when the asset was deleted since it was looked up.
func (s *Service) OpenAsset(ctx context.Context, who keys.Principal, assetID string, f File, part Range) (io.ReadCloser, error) {
	body, err := s.open(ctx, f, part)
	if err == nil {
		return body, nil
	}
	if _, lookup := s.assets.Asset(ctx, who.Tenant, assetID); fault.Is(lookup, fault.CodeAssetNotFound) {
		err = asset.ErrNotFound().Because(err) // S3 need not say that an object is not there
	}
	return nil, fmt.Errorf("opening %s: %w", f.ID, err)
}
