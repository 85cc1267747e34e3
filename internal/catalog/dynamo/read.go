package dynamo

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/fault"
)

// get reads one item; it returns nil when there is none.
func (c *Catalog) get(ctx context.Context, doing string, id item) (item, error) {
	out, err := c.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &c.table, Key: id, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, unread(doing, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	return out.Item, nil
}

// query reads the items of a partition whose sort keys are from one to another,
// both included, in order.
func (c *Catalog) query(ctx context.Context, doing, partition, from, to string) ([]item, error) {
	return c.queryPages(ctx, doing, 0, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{":pk": text(partition), ":from": text(from), ":to": text(to)},
	})
}

// queryPages reads up to atMost items of a query, or all of them when it is 0.
// DynamoDB answers 1 MB at a time.
func (c *Catalog) queryPages(ctx context.Context, doing string, atMost int, in *dynamodb.QueryInput) ([]item, error) {
	in.TableName, in.ConsistentRead = &c.table, aws.Bool(true)
	var found []item
	for {
		if atMost > 0 {
			in.Limit = aws.Int32(int32(min(atMost-len(found), maxQueryLimit)))
		}
		out, err := c.client.Query(ctx, in)
		if err != nil {
			return nil, unread(doing, err)
		}
		for _, i := range out.Items {
			found = append(found, i)
		}
		if len(out.LastEvaluatedKey) == 0 || (atMost > 0 && len(found) >= atMost) {
			return found, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// maxQueryLimit keeps a page's limit within an int32; 1 MB holds far fewer items.
const maxQueryLimit = 100_000

// batchKeys is the most keys that one BatchGetItem takes.
const batchKeys = 100

// id is a primary key that a map can hold.
type id struct{ pk, sk string }

func idOf(i item) id {
	f := fields{item: i}
	return id{f.text(pk), f.text(sk)}
}

// batchGet reads many items. Those that are not there are not in the result.
func (c *Catalog) batchGet(ctx context.Context, doing string, ids []id) (map[id]item, error) {
	found := make(map[id]item, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), batchKeys)
		some, err := c.batch(ctx, doing, ids[:n])
		if err != nil {
			return nil, err
		}
		maps.Copy(found, some)
		ids = ids[n:]
	}
	return found, nil
}

// batch reads up to batchKeys items. DynamoDB leaves some out beyond 16 MB and
// when it is busy; those are asked for again.
func (c *Catalog) batch(ctx context.Context, doing string, ids []id) (map[id]item, error) {
	wanted := make([]map[string]types.AttributeValue, len(ids))
	for n, i := range ids {
		wanted[n] = key(i.pk, i.sk)
	}
	found := make(map[id]item, len(ids))
	for try := 0; len(wanted) > 0; {
		out, err := c.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
			c.table: {Keys: wanted, ConsistentRead: aws.Bool(true)},
		}})
		if err != nil {
			return nil, unread(doing, err)
		}
		for _, i := range out.Responses[c.table] {
			found[idOf(i)] = i
		}
		if wanted = out.UnprocessedKeys[c.table].Keys; len(wanted) == 0 {
			break
		}
		if len(out.Responses[c.table]) > 0 {
			continue // it is large, not busy
		}
		if try++; try > settleTries {
			return nil, busy(fmt.Errorf("%s: DynamoDB left keys unread", doing))
		}
		if err := c.pause(ctx, try, 1); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
	return found, nil
}

// settleTries bounds how often a reader waits for a transaction that is being
// written, which takes milliseconds.
const settleTries = 8

// errUnsettled says that the items read do not belong together yet.
var errUnsettled = errors.New("a transaction is being written")

// settled repeats a read until it sees whole transactions.
func (c *Catalog) settled(ctx context.Context, read func() error) error {
	for try := 1; ; try++ {
		err := read()
		if !errors.Is(err, errUnsettled) {
			return err
		}
		if try == settleTries {
			return busy(err)
		}
		if err := c.pause(ctx, try, 1); err != nil {
			return fmt.Errorf("waiting for a transaction: %w", err)
		}
	}
}

// unread names the error of a read, after which nothing changed.
func unread(doing string, err error) error {
	if throttled(err) {
		return busy(fmt.Errorf("%s: %w", doing, err))
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func busy(cause error) error {
	return fault.New(fault.CodeUnavailable, "The catalog is busy.", "Try again after a moment.").Because(cause)
}
