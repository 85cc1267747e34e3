package dynamo

import (
	"context"
	"math"

	"github.com/parqueue/parqueue/internal/dataset"
)

// fileItem is a file under one of its two sort keys.
func fileItem(partition, sortKey string, f dataset.File) item {
	i := key(partition, sortKey)
	i["id"] = text(f.ID)
	i["name"] = text(f.Name)
	i["file_position"] = number(f.Position)
	i["size_bytes"] = number(f.SizeBytes)
	i["row_count"] = number(f.RowCount)
	i["crc64nvme"] = text(f.CRC64NVME)
	i["object_key"] = text(f.ObjectKey)
	i["uploaded_at"] = moment(f.UploadedAt)
	return i
}

func readFile(i item) (dataset.File, error) {
	f := fields{item: i}
	return dataset.File{
		ID: f.text("id"), Name: f.text("name"), Position: f.number("file_position"),
		SizeBytes: f.number("size_bytes"), RowCount: f.number("row_count"),
		CRC64NVME: f.text("crc64nvme"), ObjectKey: f.text("object_key"), UploadedAt: f.moment("uploaded_at"),
	}, f.err
}

// File implements dataset.Catalog.
func (c *Catalog) File(ctx context.Context, tenant, datasetID, name string) (dataset.File, error) {
	if !exist(tenant, datasetID) {
		return dataset.File{}, dataset.ErrDatasetNotFound()
	}
	partition := datasetPK(tenant, datasetID)
	ids := []id{{partition, headSK}}
	if dataset.NameCanExist(name) {
		ids = append(ids, id{partition, nameSK(name)})
	}
	found, err := c.batchGet(ctx, "reading a file's entry", ids)
	if err != nil {
		return dataset.File{}, err
	}
	if _, err := readHead(found[ids[0]]); err != nil {
		return dataset.File{}, err
	}
	i := found[id{partition, nameSK(name)}]
	if i == nil || i[deletedAt] != nil {
		return dataset.File{}, dataset.ErrFileNotFound()
	}
	return readFile(i)
}

// Files implements dataset.Catalog. A page costs the same wherever in the
// dataset it is.
func (c *Catalog) Files(ctx context.Context, tenant, datasetID string, from int64, limit int) (dataset.FilePage, error) {
	if !exist(tenant, datasetID) {
		return dataset.FilePage{}, dataset.ErrDatasetNotFound()
	}
	from, limit = max(from, 0), max(limit, 1)
	var page dataset.FilePage
	err := c.settled(ctx, func() (err error) {
		page, err = c.page(ctx, datasetPK(tenant, datasetID), from, int64(limit))
		return err
	})
	if err != nil {
		return dataset.FilePage{}, err
	}
	return page, nil
}

const listing = "listing files"

// page reads the dataset and then files up to where its head is, so that both
// are of one moment: the one at which the head was read. Head, schema and files
// sort in this order, so for the first page one query reads them all.
func (c *Catalog) page(ctx context.Context, partition string, from, limit int64) (dataset.FilePage, error) {
	to := schemaSK
	if from == 0 {
		to = fileSK(limit - 1)
	}
	items, err := c.query(ctx, listing, partition, headSK, to)
	if err != nil {
		return dataset.FilePage{}, err
	}
	headItem, schemaItem := split(items)
	d, err := whole(headItem, schemaItem)
	if err != nil {
		return dataset.FilePage{}, err
	}
	page := dataset.FilePage{Dataset: d}
	next := from
	for window := limit; next < d.NextPosition && int64(len(page.Files)) < limit && next-from-limit < mostDeleted; {
		end := next + min(window, d.NextPosition-next)
		if next > 0 {
			if items, err = c.query(ctx, listing, partition, fileSK(next), fileSK(end-1)); err != nil {
				return dataset.FilePage{}, err
			}
		}
		files, err := filesIn(items, next, end)
		if err != nil {
			return dataset.FilePage{}, err
		}
		page.Files = append(page.Files, files...)
		next = end
		if missing := limit - int64(len(page.Files)); len(files) > 0 {
			window = missing
		} else {
			window = max(missing, min(2*window, deletedAtOnce))
		}
	}
	if int64(len(page.Files)) >= limit { // the last window may have held more
		page.Files = page.Files[:limit]
		next = page.Files[limit-1].Position + 1
	}
	if page.More = next < d.NextPosition; page.More {
		page.Next = next
	}
	return page, nil
}

// Where files were deleted a page reads on until it is full, in windows that
// grow to deletedAtOnce positions while nothing is found, but not over many more
// than mostDeleted positions without files.
const (
	deletedAtOnce = 1000
	mostDeleted   = 10_000
)

// filesIn returns the files of the positions from one up to another that items
// hold.
// Errors: errUnsettled when one of them is not there yet.
func filesIn(items []item, from, end int64) ([]dataset.File, error) {
	var files []dataset.File
	settled := from // every position below it has an item
	for _, i := range items {
		sortKey := idOf(i).sk
		if sortKey < fileSK(0) || sortKey > fileSK(math.MaxInt64) {
			continue // the head or the schema
		}
		f, err := readFile(i)
		if err != nil {
			return nil, err
		}
		if f.Position >= end {
			break // came after the head was read
		}
		settled++
		if i[deletedAt] == nil {
			files = append(files, f)
		}
	}
	if settled < end {
		return nil, errUnsettled
	}
	return files, nil
}
