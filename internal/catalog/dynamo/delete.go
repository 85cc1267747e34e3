package dynamo

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
)

// DeleteFile implements dataset.Catalog. It writes over the items of the file and
// takes none away: readers need an item at every position, the name's tells a
// repeated deletion what became of its file, and the record a repeated append.
func (c *Catalog) DeleteFile(ctx context.Context, d dataset.Deletion) (dataset.Deleted, error) {
	if !exist(d.Tenant, d.DatasetID) {
		return dataset.Deleted{}, dataset.ErrDatasetNotFound()
	}
	w := &deleting{Deletion: d, catalog: c, partition: datasetPK(d.Tenant, d.DatasetID)}
	if err := c.run(ctx, "deleting a file", w); err != nil {
		return dataset.Deleted{}, err
	}
	return w.answer, nil
}

// deleting is the write of a deletion: the head, the entry and the name of the
// file, the request if it has a key, and the file's record.
type deleting struct {
	dataset.Deletion
	catalog   *Catalog
	partition string

	sent   *dynamodb.TransactWriteItemsInput // nil when the file is to be read again
	record int                               // where in it the file's record is
	answer dataset.Deleted
}

// The actions of the transaction.
const (
	deletingHead = iota
	deletingEntry
	deletingName
	deletingRequest
)

// input makes the transaction for the file that has the name now.
func (w *deleting) input(ctx context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	if w.sent != nil {
		return w.sent, nil
	}
	var met item
	if dataset.NameCanExist(w.Name) {
		var err error
		if met, err = w.catalog.get(ctx, "reading a file's entry", key(w.partition, nameSK(w.Name))); err != nil {
			return nil, err
		}
	}
	if met == nil || met[deletedAt] != nil {
		return nil, w.notThere(ctx, met)
	}
	f, err := readFile(met)
	if err != nil {
		return nil, err
	}
	w.answer = dataset.Deleted{File: f}
	said, err := w.catalog.saidOfFile(ctx, w.Tenant, w.DatasetID, f)
	if err != nil {
		return nil, err
	}
	var more []types.TransactWriteItem
	if w.Idempotency.Key != "" {
		action, err := w.catalog.remember(w.Tenant, w.Idempotency,
			request{kind: kindDelete, datasetID: w.DatasetID, deleted: record.Deleted{File: f, By: w.ID}})
		if err != nil {
			return nil, err
		}
		more = append(more, action)
	}
	all := w.catalog.unlist(w.Deletion, said, f, more...)
	w.record = deletingRequest + len(more)
	w.sent = transaction(all)
	return w.sent, nil
}

// notThere decides what it means that no file has the name; met is the name's
// item if there is one.
func (w *deleting) notThere(ctx context.Context, met item) error {
	c := w.catalog
	if _, err := c.readHead(ctx, w.partition); err != nil {
		return err
	}
	if i, err := c.request(ctx, w.Tenant, w.Idempotency); err != nil {
		return err
	} else if i != nil {
		return w.replay(i)
	}
	if f := (fields{item: met}); met == nil || f.text("deleted_by") != w.ID {
		return dataset.ErrFileNotFound()
	}
	var err error
	w.answer.File, err = readFile(met) // an earlier try deleted it
	return err
}

// unlist takes a file out of a dataset, with what is said of it, and does more in the
// same step, before the file's record.
func (c *Catalog) unlist(d dataset.Deletion, said asset.Asset, f dataset.File, more ...types.TransactWriteItem) []types.TransactWriteItem {
	partition, now := datasetPK(d.Tenant, d.DatasetID), moment(c.now())
	entry := key(partition, fileSK(f.Position))
	entry["id"], entry["file_position"], entry[deletedAt] = text(f.ID), number(f.Position), now
	name := fileItem(partition, nameSK(f.Name), f)
	name[deletedAt], name["deleted_by"] = now, text(d.ID)
	all := append([]types.TransactWriteItem{c.retreat(partition, f), c.replace(entry, f.ID), c.replace(name, f.ID)}, more...)
	condition, values := atRevision(said.Revision)
	values[":now"], values[":by"] = now, text(d.ID)
	all = append(all, c.settle(key(recordPK(d.Tenant, f.ID), onlySK), "SET deleted_at = :now, deleted_by = :by REMOVE asset", condition, values))
	all, _ = c.relist(all, d.Tenant, &said, nil)
	return all
}

// retreat takes the file out of the head's counters. An append that is under way
// is refused for the new version, and looks again.
func (c *Catalog) retreat(partition string, f dataset.File) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &c.table, Key: key(partition, headSK),
		UpdateExpression: aws.String("SET file_count = file_count - :one, total_bytes = total_bytes - :bytes, " +
			"total_rows = total_rows - :rows, updated_at = :now, " + nextVersion),
		ConditionExpression: aws.String(isThere),
		ExpressionAttributeValues: item{
			":one": number(firstVersion), ":bytes": number(f.SizeBytes), ":rows": number(f.RowCount), ":now": moment(c.now()),
		},
	}}
}

// replace writes an item over the one of a file that is listed.
func (c *Catalog) replace(i item, fileID string) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &c.table, Item: i,
		ConditionExpression:       aws.String("id = :id AND attribute_not_exists(deleted_at)"),
		ExpressionAttributeValues: item{":id": text(fileID)},
	}}
}

// refused decides from the items that the transaction met. One that another
// deletion came before reads the name again.
func (w *deleting) refused(ctx context.Context, reasons []types.CancellationReason) error {
	if _, ok := failed(reasons, deletingHead); ok {
		return dataset.ErrDatasetNotFound()
	}
	if i, ok := failed(reasons, deletingRequest); ok && w.record > deletingRequest {
		if _, err := w.catalog.readHead(ctx, w.partition); err != nil {
			return err // DynamoDB need not name every condition that failed
		}
		return w.replay(i)
	}
	for _, action := range []int{deletingEntry, deletingName, w.record} {
		if _, ok := failed(reasons, action); ok {
			w.sent = nil
			return errAgain
		}
	}
	if inTheWay(reasons) {
		return errAgain
	}
	return unexpected("deleting a file", reasons)
}

// replay answers what the request with the same key was answered.
func (w *deleting) replay(i item) error {
	r, err := earlier(i, kindDelete, w.DatasetID, w.Idempotency)
	if err != nil {
		return err
	}
	w.answer = dataset.Deleted{File: r.deleted.File, Replayed: r.deleted.By != w.ID}
	return nil
}
