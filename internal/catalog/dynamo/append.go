package dynamo

import (
	"bytes"
	"context"
	"math/big"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
)

// Append implements dataset.Catalog. It decides in this order, as every
// catalog does: is there such a dataset, was this request done before, does
// the schema fit, are the uploads ready, are the names free.
func (c *Catalog) Append(ctx context.Context, a dataset.Append) (dataset.Appended, error) {
	if err := a.Check(); err != nil {
		return dataset.Appended{}, err
	}
	if !exist(a.Tenant, a.DatasetID) {
		return dataset.Appended{}, dataset.ErrDatasetNotFound()
	}
	w := &appending{catalog: c, Append: a, partition: datasetPK(a.Tenant, a.DatasetID), schemaKey: a.Schema.Key(), stale: true}
	if err := c.run(ctx, "appending to a dataset", w); err != nil {
		return dataset.Appended{}, err
	}
	return w.answer, nil
}

// appending is the write of an append: the head, the schema of the first file,
// the request if it has a key, an entry and a name for every file, and then the
// uploads that the files come from.
type appending struct {
	dataset.Append
	catalog   *Catalog
	partition string
	schemaKey [32]byte

	head  head
	stale bool // the head is to be read again
	sent  *dynamodb.TransactWriteItemsInput
	at    actions

	answer dataset.Appended
}

// actions says where in the transaction what is.
type actions struct {
	head    int
	request int // -1 when there is none
	files   int // of each file its entry and then its name
}

func (a actions) name(file int) int { return a.files + 2*file + 1 }

// upload is where a file's upload is, in an append of so many files.
func (a actions) upload(file, files int) int { return a.files + 2*files + file }

// input makes the transaction for the head that is known, or reads it first.
func (w *appending) input(ctx context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	if w.stale {
		i, err := w.catalog.get(ctx, "reading a dataset", key(w.partition, headSK))
		if err != nil {
			return nil, err
		}
		if err := w.learn(i); err != nil {
			return nil, err
		}
	}
	if w.otherSchema() {
		return nil, w.mismatch(ctx)
	}
	if w.sent == nil {
		files := w.place()
		in, err := w.transaction(files)
		if err != nil {
			return nil, err
		}
		w.sent, w.answer = in, dataset.Appended{Files: files}
	}
	return w.sent, nil
}

// learn takes a head in. The transaction stays the same one, with the same
// token, while the head does.
// Errors: CodeDatasetNotFound.
func (w *appending) learn(i item) error {
	h, err := readHead(i)
	if err != nil {
		return err
	}
	if h.Version != w.head.Version || h.NextPosition != w.head.NextPosition || !bytes.Equal(h.schemaKey, w.head.schemaKey) {
		w.sent = nil
	}
	w.head, w.stale = h, false
	return nil
}

// place gives the files the next positions.
func (w *appending) place() []dataset.File {
	files := slices.Clone(w.Files)
	for i := range files {
		files[i].Position = w.head.NextPosition + int64(i)
		files[i].UploadedAt = files[i].UploadedAt.UTC().Round(0)
	}
	return files
}

func (w *appending) transaction(files []dataset.File) (*dynamodb.TransactWriteItemsInput, error) {
	c := w.catalog
	w.at = actions{head: 0, request: -1}
	all := []types.TransactWriteItem{w.advance(files)}
	if w.head.schemaKey == nil {
		body, err := record.Schema{Schema: w.Schema, File: files[0].Name}.Encode()
		if err != nil {
			return nil, err
		}
		i := key(w.partition, schemaSK)
		i["schema"] = binary(body)
		all = append(all, c.put(i))
	}
	if w.Idempotency.Key != "" {
		action, err := c.remember(w.Tenant, w.Idempotency, request{kind: kindAppend, datasetID: w.DatasetID, files: files})
		if err != nil {
			return nil, err
		}
		w.at.request = len(all)
		all = append(all, action)
	}
	w.at.files = len(all)
	for _, f := range files {
		all = append(all, c.put(fileItem(w.partition, fileSK(f.Position), f)), c.claim(w.partition, f))
	}
	for n, uploadID := range w.Uploads {
		all = append(all, w.settleUpload(uploadID, files[n]))
	}
	return transaction(all), nil
}

// claim writes the item of a file's name, in the place of a file's that was
// deleted, unless it was this very one.
func (c *Catalog) claim(partition string, f dataset.File) types.TransactWriteItem {
	action := c.put(fileItem(partition, nameSK(f.Name), f))
	action.Put.ConditionExpression = aws.String("attribute_not_exists(pk) OR (attribute_exists(deleted_at) AND id <> :id)")
	action.Put.ExpressionAttributeValues = item{":id": text(f.ID)}
	return action
}

// advance moves the head past new files, if it still is as it was. The version is
// part of that for the sake of deletions: a name that had this append refused may
// be free when a transaction that nobody waits for any more arrives after all.
func (w *appending) advance(files []dataset.File) types.TransactWriteItem {
	size, rows := sums(files)
	n := int64(len(files))
	set := "SET next_position = :next, file_count = file_count + :n, total_bytes = total_bytes + :bytes, total_rows = total_rows + :rows, updated_at = :now, " + nextVersion
	condition := "next_position = :expected AND schema_key = :schema"
	if w.head.schemaKey == nil {
		set += ", schema_key = :schema"
		condition = "next_position = :expected AND attribute_not_exists(schema_key)"
	}
	condition += " AND " + isVersion(w.head.Version)
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &w.catalog.table, Key: key(w.partition, headSK),
		UpdateExpression: &set, ConditionExpression: &condition,
		ExpressionAttributeValues: item{
			":expected": number(w.head.NextPosition), ":next": number(w.head.NextPosition + n), ":n": number(n),
			":bytes": size, ":rows": rows, ":now": moment(w.catalog.now()), ":schema": binary(w.schemaKey[:]), ":one": number(firstVersion),
			":version": number(w.head.Version),
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// sums adds up the bytes and rows of files without an end, as DynamoDB does: what
// an append adds is what deleting its files takes away.
func sums(files []dataset.File) (size, rows types.AttributeValue) {
	var s, r big.Int
	for _, f := range files {
		s.Add(&s, big.NewInt(f.SizeBytes))
		r.Add(&r, big.NewInt(f.RowCount))
	}
	return &types.AttributeValueMemberN{Value: s.String()}, &types.AttributeValueMemberN{Value: r.String()}
}

// refused decides from the items that the transaction met.
func (w *appending) refused(ctx context.Context, reasons []types.CancellationReason) error {
	if i, ok := failed(reasons, w.at.request); ok {
		return w.replay(i)
	}
	taken, err := w.taken(reasons)
	if err != nil {
		return err
	}
	appended, unready := w.unready(reasons)
	if done, err := w.doneBefore(ctx, taken, appended); done || err != nil {
		return err
	}
	i, moved := failed(reasons, w.at.head)
	if moved {
		if err := w.learn(i); err != nil {
			return err
		}
	}
	switch {
	case moved && w.otherSchema():
		return errAgain
	case unready != nil:
		return unready
	case moved && len(taken) == 0:
		return errAgain
	case len(taken) > 0:
		return dataset.ErrFileExists(taken[0].Name)
	case inTheWay(reasons):
		w.stale = true
		return errAgain
	}
	return unexpected("appending to a dataset", reasons)
}

// otherSchema reports whether the dataset has another schema than the files.
func (w *appending) otherSchema() bool {
	return w.head.schemaKey != nil && !bytes.Equal(w.head.schemaKey, w.schemaKey[:])
}

// taken returns the files that were met under the names, in the order given.
func (w *appending) taken(reasons []types.CancellationReason) ([]dataset.File, error) {
	var files []dataset.File
	for n := range w.Files {
		i, ok := failed(reasons, w.at.name(n))
		if !ok {
			continue
		}
		f, err := readFile(i)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// doneBefore finds out from the files under the names whether an earlier try
// of this append succeeded whose answer was lost. DynamoDB need not name every
// condition that failed, so one file of ours, or an upload that was appended, is
// reason to read them all.
func (w *appending) doneBefore(ctx context.Context, taken []dataset.File, appended bool) (bool, error) {
	ours := func(f dataset.File) bool {
		return slices.ContainsFunc(w.Files, func(own dataset.File) bool { return own.ID == f.ID })
	}
	if !appended && !slices.ContainsFunc(taken, ours) {
		return false, nil
	}
	if !w.SameFiles(taken) {
		var err error
		if taken, err = w.byNames(ctx); err != nil || !w.SameFiles(taken) {
			return false, err
		}
	}
	w.answer = dataset.Appended{Files: taken}
	return true, nil
}

// byNames reads the files under the names, leaving out those that are not there.
func (w *appending) byNames(ctx context.Context) ([]dataset.File, error) {
	ids := make([]id, len(w.Files))
	for n, f := range w.Files {
		ids[n] = id{w.partition, nameSK(f.Name)}
	}
	found, err := w.catalog.batchGet(ctx, "reading what an append met", ids)
	if err != nil {
		return nil, err
	}
	var files []dataset.File
	for _, i := range ids {
		if found[i] == nil {
			continue
		}
		f, err := readFile(found[i])
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// replay answers what the request with the same key was answered.
func (w *appending) replay(i item) error {
	r, err := earlier(i, kindAppend, w.DatasetID, w.Idempotency)
	if err != nil {
		return err
	}
	w.answer = dataset.Appended{Files: r.files, Replayed: !w.SameFiles(r.files)}
	return nil
}

// mismatch refuses a schema that is not the dataset's, unless the request was
// done before; then there is nothing left to do.
func (w *appending) mismatch(ctx context.Context) error {
	c := w.catalog
	if i, err := c.request(ctx, w.Tenant, w.Idempotency); err != nil {
		return err
	} else if i != nil {
		return w.replay(i)
	}
	return c.settled(ctx, func() error {
		i, err := c.get(ctx, "reading a schema", key(w.partition, schemaSK))
		if err != nil {
			return err
		}
		if i == nil {
			return errUnsettled
		}
		have, err := readSchema(i)
		if err != nil {
			return err
		}
		return dataset.Mismatch(have.Schema, w.Schema, have.File)
	})
}
