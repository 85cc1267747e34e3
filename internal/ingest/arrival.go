package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/footer"
	"github.com/parqueue/parqueue/internal/schema"
)

// arrival is an object of the inbox on its way into a dataset.
type arrival struct {
	place   place
	object  dataset.InboxObject
	attempt attempt
	file    dataset.File
	schema  schema.Schema
	listed  bool // the file is in the dataset
	err     error
}

// attempt says which of a put's file ids it is tried under. The sweeper may give
// up a copy that nobody appended for hours, and its file id with it; the put then
// has a next one, the same for everybody who tries.
type attempt struct {
	put    string
	number int // how many ids of this put were given up
}

// fileID is the id of the file that a put becomes in one of its attempts.
func fileID(tenant string, o dataset.InboxObject, number int) string {
	return dataset.DerivedFileID(o.ModifiedAt, "inbox", tenant, o.Key, o.ETag, strconv.FormatInt(o.SizeBytes, 10), strconv.Itoa(number))
}

// putID names a put where its file's id does not matter.
func putID(tenant string, o dataset.InboxObject) string {
	return strings.TrimPrefix(fileID(tenant, o, 0), "file-")
}

// prepare makes an arrival ready to be appended: it checks what can be known
// without the bytes, then the footer, and copies the bytes last, to where nobody
// can see them. Afterwards a is ready, listed already, or has an error.
func (i *Ingester) prepare(ctx context.Context, d dataset.Dataset, seen *schemas, a *arrival) {
	if a.err = i.check(ctx, d, seen, a); a.err != nil || a.listed {
		return
	}
	stored, err := i.inbox.CopyIn(ctx, a.object, a.file.ObjectKey)
	if fault.Is(err, fault.CodeFileNotFound) {
		err = errors.Join(errNothing, err)
	}
	if err != nil {
		a.err = fmt.Errorf("copying an object of the inbox: %w", err)
		return
	}
	a.file.CRC64NVME = stored.CRC64NVME
}

// check finds out what an arrival is and whether it may be appended.
func (i *Ingester) check(ctx context.Context, d dataset.Dataset, seen *schemas, a *arrival) error {
	var err error
	if a.object, err = i.stat(ctx, a.place); err != nil {
		return err
	}
	if err := checkName(a.place.name); err != nil {
		return err
	}
	if a.object.SizeBytes > dataset.MaxUploadBytes {
		return fault.New(fault.CodeRequestTooLarge, "The file is larger than 5 TiB, the most that a dataset takes.", "Split it into several files.")
	}
	if put := putID(i.tenant, a.object); put != a.attempt.put {
		a.attempt = attempt{put: put}
	}
	id := fileID(i.tenant, a.object, a.attempt.number)
	a.file = dataset.File{
		ID: id, Name: a.place.name, SizeBytes: a.object.SizeBytes, CRC64NVME: a.object.CRC64NVME,
		ObjectKey: dataset.FileKey(i.tenant, id), UploadedAt: i.now().UTC().Truncate(time.Microsecond),
	}
	if err := i.nameFree(ctx, a); err != nil || a.listed {
		return err
	}
	info, err := i.readFooter(ctx, a.object)
	if err != nil {
		return err
	}
	a.file.RowCount, a.schema = info.NumRows, seen.shared(info.Schema)
	if d.Schema != nil && d.Schema.Key() != info.Schema.Key() {
		return dataset.Mismatch(*d.Schema, info.Schema, d.SchemaFile)
	}
	return nil
}

// checkName refuses what can't be the name of a file in a dataset, and a list
// that nothing waits for.
func checkName(name string) error {
	if name == orderName {
		return fault.Newf(fault.CodeInvalidOrder, `Set the dataset's ingest_order to "name" with update-dataset, then retry this rejection.`,
			"A list in %s is for datasets that ingest by name, and this one takes files as they arrive.", orderName)
	}
	return dataset.CheckFileName(name)
}

// readFooter reads the footer of an object. What it says of its length nobody
// knows before, so the object's size decides how many are read at once.
func (i *Ingester) readFooter(ctx context.Context, o dataset.InboxObject) (footer.Info, error) {
	room := min(o.SizeBytes, footer.DefaultLimits().FooterBytes)
	if err := i.footers.Acquire(ctx, room); err != nil {
		return footer.Info{}, fmt.Errorf("waiting to read a footer: %w", err)
	}
	defer i.footers.Release(room)
	return dataset.ReadFooter(ctx, i.opener(o), o.SizeBytes)
}

// opener opens parts of an object of the inbox.
func (i *Ingester) opener(o dataset.InboxObject) dataset.Opener {
	return func(ctx context.Context, part dataset.Range) (io.ReadCloser, error) {
		body, err := i.inbox.Open(ctx, o, part)
		if fault.Is(err, fault.CodeFileNotFound) {
			err = errors.Join(errNothing, err)
		}
		return body, err
	}
}

// nameFree sees whether a dataset has a file with an arrival's name. If that is
// this put's, or has the same bytes, there is nothing left to append: somebody's
// tool has sent a file again, or an earlier try got this far.
// Errors: CodeFileExists.
func (i *Ingester) nameFree(ctx context.Context, a *arrival) error {
	have, err := i.catalog.File(ctx, i.tenant, a.place.datasetID, a.file.Name)
	switch {
	case fault.Is(err, fault.CodeFileNotFound):
		return nil
	case err != nil:
		return err
	case have.ID == a.file.ID || same(have, a.file):
		a.file, a.listed = have, true
		return nil
	case have.SizeBytes != a.file.SizeBytes || a.file.CRC64NVME != "":
		return dataset.ErrFileExists(a.file.Name)
	}
	return nil // the copy will have a checksum
}

// same reports two files that are known to have the same bytes.
func same(x, y dataset.File) bool {
	return x.SizeBytes == y.SizeBytes && x.CRC64NVME == y.CRC64NVME && x.CRC64NVME != ""
}

// remove takes what is listed out of the inbox.
func (i *Ingester) remove(ctx context.Context, a *arrival) error {
	if err := i.inbox.Delete(ctx, a.object); err != nil {
		return fmt.Errorf("removing an object of the inbox that is listed: %w", err)
	}
	return nil
}
