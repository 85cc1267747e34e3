package dynamo

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
)

var _ dataset.Uploads = (*Catalog)(nil)

func uploadItem(tenant string, u dataset.Upload) (item, error) {
	draft, err := record.EncodeDraft(u.Asset)
	if err != nil {
		return nil, err
	}
	i := key(uploadPK(tenant, u.ID), onlySK)
	i["upload_id"] = text(u.ID)
	i["dataset_id"] = text(u.DatasetID)
	i["file_id"] = text(u.FileID)
	i["file_name"] = text(u.FileName)
	i["size_bytes"] = number(u.SizeBytes)
	i["part_bytes"] = number(u.PartSize)
	i["checksum"] = text(u.Checksum)
	i["object_key"] = text(u.ObjectKey)
	i["parts_id"] = text(u.PartsID)
	i["upload_state"] = text(string(dataset.UploadOpen))
	i["created_at"] = moment(u.CreatedAt)
	i["valid_until"] = number(u.ExpiresAt.UnixMicro())
	i[expiresAt] = keptUntil(u)
	if draft != "" {
		i["draft"] = text(draft)
	}
	return i, nil
}

// keptUntil is when DynamoDB may forget an upload.
func keptUntil(u dataset.Upload) types.AttributeValue {
	return number(u.CreatedAt.Add(dataset.UploadKept).Unix())
}

// readUpload reads an upload's item.
// Errors: CodeUploadNotFound when there is none, or when it is the record of a
// file that was no upload.
func readUpload(i item, id string) (dataset.Upload, error) {
	u, err := readRecorded(i)
	if err == nil && (u.ID == "" || u.ID != id) {
		err = dataset.ErrUploadNotFound(id)
	}
	return u, err
}

// readRecorded reads the record of a file id: an upload, or what one would be
// whose file is there. Without an item it is zero.
func readRecorded(i item) (dataset.Upload, error) {
	if len(i) == 0 {
		return dataset.Upload{}, nil
	}
	f := fields{item: i}
	u := dataset.Upload{
		ID: f.text("upload_id"), DatasetID: f.text("dataset_id"), FileID: f.text("file_id"), FileName: f.text("file_name"),
		SizeBytes: f.number("size_bytes"), PartSize: f.number("part_bytes"), Checksum: f.text("checksum"),
		ObjectKey: f.text("object_key"), PartsID: f.text("parts_id"), State: dataset.UploadState(f.text("upload_state")),
		CreatedAt: f.moment("created_at"), ExpiresAt: time.UnixMicro(f.number("valid_until")).UTC(),
		RowCount: f.number("row_count"), CRC64NVME: f.text("crc64nvme"),
		Position: f.number("file_position"), UploadedAt: f.moment("uploaded_at"), Version: f.number("asset_version"),
	}
	copy(u.SchemaKey[:], f.binary("schema_key"))
	if f.err != nil {
		return u, f.err
	}
	var err error
	u.Asset, err = record.DecodeDraft(f.text("draft"))
	return u, err
}

// CreateUpload implements dataset.Uploads.
func (c *Catalog) CreateUpload(ctx context.Context, tenant string, u dataset.Upload, idem dataset.Idempotency) (dataset.Upload, error) {
	if !exist(tenant, u.ID) || u.FileID != dataset.FileIDOf(u.ID) || !dataset.IDCanExist(u.DatasetID) && u.Asset == nil || u.CreatedAt.IsZero() || u.ExpiresAt.IsZero() {
		return dataset.Upload{}, errors.New("creating an upload: it needs a tenant, three ids and two times")
	}
	session, err := uploadItem(tenant, u)
	if err != nil {
		return dataset.Upload{}, err
	}
	actions := []types.TransactWriteItem{c.put(session)}
	lists := []string{uploadsPK(tenant, "")}
	if !u.OutsideDatasets() {
		lists = append(lists, uploadsPK(tenant, u.DatasetID))
	}
	for _, list := range lists {
		entry := key(list, u.ID)
		entry[expiresAt] = keptUntil(u)
		actions = append(actions, c.put(entry))
	}
	w := &uploadCreation{idempotency: idem, request: -1}
	if idem.Key != "" {
		action, err := c.remember(tenant, idem, request{kind: kindUpload, datasetID: u.DatasetID, uploadID: u.ID})
		if err != nil {
			return dataset.Upload{}, err
		}
		w.request = len(actions)
		actions = append(actions, action)
	}
	w.transaction = transaction(actions)
	if err := c.run(ctx, "creating an upload", w); err != nil {
		return dataset.Upload{}, err
	}
	if w.earlier {
		return c.Upload(ctx, tenant, cmp.Or(w.uploadID, u.ID))
	}
	return readUpload(session, u.ID)
}

// uploadCreation is the write of a new upload: the upload, its places in the
// two lists, and the request if it has a key.
type uploadCreation struct {
	transaction *dynamodb.TransactWriteItemsInput
	idempotency dataset.Idempotency
	request     int    // where the request is, or -1
	earlier     bool   // an earlier request or try created
	uploadID    string // what an earlier request created
}

func (w *uploadCreation) input(context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	return w.transaction, nil
}

func (w *uploadCreation) refused(_ context.Context, reasons []types.CancellationReason) error {
	if i, ok := failed(reasons, w.request); ok {
		r, err := earlier(i, kindUpload, "", w.idempotency)
		w.earlier, w.uploadID = true, r.uploadID
		return err
	}
	if _, ok := failed(reasons, 0); ok { // ids are unique, so this is an earlier try
		w.earlier = true
		return nil
	}
	if inTheWay(reasons) {
		return errAgain
	}
	return unexpected("creating an upload", reasons)
}

// CreatedUpload implements dataset.Uploads.
func (c *Catalog) CreatedUpload(ctx context.Context, tenant string, idem dataset.Idempotency) (dataset.Upload, error) {
	if idem.Key == "" || !dataset.IDCanExist(tenant) {
		return dataset.Upload{}, dataset.ErrUploadNotFound("")
	}
	i, err := c.get(ctx, "reading a request", key(requestPK(tenant, idem.Key), onlySK))
	if err != nil {
		return dataset.Upload{}, err
	}
	if f := (fields{item: i}); i == nil || f.number(expiresAt) <= c.now().Unix() {
		return dataset.Upload{}, dataset.ErrUploadNotFound("")
	}
	r, err := earlier(i, kindUpload, "", idem)
	if err != nil {
		return dataset.Upload{}, err
	}
	return c.Upload(ctx, tenant, r.uploadID)
}

// Upload implements dataset.Uploads.
func (c *Catalog) Upload(ctx context.Context, tenant, id string) (dataset.Upload, error) {
	if !exist(tenant, id) {
		return dataset.Upload{}, dataset.ErrUploadNotFound(id)
	}
	i, err := c.get(ctx, "reading an upload", key(uploadPK(tenant, id), onlySK))
	if err != nil {
		return dataset.Upload{}, err
	}
	return readUpload(i, id)
}

// UploadsByID implements dataset.Uploads.
func (c *Catalog) UploadsByID(ctx context.Context, tenant string, uploadIDs []string) ([]dataset.Upload, error) {
	var ids []id
	for _, u := range uploadIDs {
		if exist(tenant, u) {
			ids = append(ids, id{uploadPK(tenant, u), onlySK})
		}
	}
	found, err := c.batchGet(ctx, "reading uploads", ids)
	if err != nil {
		return nil, err
	}
	var uploads []dataset.Upload
	for _, uploadID := range uploadIDs {
		u, err := readRecorded(found[id{uploadPK(tenant, uploadID), onlySK}])
		if err != nil {
			return nil, err
		}
		if u.ID != "" && u.ID == uploadID {
			uploads = append(uploads, u)
		}
	}
	return uploads, nil
}

// UploadSchema implements dataset.Uploads.
func (c *Catalog) UploadSchema(ctx context.Context, tenant, id string) (schema.Schema, error) {
	if !exist(tenant, id) {
		return schema.Schema{}, dataset.ErrUploadNotFound(id)
	}
	i, err := c.get(ctx, "reading an upload's schema", key(uploadPK(tenant, id), schemaSK))
	if err != nil {
		return schema.Schema{}, err
	}
	if i == nil {
		return schema.Schema{}, dataset.ErrUploadNotFound(id)
	}
	s, err := readSchema(i)
	return s.Schema, err
}

// CompleteUpload implements dataset.Uploads.
func (c *Catalog) CompleteUpload(ctx context.Context, tenant, id string, done dataset.Completion) (dataset.Upload, error) {
	u, err := c.Upload(ctx, tenant, id)
	if err != nil {
		return dataset.Upload{}, err
	}
	set := "SET upload_state = :complete, valid_until = :until, row_count = :rows, crc64nvme = :crc"
	values := item{
		":open": state(dataset.UploadOpen), ":complete": state(dataset.UploadComplete), ":now": number(c.now().UnixMicro()),
		":until": number(done.ExpiresAt.UnixMicro()), ":rows": number(done.RowCount), ":crc": text(done.CRC64NVME),
	}
	var schemaKey [32]byte
	var more []types.TransactWriteItem
	if !u.OutsideDatasets() {
		body, err := record.Schema{Schema: done.Schema, File: u.FileName}.Encode()
		if err != nil {
			return dataset.Upload{}, err
		}
		schemaItem := key(uploadPK(tenant, id), schemaSK)
		schemaItem["schema"] = binary(body)
		schemaItem[expiresAt] = keptUntil(u)
		schemaKey = done.Schema.Key()
		set, values[":schema"] = set+", schema_key = :schema", binary(schemaKey[:])
		more = append(more, c.put(schemaItem))
	}
	w := &settling{id: id, now: c.now, already: []dataset.UploadState{dataset.UploadComplete, dataset.UploadAppended}}
	w.transaction = transaction(append([]types.TransactWriteItem{
		c.settle(key(uploadPK(tenant, id), onlySK), set, "upload_state = :open AND valid_until > :now", values),
	}, more...))
	if err := c.run(ctx, "completing an upload", w); err != nil {
		return dataset.Upload{}, err
	}
	if w.met != nil {
		return *w.met, nil
	}
	u.State, u.ExpiresAt, u.RowCount, u.CRC64NVME, u.SchemaKey =
		dataset.UploadComplete, time.UnixMicro(done.ExpiresAt.UnixMicro()).UTC(), done.RowCount, done.CRC64NVME, schemaKey
	return u, nil
}

// AbortUpload implements dataset.Uploads.
func (c *Catalog) AbortUpload(ctx context.Context, tenant, id string) (dataset.Upload, error) {
	u, err := c.Upload(ctx, tenant, id)
	if err != nil {
		return dataset.Upload{}, err
	}
	w := &settling{id: id, now: c.now, already: []dataset.UploadState{dataset.UploadAborted}}
	w.transaction = transaction([]types.TransactWriteItem{
		c.settle(key(uploadPK(tenant, id), onlySK), "SET upload_state = :aborted", "upload_state IN (:open, :complete)", item{
			":open": state(dataset.UploadOpen), ":complete": state(dataset.UploadComplete), ":aborted": state(dataset.UploadAborted),
		}),
	})
	if err := c.run(ctx, "aborting an upload", w); err != nil {
		return dataset.Upload{}, err
	}
	if w.met != nil {
		return *w.met, nil
	}
	u.State = dataset.UploadAborted
	return u, nil
}

func state(s dataset.UploadState) types.AttributeValue { return text(string(s)) }

// settle changes an upload's item under a condition and asks for the item that
// does not meet it.
func (c *Catalog) settle(id item, set, condition string, values item) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &c.table, Key: id, UpdateExpression: &set, ConditionExpression: &condition, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// settling is the write that moves one upload to its next state, unless it is
// in one of some states already.
type settling struct {
	transaction *dynamodb.TransactWriteItemsInput
	id          string
	now         func() time.Time
	already     []dataset.UploadState
	met         *dataset.Upload // the upload that is in one of them
}

func (w *settling) input(context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	return w.transaction, nil
}

func (w *settling) refused(_ context.Context, reasons []types.CancellationReason) error {
	i, ok := failed(reasons, 0)
	if !ok {
		if inTheWay(reasons) {
			return errAgain
		}
		return unexpected("settling an upload", reasons)
	}
	u, err := readUpload(i, w.id)
	if err != nil {
		return err
	}
	for _, s := range w.already {
		if u.State == s && !u.Expired(w.now()) {
			w.met = &u
			return nil
		}
	}
	return dataset.ErrUploadClosed(u, w.now())
}

// ListUploads implements dataset.Uploads.
func (c *Catalog) ListUploads(ctx context.Context, tenant, datasetID, after string, limit int) (dataset.UploadPage, error) {
	if !dataset.IDCanExist(tenant) || (after != "" && !dataset.IDCanExist(after)) || (datasetID != "" && !dataset.IDCanExist(datasetID)) {
		return dataset.UploadPage{}, nil
	}
	limit = max(limit, 1)
	in := &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: item{":pk": text(uploadsPK(tenant, datasetID))},
		ScanIndexForward:          aws.Bool(false),
	}
	if after != "" {
		in.KeyConditionExpression = aws.String("pk = :pk AND sk < :after")
		in.ExpressionAttributeValues[":after"] = text(after)
	}
	items, err := c.queryPages(ctx, "listing uploads", limit+1, in)
	if err != nil {
		return dataset.UploadPage{}, err
	}
	ids := make([]string, 0, len(items))
	for _, i := range items {
		ids = append(ids, idOf(i).sk)
	}
	var page dataset.UploadPage
	if len(ids) > limit {
		ids = ids[:limit]
		page.Next = ids[limit-1]
	}
	page.Uploads, err = c.UploadsByID(ctx, tenant, ids)
	return page, err
}

// settleUpload makes a file's upload appended, if it is ready. From then on its
// item is the file's record, which does not expire.
func (w *appending) settleUpload(uploadID string, f dataset.File, info asset.Info) (types.TransactWriteItem, error) {
	set := "SET upload_state = :appended, file_position = :position, uploaded_at = :at"
	values := item{
		":complete": state(dataset.UploadComplete), ":appended": state(dataset.UploadAppended),
		":now": number(w.catalog.now().UnixMicro()), ":dataset": text(w.DatasetID),
		":position": number(f.Position), ":at": moment(f.UploadedAt),
	}
	if !info.Empty() {
		said := dataset.FileAsset(w.DatasetID, f)
		said.Info, said.Revision = info, firstRevision
		body, err := record.EncodeAsset(said)
		if err != nil {
			return types.TransactWriteItem{}, err
		}
		set += ", asset = :asset, asset_revision = :revision"
		values[":asset"], values[":revision"] = text(body), number(said.Revision)
	}
	return w.catalog.settle(key(uploadPK(w.Tenant, uploadID), onlySK), set+" REMOVE draft, "+expiresAt,
		"upload_state = :complete AND valid_until > :now AND dataset_id = :dataset", values), nil
}

// unready says why an upload that was met can't be appended.
func (w *appending) unready(i item, uploadID string) error {
	u, err := readUpload(i, uploadID)
	if err != nil {
		return err
	}
	if err := dataset.CheckUpload(u, w.DatasetID, w.catalog.now()); err != nil {
		return err
	}
	return errAgain // the clock went back
}
