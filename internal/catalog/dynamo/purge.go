package dynamo

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/dataset"
)

var _ dataset.Purges = (*Catalog)(nil)

// DeletedDatasets implements dataset.Purges.
func (c *Catalog) DeletedDatasets(ctx context.Context, after dataset.DeletedDataset, limit int) ([]dataset.DeletedDataset, error) {
	in := &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: item{":pk": text(deletedPK)},
	}
	if after != (dataset.DeletedDataset{}) {
		in.KeyConditionExpression = aws.String("pk = :pk AND sk > :after")
		in.ExpressionAttributeValues[":after"] = text(deletedSK(after))
	}
	limit = max(limit, 1)
	items, err := c.queryPages(ctx, "listing deleted datasets", limit, in)
	if err != nil {
		return nil, err
	}
	list := make([]dataset.DeletedDataset, 0, len(items))
	for _, i := range items[:min(limit, len(items))] {
		d, err := readDeleted(i)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// Remnants implements dataset.Purges. The entries come first, and then the names
// that they did not lead to: those of deleted files, and those whose removal
// stopped between the two.
func (c *Catalog) Remnants(ctx context.Context, d dataset.DeletedDataset, limit int) ([]dataset.Remnant, error) {
	if !exist(d.Tenant, d.ID) {
		return nil, nil
	}
	limit = max(limit, 1)
	for _, prefix := range []string{filePrefix, namePrefix} {
		items, err := c.queryPages(ctx, "listing what a deleted dataset left", limit, &dynamodb.QueryInput{
			KeyConditionExpression:    aws.String("pk = :pk AND begins_with(sk, :prefix)"),
			ExpressionAttributeValues: item{":pk": text(datasetPK(d.Tenant, d.ID)), ":prefix": text(prefix)},
		})
		if err != nil {
			return nil, err
		}
		if len(items) > 0 {
			return remnants(d.Tenant, items[:min(limit, len(items))])
		}
	}
	return nil, nil
}

// remnants reads entries, or names. The entry of a deleted file has neither the
// name, which another one may have by now, nor the object's key, which follows from
// the id.
func remnants(tenant string, items []item) ([]dataset.Remnant, error) {
	list := make([]dataset.Remnant, len(items))
	for n, i := range items {
		f, err := readFile(i)
		if err != nil {
			return nil, err
		}
		if f.ID == "" {
			return nil, fmt.Errorf("the item %q of a deleted dataset names no file", idOf(i).sk)
		}
		r := dataset.Remnant{FileID: f.ID, ObjectKey: f.ObjectKey, Name: f.Name, Position: f.Position}
		if r.ObjectKey == "" {
			r.ObjectKey = dataset.FileKey(tenant, f.ID)
		}
		if idOf(i).sk == nameSK(f.Name) {
			r.Position = -1
		}
		list[n] = r
	}
	return list, nil
}

// RemoveRemnants implements dataset.Purges. What names a file to Remnants goes
// last: first its record, then the names, then the entries.
func (c *Catalog) RemoveRemnants(ctx context.Context, d dataset.DeletedDataset, files []dataset.Remnant) error {
	partition := datasetPK(d.Tenant, d.ID)
	var records, names, entries []id
	for _, f := range files {
		records = append(records, recordsOf(d.Tenant, f.FileID)...)
		if f.Name != "" {
			names = append(names, id{partition, nameSK(f.Name)})
		}
		if f.Position >= 0 {
			entries = append(entries, id{partition, fileSK(f.Position)})
		}
	}
	for _, ids := range [][]id{records, names, entries} {
		if err := c.batchDelete(ctx, "removing files of a deleted dataset", ids); err != nil {
			return err
		}
	}
	return nil
}

// recordsOf is what there is of a file under its id.
func recordsOf(tenant, fileID string) []id {
	return []id{{recordPK(tenant, fileID), onlySK}}
}

// RemainingUploads implements dataset.Purges. It goes by the dataset's list of
// uploads alone.
func (c *Catalog) RemainingUploads(ctx context.Context, d dataset.DeletedDataset, limit int) ([]dataset.Upload, error) {
	if !exist(d.Tenant, d.ID) {
		return nil, nil
	}
	const doing = "listing the uploads of a deleted dataset"
	limit = max(limit, 1)
	items, err := c.queryPages(ctx, doing, limit, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: item{":pk": text(uploadsPK(d.Tenant, d.ID))},
	})
	if err != nil {
		return nil, err
	}
	items = items[:min(limit, len(items))]
	ids := make([]id, len(items))
	for n, i := range items {
		ids[n] = id{uploadPK(d.Tenant, idOf(i).sk), onlySK}
	}
	found, err := c.batchGet(ctx, doing, ids)
	if err != nil {
		return nil, err
	}
	uploads := make([]dataset.Upload, len(items))
	for n, i := range items {
		if uploads[n], err = readRecorded(found[ids[n]]); err != nil {
			return nil, err
		}
		uploads[n].ID = idOf(i).sk
	}
	return uploads, nil
}

// RemoveUploads implements dataset.Purges. The entry in the dataset's list of
// uploads goes last.
func (c *Catalog) RemoveUploads(ctx context.Context, d dataset.DeletedDataset, uploads []dataset.Upload) error {
	var records, listed []id
	for _, u := range uploads {
		records = append(records, recordsOf(d.Tenant, dataset.FileIDOf(u.ID))...)
		records = append(records, id{uploadPK(d.Tenant, u.ID), schemaSK}, id{uploadsPK(d.Tenant, ""), u.ID})
		listed = append(listed, id{uploadsPK(d.Tenant, d.ID), u.ID})
	}
	for _, ids := range [][]id{records, listed} {
		if err := c.batchDelete(ctx, "removing uploads of a deleted dataset", ids); err != nil {
			return err
		}
	}
	return nil
}

// RemoveInfos implements dataset.Purges. It goes by the list of the dataset's files of
// which something is said; an entry goes last.
func (c *Catalog) RemoveInfos(ctx context.Context, d dataset.DeletedDataset, limit int) (int, error) {
	if !exist(d.Tenant, d.ID) {
		return 0, nil
	}
	const doing = "removing what was said of files of a deleted dataset"
	limit = max(limit, 1)
	list := assetsPK(d.Tenant, asset.OfDataset(d.ID), "")
	items, err := c.queryPages(ctx, doing, limit, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: item{":pk": text(list)},
	})
	if err != nil {
		return 0, err
	}
	items = items[:min(limit, len(items))]
	ids := make([]id, len(items))
	for n, i := range items {
		ids[n] = id{recordPK(d.Tenant, idOf(i).sk), onlySK}
	}
	found, err := c.batchGet(ctx, doing, ids)
	if err != nil {
		return 0, err
	}
	var labels, entries []id
	for n, i := range items {
		entry := id{list, idOf(i).sk}
		entries = append(entries, entry)
		said, err := readSaid(found[ids[n]], dataset.FileAsset(d.ID, dataset.File{ID: entry.sk}))
		if err != nil {
			return 0, err
		}
		for place := range places(d.Tenant, said) {
			if place != entry {
				labels = append(labels, place)
			}
		}
		if said.Info.Alias != "" {
			labels = append(labels, claimOf(d.Tenant, said))
		}
	}
	for _, ids := range [][]id{labels, entries} {
		if err := c.batchDelete(ctx, doing, ids); err != nil {
			return 0, err
		}
	}
	return len(items), nil
}

// EndPurge implements dataset.Purges. Of the head there stay the id, when and by
// which request it was deleted, and the counters of that request's answer.
func (c *Catalog) EndPurge(ctx context.Context, d dataset.DeletedDataset) error {
	const doing = "ending the purge of a dataset"
	partition := datasetPK(d.Tenant, d.ID)
	_, err := c.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: key(partition, headSK),
		UpdateExpression:         aws.String("REMOVE #name, metadata, schema_key, next_position, total_rows, created_at, updated_at, dataset_version"),
		ConditionExpression:      aws.String("attribute_exists(deleted_at)"),
		ExpressionAttributeNames: map[string]string{"#name": "name"}, // the word is DynamoDB's own
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	for _, i := range []id{{partition, schemaSK}, {deletedPK, deletedSK(d)}} {
		if err := c.batchDelete(ctx, doing, []id{i}); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of one batchDelete.
const (
	batchWrites       = 25 // requests in one BatchWriteItem
	batchWritesAtOnce = 4  // one partition takes 1,000 deletions a second, which these come to
)

// batchDelete removes items, in no order. Those that are not there are no error.
func (c *Catalog) batchDelete(ctx context.Context, doing string, ids []id) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(batchWritesAtOnce)
	for len(ids) > 0 {
		n := min(len(ids), batchWrites)
		some := make([]types.WriteRequest, n)
		for i, d := range ids[:n] {
			some[i].DeleteRequest = &types.DeleteRequest{Key: key(d.pk, d.sk)}
		}
		group.Go(func() error { return c.write(ctx, doing, some) })
		ids = ids[n:]
	}
	return group.Wait()
}

// write sends up to batchWrites requests until DynamoDB has taken all of them. It
// leaves some out when it is busy, and when a transaction is at an item.
func (c *Catalog) write(ctx context.Context, doing string, requests []types.WriteRequest) error {
	for try := 1; ; try++ {
		out, err := c.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{c.table: requests},
		})
		var conflict *types.TransactionConflictException
		switch {
		case err == nil:
			if requests = out.UnprocessedItems[c.table]; len(requests) == 0 {
				return nil
			}
		case !throttled(err) && !errors.As(err, &conflict):
			return fmt.Errorf("%s: %w", doing, err)
		}
		if try >= c.tries {
			return busy(errors.Join(fmt.Errorf("%s: DynamoDB left %d requests undone", doing, len(requests)), err))
		}
		if err := c.pause(ctx, try, 1); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
}
