package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/dataset"
)

var _ dataset.Progress = (*Catalog)(nil)

// Progress implements dataset.Progress.
func (c *Catalog) Progress(ctx context.Context, task string) ([]byte, error) {
	i, err := c.get(ctx, "reading how far a task is", key(taskPK(task), onlySK))
	if err != nil {
		return nil, err
	}
	f := fields{item: i}
	state := f.binary("progress")
	return state, f.err
}

// SaveProgress implements dataset.Progress.
func (c *Catalog) SaveProgress(ctx context.Context, task string, state []byte) error {
	_, err := c.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: key(taskPK(task), onlySK),
		UpdateExpression:          aws.String("SET progress = :progress"),
		ExpressionAttributeValues: item{":progress": binary(state)},
	})
	if err != nil && throttled(err) {
		return busy(err)
	}
	if err != nil {
		return fmt.Errorf("saving how far a task is: %w", err)
	}
	return nil
}

// TableID is the id that DynamoDB gave the table: another one than that of every
// other table, of the same name too, and so of one that was restored from a copy.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
func (c *Catalog) TableID(ctx context.Context) (string, error) {
	out, err := c.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &c.table})
	if err != nil {
		return "", unread("describing the table", err)
	}
	if id := aws.ToString(out.Table.TableId); id != "" {
		return id, nil
	}
	if made := out.Table.CreationDateTime; made != nil { // DynamoDB Local gives no ids
		return made.UTC().Format(time.RFC3339Nano), nil
	}
	return "", errors.New("describing the table: it has no id")
}
