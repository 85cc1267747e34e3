package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

var _ dataset.Assets = (*Catalog)(nil)

// firstRevision is a new asset's, and that of a file when something is said of it from
// the beginning. A file of which nothing was said has none, which reads as 0.
const firstRevision = 1

// assetsPK is a list of assets: of a tenant, or of one of its owners; all of them, or
// those with a label.
func assetsPK(tenant string, o asset.Owner, label string) string {
	list := "A#" + tenant
	if o != (asset.Owner{}) || label != "" {
		list += "#" + string(o.Type) + "#" + o.ID
	}
	if label != "" {
		list += "#" + label
	}
	return list
}

// A label has another first letter for tags than for aliases, and a length that a
// partition key takes.
func tagLabel(tag string) string     { return "t" + hashOf(tag) }
func aliasLabel(alias string) string { return "a" + hashOf(alias) }

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// places are where an asset is listed. A file of a dataset is in no list of all assets,
// and in its owner's when something is said of it.
func places(tenant string, a asset.Asset) iter.Seq[id] {
	return func(yield func(id) bool) {
		anyOwner := asset.Owner{}
		var lists []string
		if !a.InDataset() {
			lists = append(lists, assetsPK(tenant, anyOwner, ""))
		}
		if !a.InDataset() || !a.Info.Empty() {
			lists = append(lists, assetsPK(tenant, a.Owner, ""))
		}
		for _, tag := range a.Info.Tags {
			lists = append(lists, assetsPK(tenant, anyOwner, tagLabel(tag)), assetsPK(tenant, a.Owner, tagLabel(tag)))
		}
		if a.Info.Alias != "" {
			lists = append(lists, assetsPK(tenant, anyOwner, aliasLabel(a.Info.Alias)))
		}
		for _, list := range lists {
			if !yield(id{list, a.ID}) {
				return
			}
		}
	}
}

// claimOf is the item that an asset's alias is claimed by in its owner.
func claimOf(tenant string, a asset.Asset) id { return aliasID(tenant, a.Owner, a.Info.Alias) }

func aliasID(tenant string, o asset.Owner, alias string) id {
	return id{assetsPK(tenant, o, "@"), alias}
}

// errAlias is the refusal of an alias whose claim was met.
func errAlias(claim item) error {
	f := fields{item: claim}
	if err := asset.ErrAliasTaken(f.text(sk), f.text("asset_id")); f.err == nil {
		return err
	}
	return f.err
}

// relist adds to a transaction what moves an asset from the lists that it is in to those
// that it is to be in, and its alias; nil stands for an asset that is not there. claim is
// where in the transaction the alias is claimed, or -1.
func (c *Catalog) relist(all []types.TransactWriteItem, tenant string, before, after *asset.Asset) (_ []types.TransactWriteItem, claim int) {
	old, claim := map[id]bool{}, -1
	if before != nil {
		for place := range places(tenant, *before) {
			old[place] = true
		}
		if before.Info.Alias != "" && (after == nil || after.Info.Alias != before.Info.Alias) {
			all = append(all, c.remove(claimOf(tenant, *before)))
		}
	}
	if after != nil {
		for place := range places(tenant, *after) {
			if !old[place] {
				all = append(all, types.TransactWriteItem{Put: &types.Put{TableName: &c.table, Item: key(place.pk, place.sk)}})
			}
			delete(old, place)
		}
		if after.Info.Alias != "" && (before == nil || after.Info.Alias != before.Info.Alias) {
			claim = len(all)
			all = append(all, c.claim(tenant, *after))
		}
	}
	for place := range old {
		all = append(all, c.remove(place))
	}
	return all, claim
}

func (c *Catalog) remove(i id) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{TableName: &c.table, Key: key(i.pk, i.sk)}}
}

// claim claims an asset's alias, unless another asset of the owner has it.
func (c *Catalog) claim(tenant string, a asset.Asset) types.TransactWriteItem {
	at := claimOf(tenant, a)
	i := key(at.pk, at.sk)
	i["asset_id"] = text(a.ID)
	action := c.put(i)
	action.Put.ConditionExpression = aws.String("attribute_not_exists(pk) OR asset_id = :id")
	action.Put.ExpressionAttributeValues = item{":id": text(a.ID)}
	return action
}

// atRevision is the condition that what is said of an asset has not changed.
func atRevision(revision int64) (condition string, values item) {
	if revision == 0 {
		return "attribute_not_exists(asset_revision)", item{}
	}
	return "asset_revision = :revision", item{":revision": number(revision)}
}

// isListed is the condition on a record that its asset is there; its value is :appended.
const isListed = "upload_state = :appended AND attribute_not_exists(deleted_at)"

// readSaid adds to a file of a dataset what its record says of it.
func readSaid(i item, file asset.Asset) (asset.Asset, error) {
	f := fields{item: i}
	body, revision := f.text("asset"), f.number("asset_revision")
	if f.err != nil || body == "" {
		return file, f.err
	}
	said, err := record.DecodeAsset(body)
	file.Info, file.UpdatedAt, file.Revision = said.Info, said.UpdatedAt, revision
	return file, err
}

// readAsset reads an asset from its record, which may be a file's of a dataset.
// Errors: CodeAssetNotFound.
func readAsset(i item, assetID string) (asset.Asset, error) {
	u, err := readRecorded(i)
	if err != nil {
		return asset.Asset{}, err
	}
	if u.State != dataset.UploadAppended || i[deletedAt] != nil {
		return asset.Asset{}, asset.ErrNotFound()
	}
	if !u.OutsideDatasets() {
		return readSaid(i, dataset.FileAsset(u.DatasetID, u.File()))
	}
	f := fields{item: i}
	body, revision := f.text("asset"), f.number("asset_revision")
	if f.err != nil {
		return asset.Asset{}, f.err
	}
	if body == "" { // a later content of another asset
		return asset.Asset{}, asset.ErrNotFound()
	}
	a, err := record.DecodeAsset(body)
	a.ID, a.Revision = assetID, revision
	return a, err
}

// saidOfFile is a file of a dataset with what is said of it.
func (c *Catalog) saidOfFile(ctx context.Context, tenant, datasetID string, f dataset.File) (asset.Asset, error) {
	i, err := c.get(ctx, "reading what is said of a file", key(recordPK(tenant, f.ID), onlySK))
	if err != nil {
		return asset.Asset{}, err
	}
	return readSaid(i, dataset.FileAsset(datasetID, f))
}

// Asset implements dataset.Assets.
func (c *Catalog) Asset(ctx context.Context, tenant, assetID string) (asset.Asset, error) {
	a, _, err := c.readAsset(ctx, tenant, assetID)
	return a, err
}

// readAsset reads an asset, and its record if there is one.
// Errors: CodeAssetNotFound.
func (c *Catalog) readAsset(ctx context.Context, tenant, assetID string) (asset.Asset, item, error) {
	if !exist(tenant, assetID) {
		return asset.Asset{}, nil, asset.ErrNotFound()
	}
	i, err := c.get(ctx, "reading an asset", key(recordPK(tenant, assetID), onlySK))
	if err != nil {
		return asset.Asset{}, nil, err
	}
	a, err := readAsset(i, assetID)
	if err == nil && a.InDataset() {
		if err = c.Exists(ctx, tenant, a.Owner.DatasetID()); fault.Is(err, fault.CodeDatasetNotFound) {
			err = asset.ErrNotFound()
		}
	}
	return a, i, err
}

// AssetsOfFiles implements dataset.Assets.
func (c *Catalog) AssetsOfFiles(ctx context.Context, tenant, datasetID string, files []dataset.File) ([]asset.Asset, error) {
	ids := make([]id, len(files))
	for n, f := range files {
		ids[n] = id{recordPK(tenant, f.ID), onlySK}
	}
	found, err := c.batchGet(ctx, "reading what is said of files", ids)
	if err != nil {
		return nil, err
	}
	assets := make([]asset.Asset, len(files))
	for n, f := range files {
		if assets[n], err = readSaid(found[ids[n]], dataset.FileAsset(datasetID, f)); err != nil {
			return nil, err
		}
	}
	return assets, nil
}

// ListAssets implements dataset.Assets.
func (c *Catalog) ListAssets(ctx context.Context, tenant string, f asset.Filter, after string, limit int) (asset.Page, error) {
	if !dataset.IDCanExist(tenant) || (after != "" && !dataset.IDCanExist(after)) {
		return asset.Page{}, nil
	}
	ids, next, err := c.listed(ctx, tenant, f, after, max(limit, 1))
	if err != nil {
		return asset.Page{}, err
	}
	assets, err := c.assets(ctx, tenant, ids)
	page := asset.Page{Next: next}
	for _, a := range assets {
		if f.Matches(a) {
			page.Assets = append(page.Assets, a)
		}
	}
	return page, err
}

// listed finds the ids that a page of a listing has.
func (c *Catalog) listed(ctx context.Context, tenant string, f asset.Filter, after string, limit int) (ids []string, next string, err error) {
	if f.Alias != "" && f.Owner != (asset.Owner{}) {
		at := aliasID(tenant, f.Owner, f.Alias)
		i, err := c.get(ctx, "reading an alias", key(at.pk, at.sk))
		found := fields{item: i}
		if assetID := found.text("asset_id"); assetID != "" && (after == "" || assetID < after) {
			ids = append(ids, assetID)
		}
		if err == nil {
			err = found.err
		}
		return ids, "", err
	}
	label := ""
	switch {
	case f.Alias != "":
		label = aliasLabel(f.Alias)
	case f.Tag != "":
		label = tagLabel(f.Tag)
	}
	in := &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: item{":pk": text(assetsPK(tenant, f.Owner, label))},
		ScanIndexForward:          aws.Bool(false),
	}
	if after != "" {
		in.KeyConditionExpression = aws.String("pk = :pk AND sk < :after")
		in.ExpressionAttributeValues[":after"] = text(after)
	}
	items, err := c.queryPages(ctx, "listing assets", limit+1, in)
	if err != nil {
		return nil, "", err
	}
	for _, i := range items[:min(limit, len(items))] {
		ids = append(ids, idOf(i).sk)
	}
	if len(items) > limit {
		next = ids[limit-1]
	}
	return ids, next, nil
}

// assets reads assets in the order of their ids, without those that are not there.
func (c *Catalog) assets(ctx context.Context, tenant string, assetIDs []string) ([]asset.Asset, error) {
	ids := make([]id, len(assetIDs))
	for n, assetID := range assetIDs {
		ids[n] = id{recordPK(tenant, assetID), onlySK}
	}
	found, err := c.batchGet(ctx, "reading assets", ids)
	if err != nil {
		return nil, err
	}
	var assets []asset.Asset
	datasets := map[id]bool{}
	for n, assetID := range assetIDs {
		a, err := readAsset(found[ids[n]], assetID)
		if fault.Is(err, fault.CodeAssetNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		assets = append(assets, a)
		if a.InDataset() {
			datasets[headOf(tenant, a)] = true
		}
	}
	return c.ofDatasetsThere(ctx, tenant, assets, datasets)
}

func headOf(tenant string, a asset.Asset) id {
	return id{datasetPK(tenant, a.Owner.DatasetID()), headSK}
}

// ofDatasetsThere leaves out the files of datasets that were deleted.
func (c *Catalog) ofDatasetsThere(ctx context.Context, tenant string, assets []asset.Asset, datasets map[id]bool) ([]asset.Asset, error) {
	if len(datasets) == 0 {
		return assets, nil
	}
	var ids []id
	for i := range datasets {
		ids = append(ids, i)
	}
	heads, err := c.batchGet(ctx, "reading datasets", ids)
	if err != nil {
		return nil, err
	}
	there := assets[:0]
	for _, a := range assets {
		if a.InDataset() {
			_, err := readHead(heads[headOf(tenant, a)])
			if fault.Is(err, fault.CodeDatasetNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		there = append(there, a)
	}
	return there, nil
}

// AssetVersions implements dataset.Assets.
func (c *Catalog) AssetVersions(ctx context.Context, tenant, assetID string, below int64, limit int) ([]asset.Content, error) {
	a, _, err := c.readAsset(ctx, tenant, assetID)
	if err != nil {
		return nil, err
	}
	if a.InDataset() {
		return nil, asset.ErrNotFound()
	}
	if latest := a.Content.Version; below == 0 || below > latest {
		below = latest + 1
	}
	limit = max(limit, 1)
	var list []asset.Content
	err = c.settled(ctx, func() error {
		list, err = c.contents(ctx, tenant, assetID, below, limit)
		if err != nil {
			return err
		}
		// Of a version that is being committed a query need not see the item yet.
		if len(list) < min(limit, int(below-1)) || len(list) > 0 && list[0].Version != below-1 {
			return errUnsettled
		}
		return nil
	})
	return list, err
}

// contents reads up to limit versions below one, the latest first.
func (c *Catalog) contents(ctx context.Context, tenant, assetID string, below int64, limit int) ([]asset.Content, error) {
	if below <= 1 {
		return nil, nil
	}
	items, err := c.queryPages(ctx, "listing the versions of an asset", limit, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{":pk": text(recordPK(tenant, assetID)), ":from": text(versionSK(1)), ":to": text(versionSK(below - 1))},
		ScanIndexForward:          aws.Bool(false),
	})
	if err != nil {
		return nil, err
	}
	list := make([]asset.Content, 0, len(items))
	for _, i := range items[:min(limit, len(items))] {
		f := fields{item: i}
		a, err := record.DecodeAsset(f.text("content"))
		if f.err != nil {
			err = f.err
		}
		if err != nil {
			return nil, err
		}
		list = append(list, a.Content)
	}
	return list, nil
}

// objectsOf are the keys of the contents that an asset had.
func (c *Catalog) objectsOf(ctx context.Context, tenant, assetID string, o asset.Owner) ([]string, error) {
	if o.DatasetID() != "" {
		return []string{dataset.FileKey(tenant, assetID)}, nil
	}
	contents, err := c.contents(ctx, tenant, assetID, math.MaxInt64, dataset.MaxContentsTold)
	keys := make([]string, len(contents))
	for n, content := range contents {
		keys[n] = content.ObjectKey
	}
	return keys, err
}
