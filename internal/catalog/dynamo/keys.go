package dynamo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/keys"
)

func keyItem(k keys.Key) item {
	i := key(keyPK(k.Hash), onlySK)
	i["id"] = text(k.ID)
	i["tenant"] = text(k.Tenant)
	i["name"] = text(k.Name)
	i["prefix"] = text(k.Prefix)
	i["scopes"] = texts(k.Scopes)
	i["datasets"] = texts(k.Datasets)
	i["hash"] = binary(k.Hash[:])
	i["created_at"] = moment(k.CreatedAt)
	if !k.ExpiresAt.IsZero() {
		i["valid_until"] = moment(k.ExpiresAt) // not expires_at: an expired key stays in the list
	}
	if !k.RevokedAt.IsZero() {
		i["revoked_at"] = moment(k.RevokedAt)
	}
	return i
}

func readKey(i item) (keys.Key, error) {
	f := fields{item: i}
	k := keys.Key{
		ID: f.text("id"), Tenant: f.text("tenant"), Name: f.text("name"), Prefix: f.text("prefix"),
		Scopes: list[keys.Scope](&f, "scopes"), Datasets: list[string](&f, "datasets"),
		CreatedAt: f.moment("created_at"), ExpiresAt: f.moment("valid_until"), RevokedAt: f.moment("revoked_at"),
	}
	if copy(k.Hash[:], f.binary("hash")) != len(k.Hash) && f.err == nil {
		f.err = errors.New("a stored key's hash is too short")
	}
	return k, f.err
}

// AddKey implements keys.Store.
func (c *Catalog) AddKey(ctx context.Context, k keys.Key) error {
	index := key(keysPK, k.ID)
	index["tenant"] = text(k.Tenant)
	index["hash"] = binary(k.Hash[:])
	w := &keyAddition{
		key:         k,
		transaction: transaction([]types.TransactWriteItem{c.put(keyItem(k)), c.put(index)}),
	}
	return c.run(ctx, "adding a key", w)
}

// keyAddition is the write of a new key.
type keyAddition struct {
	key         keys.Key
	transaction *dynamodb.TransactWriteItemsInput
}

func (w *keyAddition) input(context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	return w.transaction, nil
}

func (w *keyAddition) refused(_ context.Context, reasons []types.CancellationReason) error {
	if i, ok := failed(reasons, 0); ok {
		have, err := readKey(i)
		if err != nil {
			return err
		}
		if have.ID == w.key.ID {
			return nil // an earlier try of this call
		}
	}
	if inTheWay(reasons) {
		return errAgain
	}
	return unexpected("adding a key", reasons)
}

// KeyByHash implements keys.Store.
func (c *Catalog) KeyByHash(ctx context.Context, hash [32]byte) (keys.Key, error) {
	i, err := c.get(ctx, "reading a key", key(keyPK(hash), onlySK))
	if err != nil {
		return keys.Key{}, err
	}
	if i == nil {
		return keys.Key{}, keys.ErrNotFound()
	}
	return readKey(i)
}

// Keys implements keys.Store.
func (c *Catalog) Keys(ctx context.Context, tenant string) ([]keys.Key, error) {
	items, err := c.queryPages(ctx, "listing keys", 0, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: item{":pk": text(keysPK)},
	})
	if err != nil {
		return nil, err
	}
	var ids []id
	for _, i := range items {
		f := fields{item: i}
		owner, hash := f.text("tenant"), f.binary("hash")
		if f.err != nil {
			return nil, f.err
		}
		if tenant == "" || tenant == owner {
			ids = append(ids, id{"K#" + hex.EncodeToString(hash), onlySK})
		}
	}
	return c.keysWith(ctx, ids)
}

// keysWith reads keys in the order given.
func (c *Catalog) keysWith(ctx context.Context, ids []id) ([]keys.Key, error) {
	found, err := c.batchGet(ctx, "listing keys", ids)
	if err != nil {
		return nil, err
	}
	var all []keys.Key
	for _, i := range ids {
		if found[i] == nil {
			continue // it is being added
		}
		k, err := readKey(found[i])
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

// maxKeyID keeps ids that no key has, or that DynamoDB would not take, away
// from it.
const maxKeyID = 64

// RevokeKey implements keys.Store.
func (c *Catalog) RevokeKey(ctx context.Context, keyID string, at time.Time) (keys.Key, error) {
	if keyID == "" || len(keyID) > maxKeyID {
		return keys.Key{}, keys.ErrNotFound()
	}
	index, err := c.get(ctx, "revoking a key", key(keysPK, keyID))
	if err != nil {
		return keys.Key{}, err
	}
	if index == nil {
		return keys.Key{}, keys.ErrNotFound()
	}
	f := fields{item: index}
	hash := f.binary("hash")
	if f.err != nil {
		return keys.Key{}, f.err
	}
	out, err := c.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: key("K#"+hex.EncodeToString(hash), onlySK),
		UpdateExpression:          aws.String("SET revoked_at = if_not_exists(revoked_at, :at)"),
		ConditionExpression:       aws.String("attribute_exists(pk)"),
		ExpressionAttributeValues: item{":at": moment(at)},
		ReturnValues:              types.ReturnValueAllNew,
	})
	if err != nil {
		return keys.Key{}, fmt.Errorf("revoking a key: %w", err)
	}
	return readKey(out.Attributes)
}
