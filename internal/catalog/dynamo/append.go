package dynamo

import (
	"bytes"
	"cmp"
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
// the schema fit, are the uploads ready, are the names free, was no file claimed.
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
// records of the files, which are the uploads that they come from.
type appending struct {
	dataset.Append
	catalog   *Catalog
	partition string
	schemaKey [32]byte

	head  head
	stale bool // the head is to be read again
	hasty bool // the last try did not wait
	waits int  // how often it has let others pass since it lost a race
	busy  bool // there are others: look whether they are at work before the next try
	sent  *dynamodb.TransactWriteItemsInput
	at    actions

	answer dataset.Appended
}

// actions says where in the transaction what is.
type actions struct {
	head    int
	request int   // -1 when there is none
	files   int   // of each file its entry and then its name
	claims  []int // of aliases
}

func (a actions) name(file int) int { return a.files + 2*file + 1 }

// record is where a file's record is, in an append of so many files.
func (a actions) record(file, files int) int { return a.files + 2*files + file }

// input makes the transaction for the head that is known, or reads it first.
func (w *appending) input(ctx context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	if w.stale {
		i, err := w.catalog.get(ctx, "reading a dataset", key(w.partition, headSK))
		if err != nil {
			return nil, err
		}
		before := w.head.Version
		if err := w.learn(i); err != nil {
			return nil, err
		}
		if w.busy && w.head.Version != before && w.waits < letPass {
			w.stale, w.waits = true, w.waits+1
			return nil, errAgain
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
		all = append(all, c.put(fileItem(w.partition, fileSK(f.Position), f)), c.name(w.partition, f))
	}
	for n, f := range files {
		if len(w.Uploads) > 0 {
			action, err := w.settleUpload(w.Uploads[n], f, w.Info(n))
			if err != nil {
				return nil, err
			}
			all = append(all, action)
		} else {
			all = append(all, c.put(appendedRecord(w.Tenant, w.DatasetID, f)))
		}
	}
	w.at.claims = nil
	for n, f := range files {
		said := dataset.FileAsset(w.DatasetID, f)
		said.Info = w.Info(n)
		var claim int
		if all, claim = c.relist(all, w.Tenant, nil, &said); claim >= 0 {
			w.at.claims = append(w.at.claims, claim)
		}
	}
	return transaction(all), nil
}

// name writes the item of a file's name, in the place of that of a file that was
// deleted.
func (c *Catalog) name(partition string, f dataset.File) types.TransactWriteItem {
	action := c.put(fileItem(partition, nameSK(f.Name), f))
	action.Put.ConditionExpression = aws.String("attribute_not_exists(pk) OR attribute_exists(deleted_at)")
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
	condition += " AND " + isThere + " AND " + isVersion(w.head.Version)
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
	met, err := w.meet(reasons)
	if err != nil {
		return err
	}
	if done, err := w.doneBefore(ctx, met); done || err != nil {
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
	case met.unready != nil:
		return met.unready
	case met.taken != "":
		return dataset.ErrFileExists(met.taken)
	case met.claimed != nil:
		return dataset.ErrFileClaimed(*met.claimed)
	case moved:
		return w.lostRace()
	case inTheWay(reasons):
		w.stale = true
		return errAgain
	}
	for _, claim := range w.at.claims {
		if i, ok := failed(reasons, claim); ok {
			return errAlias(i)
		}
	}
	return unexpected("appending to a dataset", reasons)
}

// lostRace decides what to do after another writer was faster. The refusal has
// just told the new head, which is worth a try at once, with one file. When that one
// is lost as well there are many writers: after a pause the head will have moved on again,
// so it is read then. A run of files takes too much of the table's time to be tried
// on a chance: the writer that was faster has its next one ready, so it waits until
// the head stands still for the length of a pause, up to letPass times.
func (w *appending) lostRace() error {
	if w.hasty = !w.hasty; w.hasty && len(w.Files) == 1 {
		return errAtOnce
	}
	return w.later()
}

// later has the head read again after a pause, and a run of files wait while others
// move it.
func (w *appending) later() error {
	w.stale, w.busy = true, len(w.Files) > 1
	return errAgain
}

// letPass is how often a run of files lets others pass before it competes with them.
const letPass = 12

// otherSchema reports whether the dataset has another schema than the files.
func (w *appending) otherSchema() bool {
	return w.head.schemaKey != nil && !bytes.Equal(w.head.schemaKey, w.schemaKey[:])
}

// obstacles are what an append met, each the first in the order given.
type obstacles struct {
	appended bool          // a file of ours is known: perhaps an earlier try did this append
	unready  error         // why an upload can't be appended
	taken    string        // a name of which there is a file, or whose own file was appended before
	claimed  *dataset.File // its bytes were claimed
}

// meet looks at the names and the records that the transaction met.
func (w *appending) meet(reasons []types.CancellationReason) (met obstacles, err error) {
	for n, f := range w.Files {
		if i, ok := failed(reasons, w.at.name(n)); ok {
			listed, err := readFile(i)
			if err != nil {
				return met, err
			}
			met.taken = cmp.Or(met.taken, f.Name)
			met.appended = met.appended || slices.ContainsFunc(w.Files, func(own dataset.File) bool { return own.ID == listed.ID })
		}
		if i, ok := failed(reasons, w.at.record(n, len(w.Files))); ok {
			if err := w.meetRecord(&met, n, i); err != nil {
				return met, err
			}
		}
	}
	return met, nil
}

// meetRecord takes in the record of a file.
func (w *appending) meetRecord(met *obstacles, n int, i item) error {
	r, err := readRecord(i, dataset.FileRef{Tenant: w.Tenant, FileID: w.Files[n].ID})
	if err != nil {
		return err
	}
	met.appended = met.appended || r.State == dataset.FileAppended || r.State == dataset.FileDeleted
	switch {
	case len(w.Uploads) > 0:
		if met.unready == nil {
			met.unready = w.unready(i, w.Uploads[n])
		}
	case r.State != dataset.FileAborted:
		met.taken = cmp.Or(met.taken, w.Files[n].Name)
	case met.claimed == nil:
		met.claimed = &w.Files[n]
	}
	return nil
}

// doneBefore finds out from the records of the files whether an earlier try of
// this append succeeded whose answer was lost. DynamoDB need not name every
// condition that failed, so one file of ours is reason to read them all.
func (w *appending) doneBefore(ctx context.Context, met obstacles) (bool, error) {
	if !met.appended {
		return false, nil
	}
	ids := make([]id, len(w.Files))
	for n, f := range w.Files {
		ids[n] = id{recordPK(w.Tenant, f.ID), onlySK}
	}
	found, err := w.catalog.batchGet(ctx, "reading what an append met", ids)
	if err != nil {
		return false, err
	}
	files := make([]dataset.File, len(ids))
	for n, i := range ids {
		u, err := readRecorded(found[i])
		if err != nil || u.State != dataset.UploadAppended || u.DatasetID != w.DatasetID {
			return false, err
		}
		files[n] = u.File()
	}
	w.answer = dataset.Appended{Files: files}
	return true, nil
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
		if i == nil { // or the dataset is being purged
			if _, err := c.readHead(ctx, w.partition); err != nil {
				return err
			}
			return errUnsettled
		}
		have, err := readSchema(i)
		if err != nil {
			return err
		}
		return dataset.Mismatch(have.Schema, w.Schema, have.File)
	})
}
