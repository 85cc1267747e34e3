package dynamo

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// assetWrite is a write to an asset. It is made from what was read, and made anew from
// what is there by then whenever a condition did not hold: what it reads decides, and a
// refusal only says that it is another thing now.
type assetWrite struct {
	doing   string
	prepare func(ctx context.Context) (all []types.TransactWriteItem, claim int, err error) // no actions when it is done
	sent    *dynamodb.TransactWriteItemsInput
	claim   int // where an alias is claimed, or -1
}

func (w *assetWrite) input(ctx context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	if w.sent != nil {
		return w.sent, nil
	}
	all, claim, err := w.prepare(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	w.sent, w.claim = transaction(all), claim
	return w.sent, nil
}

func (w *assetWrite) refused(_ context.Context, reasons []types.CancellationReason) error {
	var conditions []int
	for n := range reasons {
		if _, ok := failed(reasons, n); ok {
			conditions = append(conditions, n)
		}
	}
	switch {
	case slices.Equal(conditions, []int{w.claim}):
		return errAlias(reasons[w.claim].Item)
	case len(conditions) > 0:
		w.sent = nil
		return errAgain
	case inTheWay(reasons):
		return errAgain
	}
	return unexpected(w.doing, reasons)
}

// CommitAsset implements dataset.Assets.
func (c *Catalog) CommitAsset(ctx context.Context, tenant, uploadID string) (dataset.Upload, error) {
	var committed dataset.Upload
	err := c.run(ctx, "committing an asset", &assetWrite{doing: "committing an asset", prepare: func(ctx context.Context) ([]types.TransactWriteItem, int, error) {
		u, err := c.Upload(ctx, tenant, uploadID)
		if err != nil {
			return nil, -1, err
		}
		if committed = u; u.State == dataset.UploadAppended && u.OutsideDatasets() {
			return nil, -1, nil
		}
		now := c.now()
		if err := dataset.CheckContent(u, now); err != nil {
			return nil, -1, err
		}
		u.State, u.UploadedAt = dataset.UploadAppended, now.UTC().Round(0)
		var all []types.TransactWriteItem
		claim := -1
		if u.AssetID() == u.FileID {
			all, claim, err = c.newAsset(tenant, &u)
		} else {
			all, err = c.newContent(ctx, tenant, &u)
		}
		committed = u
		return all, claim, err
	}})
	if err != nil {
		return dataset.Upload{}, err
	}
	return committed, nil
}

// settleContent makes an upload the content of an asset: its item is the content's record
// from then on, which does not expire.
func (c *Catalog) settleContent(tenant string, u dataset.Upload, set string, more item) (types.TransactWriteItem, error) {
	place, err := record.EncodeDraft(u.Asset)
	values := item{
		":place":    text(place),
		":complete": state(dataset.UploadComplete), ":appended": state(dataset.UploadAppended),
		":now": number(c.now().UnixMicro()), ":at": moment(u.UploadedAt), ":version": number(u.Version),
	}
	for name, value := range more {
		values[name] = value
	}
	return c.settle(key(uploadPK(tenant, u.ID), onlySK),
		"SET upload_state = :appended, uploaded_at = :at, asset_version = :version, draft = :place, "+set+" REMOVE "+expiresAt,
		"upload_state = :complete AND valid_until > :now", values), err
}

// newAsset makes an upload a new asset.
func (c *Catalog) newAsset(tenant string, u *dataset.Upload) ([]types.TransactWriteItem, int, error) {
	u.Version = 1
	a := asset.Asset{
		ID: u.FileID, Owner: u.Asset.Owner, Info: u.Asset.Info, Content: u.Content(),
		CreatedAt: u.UploadedAt, UpdatedAt: u.UploadedAt, Revision: firstRevision,
	}
	body, err := record.EncodeAsset(a)
	if err != nil {
		return nil, -1, err
	}
	entry, err := versionItem(tenant, a)
	if err != nil {
		return nil, -1, err
	}
	u.Asset = u.Asset.Place()
	settle, err := c.settleContent(tenant, *u, "asset = :asset, asset_revision = :revision", item{":asset": text(body), ":revision": number(a.Revision)})
	all, claim := c.relist([]types.TransactWriteItem{settle, c.put(entry)}, tenant, nil, &a)
	return all, claim, err
}

// newContent makes an upload the next content of an asset that is there.
// Errors: CodeAssetNotFound.
func (c *Catalog) newContent(ctx context.Context, tenant string, u *dataset.Upload) ([]types.TransactWriteItem, error) {
	a, _, err := c.readAsset(ctx, tenant, u.AssetID())
	if err != nil {
		return nil, err
	}
	u.Version = a.Content.Version + 1
	next := a
	next.Content, next.UpdatedAt, next.Revision = u.Content(), u.UploadedAt, a.Revision+1
	change, err := c.changeRecord(tenant, a, next)
	if err != nil {
		return nil, err
	}
	entry, err := versionItem(tenant, next)
	if err != nil {
		return nil, err
	}
	settle, err := c.settleContent(tenant, *u, "content_of = :asset", item{":asset": text(a.ID)})
	return []types.TransactWriteItem{settle, change, c.put(entry)}, err
}

// versionItem is the place of an asset's latest content among its versions.
func versionItem(tenant string, a asset.Asset) (item, error) {
	body, err := record.EncodeAsset(asset.Asset{ID: a.ID, Content: a.Content})
	i := key(recordPK(tenant, a.ID), versionSK(a.Content.Version))
	i["content"] = text(body)
	return i, err
}

// changeRecord writes an asset anew, if it is as it was.
func (c *Catalog) changeRecord(tenant string, a, next asset.Asset) (types.TransactWriteItem, error) {
	body, err := record.EncodeAsset(next)
	condition, values := atRevision(a.Revision)
	values[":asset"], values[":next"], values[":appended"] = text(body), number(next.Revision), state(dataset.UploadAppended)
	return c.settle(key(recordPK(tenant, a.ID), onlySK), "SET asset = :asset, asset_revision = :next", condition+" AND "+isListed, values), err
}

// SetAsset implements dataset.Assets. A file's dataset has to be there in the same step.
func (c *Catalog) SetAsset(ctx context.Context, u dataset.AssetUpdate) (asset.Asset, error) {
	var changed asset.Asset
	err := c.run(ctx, "changing an asset", &assetWrite{doing: "changing an asset", prepare: func(ctx context.Context) ([]types.TransactWriteItem, int, error) {
		a, _, err := c.readAsset(ctx, u.Tenant, u.ID)
		if err != nil {
			return nil, -1, err
		}
		if i, err := c.request(ctx, u.Tenant, u.Idempotency); err != nil {
			return nil, -1, err
		} else if i != nil {
			changed = a
			_, err := earlier(i, kindSetAsset, "", u.Idempotency)
			return nil, -1, err
		}
		if !u.IfMatch.Holds(a) {
			return nil, -1, asset.ErrChanged(a)
		}
		next := a
		next.Info, next.UpdatedAt, next.Revision = u.Changes.Apply(a.Info), c.now().UTC().Round(0), a.Revision+1
		changed = next
		return c.changeInfo(u, a, next)
	}})
	if err != nil {
		return asset.Asset{}, err
	}
	return changed, nil
}

func (c *Catalog) changeInfo(u dataset.AssetUpdate, a, next asset.Asset) ([]types.TransactWriteItem, int, error) {
	change, err := c.changeRecord(u.Tenant, a, next)
	if err != nil {
		return nil, -1, err
	}
	all := []types.TransactWriteItem{change}
	if a.InDataset() {
		all = append(all, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: &c.table, Key: key(datasetPK(u.Tenant, a.Owner.DatasetID()), headSK), ConditionExpression: aws.String(isThere),
		}})
	}
	if u.Idempotency.Key != "" {
		action, err := c.remember(u.Tenant, u.Idempotency, request{kind: kindSetAsset})
		if err != nil {
			return nil, -1, err
		}
		all = append(all, action)
	}
	all, claim := c.relist(all, u.Tenant, &a, &next)
	return all, claim, nil
}

// DeleteAsset implements dataset.Assets.
func (c *Catalog) DeleteAsset(ctx context.Context, d dataset.AssetDeletion) (dataset.AssetDeleted, error) {
	if !exist(d.Tenant, d.AssetID) {
		return dataset.AssetDeleted{}, asset.ErrNotFound()
	}
	done := record.AssetDeleted{}
	err := c.run(ctx, "deleting an asset", &assetWrite{doing: "deleting an asset", prepare: func(ctx context.Context) ([]types.TransactWriteItem, int, error) {
		if i, err := c.request(ctx, d.Tenant, d.Idempotency); err != nil {
			return nil, -1, err
		} else if i != nil {
			r, err := earlier(i, kindDeleteAsset, "", d.Idempotency)
			done = r.gone
			return nil, -1, err
		}
		a, i, err := c.readAsset(ctx, d.Tenant, d.AssetID)
		if err == nil && d.ReplayOnly {
			err = asset.ErrNotFound()
		}
		if fault.Is(err, fault.CodeAssetNotFound) {
			if f := (fields{item: i}); f.text("deleted_by") != d.ID {
				return nil, -1, err
			}
			u, err := readRecorded(i) // an earlier try deleted it
			if done.By, done.Owner = d.ID, asset.OfDataset(u.DatasetID); err == nil && u.OutsideDatasets() {
				done.Owner = u.Asset.Owner
			}
			return nil, -1, err
		}
		if err != nil {
			return nil, -1, err
		}
		done = record.AssetDeleted{Owner: a.Owner, By: d.ID}
		all, err := c.deleteAsset(d, a, i, done)
		return all, -1, err
	}})
	if err != nil {
		return dataset.AssetDeleted{}, err
	}
	objects, err := c.objectsOf(ctx, d.Tenant, d.AssetID, done.Owner)
	return dataset.AssetDeleted{AssetID: d.AssetID, Owner: done.Owner, Objects: objects, Replayed: done.By != d.ID}, err
}

// deleteAsset makes the transaction of a deletion. Of what was said nothing stays.
func (c *Catalog) deleteAsset(d dataset.AssetDeletion, a asset.Asset, i item, done record.AssetDeleted) ([]types.TransactWriteItem, error) {
	var more []types.TransactWriteItem
	if d.Idempotency.Key != "" {
		action, err := c.remember(d.Tenant, d.Idempotency, request{kind: kindDeleteAsset, gone: done})
		if err != nil {
			return nil, err
		}
		more = append(more, action)
	}
	if a.InDataset() {
		u, err := readRecorded(i)
		return c.unlist(dataset.Deletion{ID: d.ID, Tenant: d.Tenant, DatasetID: u.DatasetID}, a, u.File(), more...), err
	}
	condition, values := atRevision(a.Revision)
	values[":appended"], values[":now"], values[":by"] = state(dataset.UploadAppended), moment(c.now()), text(d.ID)
	all := append([]types.TransactWriteItem{c.settle(key(recordPK(d.Tenant, a.ID), onlySK),
		"SET deleted_at = :now, deleted_by = :by REMOVE asset", condition+" AND "+isListed, values)}, more...)
	all, _ = c.relist(all, d.Tenant, &a, nil)
	return all, nil
}
