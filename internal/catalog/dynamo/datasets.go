package dynamo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// head is a dataset's head: all of it but the schema.
type head struct {
	dataset.Dataset
	schemaKey []byte // nil until the first file
}

// firstVersion is a new dataset's, and that of a head from before versions were
// counted.
const firstVersion = 1

// nextVersion is the part of an update's SET that counts a change. Its value :one
// is the first version and the step to the next.
const nextVersion = "dataset_version = if_not_exists(dataset_version, :one) + :one"

// isThere is the condition that a head is one of a dataset that was not deleted.
const isThere = "attribute_exists(pk) AND attribute_not_exists(deleted_at)"

// isVersion is the condition that a head has the version in the value :version.
func isVersion(version int64) string {
	if version == firstVersion {
		return "(attribute_not_exists(dataset_version) OR dataset_version = :version)"
	}
	return "dataset_version = :version"
}

func newHead(tenant string, d dataset.Dataset) item {
	i := key(datasetPK(tenant, d.ID), headSK)
	i["id"] = text(d.ID)
	i["name"] = text(d.Name)
	if d.Metadata != nil {
		i["metadata"] = text(string(d.Metadata))
	}
	if d.IngestOrder != dataset.IngestArrival {
		i["ingest_order"] = text(string(d.IngestOrder))
	}
	i["created_at"] = moment(d.CreatedAt)
	i["updated_at"] = moment(d.CreatedAt)
	i["dataset_version"] = number(firstVersion)
	for _, counter := range []string{"file_count", "total_bytes", "total_rows", "next_position"} {
		i[counter] = number(0)
	}
	return i
}

// readHead reads a head item.
// Errors: CodeDatasetNotFound when there is none, and when it is a deleted
// dataset's.
func readHead(i item) (head, error) {
	if len(i) == 0 || i[deletedAt] != nil {
		return head{}, dataset.ErrDatasetNotFound()
	}
	f := fields{item: i}
	h := head{
		Dataset: dataset.Dataset{
			ID: f.text("id"), Name: f.text("name"),
			CreatedAt: f.moment("created_at"), UpdatedAt: f.moment("updated_at"),
			FileCount: f.number("file_count"), TotalSizeBytes: f.number("total_bytes"), TotalRows: f.number("total_rows"),
			NextPosition: f.number("next_position"), Version: firstVersion,
		},
		schemaKey: f.binary("schema_key"),
	}
	if f.has("dataset_version") {
		h.Version = f.number("dataset_version")
	}
	if f.has("ingest_order") {
		h.IngestOrder = dataset.IngestOrder(f.text("ingest_order"))
	}
	if f.has("metadata") {
		h.Metadata = json.RawMessage(f.text("metadata"))
	}
	return h, f.err
}

// whole puts a head and the schema item together.
func whole(headItem, schemaItem item) (dataset.Dataset, error) {
	h, err := readHead(headItem)
	if err != nil || h.schemaKey == nil {
		return h.Dataset, err // a schema item without its key came after this head
	}
	if schemaItem == nil {
		return dataset.Dataset{}, errUnsettled
	}
	s, err := readSchema(schemaItem)
	if err != nil {
		return dataset.Dataset{}, err
	}
	h.Schema, h.SchemaFile = &s.Schema, s.File
	return h.Dataset, nil
}

func readSchema(i item) (record.Schema, error) {
	f := fields{item: i}
	body := f.binary("schema")
	if f.err != nil {
		return record.Schema{}, f.err
	}
	return record.DecodeSchema(body)
}

// Dataset implements dataset.Catalog.
func (c *Catalog) Dataset(ctx context.Context, tenant, datasetID string) (dataset.Dataset, error) {
	if !exist(tenant, datasetID) {
		return dataset.Dataset{}, dataset.ErrDatasetNotFound()
	}
	var found dataset.Dataset
	err := c.settled(ctx, func() error {
		items, err := c.query(ctx, "reading a dataset", datasetPK(tenant, datasetID), headSK, schemaSK)
		if err != nil {
			return err
		}
		found, err = whole(split(items))
		return err
	})
	return found, err
}

// Exists implements dataset.Catalog.
func (c *Catalog) Exists(ctx context.Context, tenant, datasetID string) error {
	if !exist(tenant, datasetID) {
		return dataset.ErrDatasetNotFound()
	}
	_, err := c.readHead(ctx, datasetPK(tenant, datasetID))
	return err
}

// readHead reads a dataset's head from the table.
// Errors: CodeDatasetNotFound.
func (c *Catalog) readHead(ctx context.Context, partition string) (head, error) {
	i, err := c.get(ctx, "reading a dataset", key(partition, headSK))
	if err != nil {
		return head{}, err
	}
	return readHead(i)
}

// split takes the head and the schema out of a query's items, where they come
// first.
func split(items []item) (headItem, schemaItem item) {
	for _, i := range items[:min(2, len(items))] {
		switch idOf(i).sk {
		case headSK:
			headItem = i
		case schemaSK:
			schemaItem = i
		}
	}
	return headItem, schemaItem
}

// exist keeps keys that no item has, or that DynamoDB would not take, away
// from it.
func exist(tenant, datasetID string) bool {
	return dataset.IDCanExist(tenant) && dataset.IDCanExist(datasetID)
}

// Datasets implements dataset.Catalog.
func (c *Catalog) Datasets(ctx context.Context, tenant, after string, limit int) (dataset.DatasetPage, error) {
	if !dataset.IDCanExist(tenant) || (after != "" && !dataset.IDCanExist(after)) {
		return dataset.DatasetPage{}, nil
	}
	limit = max(limit, 1)
	in := &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: item{":pk": text(tenantPK(tenant))},
		ScanIndexForward:          aws.Bool(false),
	}
	if after != "" {
		in.KeyConditionExpression = aws.String("pk = :pk AND sk < :after")
		in.ExpressionAttributeValues[":after"] = text(datasetSK(after))
	}
	items, err := c.queryPages(ctx, "listing datasets", limit+1, in)
	if err != nil {
		return dataset.DatasetPage{}, err
	}
	var page dataset.DatasetPage
	more := len(items) > limit
	if more {
		items = items[:limit]
	}
	if page.Datasets, err = c.datasets(ctx, tenant, items); err != nil {
		return dataset.DatasetPage{}, err
	}
	if more {
		page.Next = datasetIDOf(items[limit-1])
	}
	return page, nil
}

// datasetIDOf is the id that an item of a tenant's partition names.
func datasetIDOf(i item) string { return strings.TrimPrefix(idOf(i).sk, datasetSK("")) }

// datasets reads the datasets that items of a tenant's partition name, without
// those that were deleted meanwhile.
func (c *Catalog) datasets(ctx context.Context, tenant string, items []item) ([]dataset.Dataset, error) {
	datasetIDs := make([]string, len(items))
	ids := make([]id, 0, 2*len(items))
	for n, i := range items {
		datasetIDs[n] = datasetIDOf(i)
		partition := datasetPK(tenant, datasetIDs[n])
		ids = append(ids, id{partition, headSK}, id{partition, schemaSK})
	}
	found, err := c.batchGet(ctx, "listing datasets", ids)
	if err != nil {
		return nil, err
	}
	list := make([]dataset.Dataset, 0, len(items))
	for _, datasetID := range datasetIDs {
		partition := datasetPK(tenant, datasetID)
		d, err := whole(found[id{partition, headSK}], found[id{partition, schemaSK}])
		if errors.Is(err, errUnsettled) {
			d, err = c.Dataset(ctx, tenant, datasetID)
		}
		if fault.Is(err, fault.CodeDatasetNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// CreateDataset implements dataset.Catalog.
func (c *Catalog) CreateDataset(ctx context.Context, tenant string, d dataset.Dataset, idem dataset.Idempotency) (dataset.Dataset, error) {
	if !exist(tenant, d.ID) || d.CreatedAt.IsZero() {
		return dataset.Dataset{}, errors.New("creating a dataset: it needs a tenant, an id and a time")
	}
	index := key(tenantPK(tenant), datasetSK(d.ID))
	headItem := newHead(tenant, d)
	actions := []types.TransactWriteItem{c.put(headItem), c.put(index)}
	if idem.Key != "" {
		action, err := c.remember(tenant, idem, request{kind: kindCreate, datasetID: d.ID})
		if err != nil {
			return dataset.Dataset{}, err
		}
		actions = append(actions, action)
	}
	w := &creation{transaction: transaction(actions), idempotency: idem}
	if err := c.run(ctx, "creating a dataset", w); err != nil {
		return dataset.Dataset{}, err
	}
	if w.earlier {
		return c.Dataset(ctx, tenant, cmp.Or(w.datasetID, d.ID))
	}
	h, err := readHead(headItem)
	return h.Dataset, err
}

// creation is the write of a new dataset: its head, its place in the tenant's
// list, and the request if it has a key.
type creation struct {
	transaction *dynamodb.TransactWriteItemsInput
	idempotency dataset.Idempotency
	earlier     bool   // an earlier request or try created
	datasetID   string // what an earlier request created
}

func (w *creation) input(context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	return w.transaction, nil
}

func (w *creation) refused(_ context.Context, reasons []types.CancellationReason) error {
	if i, ok := failed(reasons, 2); ok {
		r, err := earlier(i, kindCreate, "", w.idempotency)
		w.earlier, w.datasetID = true, r.datasetID
		return err
	}
	if _, ok := failed(reasons, 0); ok { // ids are unique, so this is an earlier try
		w.earlier = true
		return nil
	}
	if inTheWay(reasons) {
		return errAgain
	}
	return unexpected("creating a dataset", reasons)
}
