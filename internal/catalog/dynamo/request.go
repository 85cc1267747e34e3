package dynamo

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
)

// The kinds of requests that are remembered. A key of one kind is another
// request in any other.
const (
	kindCreate = "create"
	kindUpdate = "update"
	kindAppend = "append"
	kindUpload = "create upload"
	kindDelete = "delete"
	kindDrop   = "delete dataset"

	kindSetAsset    = "set asset"
	kindDeleteAsset = "delete asset"
)

// request is what is remembered of a write under its Idempotency-Key.
type request struct {
	kind        string
	datasetID   string
	fingerprint string
	files       []dataset.File // the answer of an append
	uploadID    string         // what the creation of an upload made
	deleted     record.Deleted // the answer of a deletion
	gone        record.AssetDeleted
	expires     int64 // Unix seconds
}

// remember writes down a request, in the place of one whose time is over:
// DynamoDB deletes those when it finds the time.
func (c *Catalog) remember(tenant string, idem dataset.Idempotency, r request) (types.TransactWriteItem, error) {
	now := c.now()
	i := key(requestPK(tenant, idem.Key), onlySK)
	i["kind"] = text(r.kind)
	i["dataset_id"] = text(r.datasetID)
	i["fingerprint"] = text(idem.Fingerprint)
	i[expiresAt] = number(now.Add(dataset.IdempotencyWindow).Unix())
	if r.kind == kindUpload {
		i["upload_id"] = text(r.uploadID)
	}
	var answer []byte
	var err error
	switch r.kind {
	case kindAppend:
		answer, err = record.EncodeFiles(r.files)
	case kindDelete:
		answer, err = r.deleted.Encode()
	case kindDeleteAsset:
		answer, err = r.gone.Encode()
	}
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	if answer != nil {
		i["answer"] = binary(answer)
	}
	action := c.put(i)
	action.Put.ConditionExpression = aws.String("attribute_not_exists(pk) OR expires_at <= :now")
	action.Put.ExpressionAttributeValues = item{":now": number(now.Unix())}
	return action, nil
}

// request finds the request that came with an Idempotency-Key before, unless its
// time is over; nil when there is none.
func (c *Catalog) request(ctx context.Context, tenant string, idem dataset.Idempotency) (item, error) {
	if idem.Key == "" {
		return nil, nil
	}
	i, err := c.get(ctx, "reading a request", key(requestPK(tenant, idem.Key), onlySK))
	if err != nil {
		return nil, err
	}
	if f := (fields{item: i}); i == nil || f.number(expiresAt) <= c.now().Unix() {
		return nil, nil
	}
	return i, nil
}

// earlier reads the request that came with an Idempotency-Key before.
// Errors: CodeIdempotencyKeyReused, when it was not of this kind, about this
// dataset ("" for any) and with the same fingerprint.
func earlier(i item, kind, datasetID string, idem dataset.Idempotency) (request, error) {
	f := fields{item: i}
	r := request{
		kind: f.text("kind"), datasetID: f.text("dataset_id"),
		fingerprint: f.text("fingerprint"), expires: f.number(expiresAt), uploadID: f.text("upload_id"),
	}
	answer := f.binary("answer")
	if f.err != nil {
		return request{}, f.err
	}
	if r.fingerprint != idem.Fingerprint || r.kind != kind || (datasetID != "" && r.datasetID != datasetID) {
		return request{}, dataset.ErrIdempotencyKeyReused()
	}
	var err error
	switch r.kind {
	case kindAppend:
		r.files, err = record.DecodeFiles(answer)
	case kindDelete:
		r.deleted, err = record.DecodeDeleted(answer)
	case kindDeleteAsset:
		r.gone, err = record.DecodeAssetDeleted(answer)
	}
	return r, err
}
