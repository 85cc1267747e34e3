package dynamo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/dataset"
)

// DeleteDataset implements dataset.Catalog. It marks the head, which every write
// to the dataset has a condition on and every read looks at, so it costs the same
// however large the dataset is. The counters stay in the head for the answer.
func (c *Catalog) DeleteDataset(ctx context.Context, d dataset.DatasetDeletion) (dataset.DatasetDeleted, error) {
	if !exist(d.Tenant, d.DatasetID) {
		return dataset.DatasetDeleted{}, dataset.ErrDatasetNotFound()
	}
	w := &dropping{DatasetDeletion: d, catalog: c, head: key(datasetPK(d.Tenant, d.DatasetID), headSK)}
	if err := w.prepare(); err != nil {
		return dataset.DatasetDeleted{}, err
	}
	if err := c.run(ctx, "deleting a dataset", w); err != nil {
		return dataset.DatasetDeleted{}, err
	}
	return w.answer(ctx)
}

// dropping is the write of a dataset's deletion: the head, the dataset's place in
// the tenant's list, its place among those to be purged, and the request if it has
// a key.
type dropping struct {
	dataset.DatasetDeletion
	catalog     *Catalog
	head        item // its key
	transaction *dynamodb.TransactWriteItemsInput
}

// The actions of the transaction that have conditions which may fail.
const (
	droppingHead    = 0
	droppingRequest = 3
)

func (w *dropping) prepare() error {
	c, now := w.catalog, w.catalog.now()
	values := item{":now": moment(now), ":by": text(w.ID), ":one": number(firstVersion)}
	condition := isThere
	if w.IfVersion != 0 {
		values[":version"] = number(w.IfVersion)
		condition += " AND " + isVersion(w.IfVersion)
	}
	all := []types.TransactWriteItem{
		{Update: &types.Update{
			TableName: &c.table, Key: w.head,
			UpdateExpression:                    aws.String("SET deleted_at = :now, deleted_by = :by, updated_at = :now, " + nextVersion),
			ConditionExpression:                 &condition,
			ExpressionAttributeValues:           values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
		{Delete: &types.Delete{TableName: &c.table, Key: key(tenantPK(w.Tenant), datasetSK(w.DatasetID))}},
		c.put(deletedItem(dataset.DeletedDataset{Tenant: w.Tenant, ID: w.DatasetID, DeletedAt: now})),
	}
	if w.Idempotency.Key != "" {
		action, err := c.remember(w.Tenant, w.Idempotency, request{kind: kindDrop, datasetID: w.DatasetID})
		if err != nil {
			return err
		}
		all = append(all, action)
	}
	w.transaction = transaction(all)
	return nil
}

func (w *dropping) input(context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	return w.transaction, nil
}

// refused decides in the order of the contract. DynamoDB need not name every
// condition that failed, so a request that it leaves out is looked for.
func (w *dropping) refused(ctx context.Context, reasons []types.CancellationReason) error {
	headItem, headFailed := failed(reasons, droppingHead)
	requestItem, requestFailed := failed(reasons, droppingRequest)
	if !headFailed && !requestFailed {
		if inTheWay(reasons) {
			return errAgain
		}
		return unexpected("deleting a dataset", reasons)
	}
	if !requestFailed {
		var err error
		if requestItem, err = w.catalog.request(ctx, w.Tenant, w.Idempotency); err != nil {
			return err
		}
	}
	if requestItem != nil {
		_, err := earlier(requestItem, kindDrop, w.DatasetID, w.Idempotency)
		return err
	}
	if f := (fields{item: headItem}); f.text("deleted_by") == w.ID {
		return nil // an earlier try deleted it
	}
	h, err := readHead(headItem)
	if err != nil {
		return err
	}
	return dataset.ErrVersionMismatch(h.Version)
}

// answer reads what the dataset had when it was deleted, by this request or by an
// earlier one with the same key.
func (w *dropping) answer(ctx context.Context) (dataset.DatasetDeleted, error) {
	i, err := w.catalog.get(ctx, "reading a deleted dataset", w.head)
	if err != nil {
		return dataset.DatasetDeleted{}, err
	}
	f := fields{item: i}
	done := dataset.DatasetDeleted{
		DatasetID: w.DatasetID, FileCount: f.number("file_count"), TotalSizeBytes: f.number("total_bytes"),
		Replayed: f.text("deleted_by") != w.ID,
	}
	return done, f.err
}

// deletedItem is a dataset's place among those to be purged, in the order of their
// deletion.
func deletedItem(d dataset.DeletedDataset) item { return key(deletedPK, deletedSK(d)) }

func deletedSK(d dataset.DeletedDataset) string {
	return fmt.Sprintf("%019d#%s#%s", d.DeletedAt.UnixNano(), d.Tenant, d.ID)
}

// readDeleted is the reverse of deletedItem.
func readDeleted(i item) (dataset.DeletedDataset, error) {
	sortKey := idOf(i).sk
	parts := strings.Split(sortKey, "#")
	if len(parts) != 3 {
		return dataset.DeletedDataset{}, fmt.Errorf("no deleted dataset has the sort key %q", sortKey)
	}
	nanoseconds, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return dataset.DeletedDataset{}, fmt.Errorf("the sort key %q of a deleted dataset has no time: %w", sortKey, err)
	}
	return dataset.DeletedDataset{Tenant: parts[1], ID: parts[2], DeletedAt: time.Unix(0, nanoseconds).UTC()}, nil
}
