package dynamo

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/dataset"
)

var _ dataset.FileRecords = (*Catalog)(nil)

// appendedRecord is the record of a file that was no upload, in the words of one
// that was.
func appendedRecord(tenant, datasetID string, f dataset.File) item {
	i := key(recordPK(tenant, f.ID), onlySK)
	i["upload_state"] = state(dataset.UploadAppended)
	i["dataset_id"] = text(datasetID)
	i["file_id"] = text(f.ID)
	i["file_name"] = text(f.Name)
	i["file_position"] = number(f.Position)
	i["size_bytes"] = number(f.SizeBytes)
	i["row_count"] = number(f.RowCount)
	i["crc64nvme"] = text(f.CRC64NVME)
	i["object_key"] = text(f.ObjectKey)
	i["uploaded_at"] = moment(f.UploadedAt)
	return i
}

// readRecord reads what an item says of a file id; of none it is unknown.
func readRecord(i item, ref dataset.FileRef) (dataset.FileRecord, error) {
	u, err := readRecorded(i)
	r := dataset.FileRecord{FileRef: ref, State: dataset.FileState(u.State), DatasetID: u.DatasetID, UploadID: u.ID, PartsID: u.PartsID}
	if u.ID != "" {
		r.ExpiresAt = u.ExpiresAt
	}
	if i[deletedAt] != nil {
		r.State = dataset.FileDeleted
	}
	return r, err
}

// FileRecords implements dataset.FileRecords.
func (c *Catalog) FileRecords(ctx context.Context, refs []dataset.FileRef) ([]dataset.FileRecord, error) {
	asked := make(map[dataset.FileRef]bool, len(refs))
	ids := make([]id, 0, len(refs))
	for _, ref := range refs {
		if exist(ref.Tenant, ref.FileID) && !asked[ref] {
			asked[ref] = true
			ids = append(ids, id{recordPK(ref.Tenant, ref.FileID), onlySK})
		}
	}
	found, err := c.batchGet(ctx, "reading the records of files", ids)
	if err != nil {
		return nil, err
	}
	records := make([]dataset.FileRecord, len(refs))
	for n, ref := range refs {
		if records[n], err = readRecord(found[id{recordPK(ref.Tenant, ref.FileID), onlySK}], ref); err != nil {
			return nil, err
		}
	}
	return records, c.markGone(ctx, records, found)
}

// markGone makes the records of contents deleted whose assets were. The record of an
// asset's first content is the asset's own; the others name theirs.
func (c *Catalog) markGone(ctx context.Context, records []dataset.FileRecord, found map[id]item) error {
	assets := map[id][]int{}
	for n, r := range records {
		f := fields{item: found[id{recordPK(r.Tenant, r.FileID), onlySK}]}
		if assetID := f.text("content_of"); assetID != "" && r.State == dataset.FileAppended {
			at := id{recordPK(r.Tenant, assetID), onlySK}
			assets[at] = append(assets[at], n)
		}
	}
	if len(assets) == 0 {
		return nil
	}
	owners, err := c.batchGet(ctx, "reading the records of assets", slices.Collect(maps.Keys(assets)))
	if err != nil {
		return err
	}
	for at, contents := range assets {
		for _, n := range contents {
			if owners[at][deletedAt] != nil {
				records[n].State = dataset.FileDeleted
			}
		}
	}
	return nil
}

// ClaimFile implements dataset.FileRecords.
func (c *Catalog) ClaimFile(ctx context.Context, ref dataset.FileRef) (dataset.FileRecord, error) {
	if !exist(ref.Tenant, ref.FileID) {
		return dataset.FileRecord{}, errors.New("claiming a file: it needs a tenant and an id")
	}
	at := key(recordPK(ref.Tenant, ref.FileID), onlySK)
	i, err := c.get(ctx, "reading the record of a file", at)
	if err != nil {
		return dataset.FileRecord{}, err
	}
	now := c.now()
	r, err := readRecord(i, ref)
	if err != nil || r.State != dataset.FileUnknown && !r.Expired(now) {
		records := []dataset.FileRecord{r}
		if err == nil {
			err = c.markGone(ctx, records, map[id]item{idOf(at): i})
		}
		return records[0], err
	}
	r.State = dataset.FileAborted
	w := &claiming{record: r, transaction: transaction([]types.TransactWriteItem{c.settle(at,
		"SET upload_state = :aborted, file_id = :file",
		"attribute_not_exists(pk) OR (upload_state IN (:open, :complete) AND valid_until <= :now)", item{
			":open": state(dataset.UploadOpen), ":complete": state(dataset.UploadComplete), ":aborted": state(dataset.UploadAborted),
			":now": number(now.UnixMicro()), ":file": text(ref.FileID),
		})})}
	err = c.run(ctx, "claiming a file", w)
	return w.record, err
}

// claiming is the write of a claim: the record alone.
type claiming struct {
	transaction *dynamodb.TransactWriteItemsInput
	record      dataset.FileRecord
}

func (w *claiming) input(context.Context) (*dynamodb.TransactWriteItemsInput, error) {
	return w.transaction, nil
}

// refused takes in the record that can't be claimed, or was before.
func (w *claiming) refused(_ context.Context, reasons []types.CancellationReason) (err error) {
	i, ok := failed(reasons, 0)
	switch {
	case ok:
		w.record, err = readRecord(i, w.record.FileRef)
		return err
	case inTheWay(reasons):
		return errAgain
	}
	return unexpected("claiming a file", reasons)
}
