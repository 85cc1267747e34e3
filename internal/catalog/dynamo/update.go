package dynamo

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/dataset"
)

// UpdateDataset implements dataset.Catalog. It is a transaction even without a
// request to remember, for the token: a repetition after a lost answer does not
// meet the version that the first try made.
func (c *Catalog) UpdateDataset(ctx context.Context, u dataset.Update) (dataset.Dataset, error) {
	if !exist(u.Tenant, u.DatasetID) {
		return dataset.Dataset{}, dataset.ErrDatasetNotFound()
	}
	actions := []types.TransactWriteItem{c.change(u)}
	if u.Idempotency.Key != "" {
		action, err := c.remember(u.Tenant, u.Idempotency, request{kind: kindUpdate, datasetID: u.DatasetID})
		if err != nil {
			return dataset.Dataset{}, err
		}
		actions = append(actions, action)
	}
	w := &updating{Update: u, catalog: c, transaction: transaction(actions)}
	if err := c.run(ctx, "updating a dataset", w); err != nil {
		return dataset.Dataset{}, err
	}
	return c.Dataset(ctx, u.Tenant, u.DatasetID)
}

// change is the action on the head.
func (c *Catalog) change(u dataset.Update) types.TransactWriteItem {
	set := []string{"updated_at = :now", nextVersion}
	names := map[string]string{}
	values := item{":now": moment(c.now()), ":one": number(firstVersion)}
	if u.Name != nil {
		set = append(set, "#name = :name")
		names["#name"], values[":name"] = "name", text(*u.Name) // the word is DynamoDB's own
	}
	if u.Metadata != nil {
		set = append(set, "metadata = :metadata")
		values[":metadata"] = text(string(u.Metadata))
	}
	if u.IngestOrder != nil {
		set = append(set, "ingest_order = :order")
		values[":order"] = text(string(*u.IngestOrder))
	}
	condition := isThere
	if u.IfVersion != 0 {
		values[":version"] = number(u.IfVersion)
		condition += " AND " + isVersion(u.IfVersion)
	}
	if len(names) == 0 {
		names = nil // DynamoDB takes no empty map
	}
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &c.table, Key: key(datasetPK(u.Tenant, u.DatasetID), headSK),
		UpdateExpression:         aws.String("SET " + strings.Join(set, ", ")),
		ConditionExpression:      &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// updating is the write of an update: the head, and the request if it has a key.
type updating struct {
	dataset.Update
	catalog     *Catalog
	transaction *dynamodb.TransactWriteItemsInput
}

func (w *updating) input(context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	return w.transaction, nil
}

// refused decides in the order of the contract. DynamoDB need not name every
// condition that failed, so what it leaves out is read.
func (w *updating) refused(ctx context.Context, reasons []types.CancellationReason) error {
	headItem, headFailed := failed(reasons, 0)
	requestItem, requestFailed := failed(reasons, 1)
	if !headFailed && !requestFailed {
		if inTheWay(reasons) {
			return errAgain
		}
		return unexpected("updating a dataset", reasons)
	}
	var err error
	if !headFailed {
		if headItem, err = w.catalog.get(ctx, "reading a dataset", key(datasetPK(w.Tenant, w.DatasetID), headSK)); err != nil {
			return err
		}
	}
	h, err := readHead(headItem)
	if err != nil {
		return err
	}
	if !requestFailed {
		if requestItem, err = w.catalog.request(ctx, w.Tenant, w.Idempotency); err != nil {
			return err
		}
	}
	if requestItem != nil {
		_, err = earlier(requestItem, kindUpdate, w.DatasetID, w.Idempotency)
		return err
	}
	return dataset.ErrVersionMismatch(h.Version)
}
