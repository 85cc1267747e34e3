package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"

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
	var done dataset.Appended
	err := c.write(ctx, "appending to a dataset", func(tx *sql.Tx) error {
		d, err := head(ctx, tx, a.Tenant, a.DatasetID)
		if err != nil {
			return err
		}
		known, err := c.doneBefore(ctx, tx, d, a)
		if err != nil {
			return err
		}
		if known != nil {
			done = *known
			return nil
		}
		done.Files, err = c.append(ctx, tx, d, a)
		return err
	})
	if err != nil {
		return dataset.Appended{}, err
	}
	return done, nil
}

// doneBefore returns the answer of an append that happened already: an earlier
// request with the same Idempotency-Key, or an earlier try of this one.
func (c *Catalog) doneBefore(ctx context.Context, tx *sql.Tx, d row, a dataset.Append) (*dataset.Appended, error) {
	r, err := c.earlier(ctx, tx, a.Tenant, a.Idempotency)
	if err != nil {
		return nil, err
	}
	if r != nil {
		if r.kind != kindAppend || r.datasetID != a.DatasetID {
			return nil, dataset.ErrIdempotencyKeyReused()
		}
		files, err := record.DecodeFiles(r.answer)
		if err != nil {
			return nil, err
		}
		return &dataset.Appended{Files: files, Replayed: !a.SameFiles(files)}, nil
	}
	listed := make([]dataset.File, 0, len(a.Files))
	for _, f := range a.Files {
		have, err := byID(ctx, tx, dataset.FileRef{Tenant: a.Tenant, FileID: f.ID})
		if err != nil || have == nil || have.dataset != d.number {
			return nil, err
		}
		listed = append(listed, have.File)
	}
	return &dataset.Appended{Files: listed}, nil
}

// append checks the schema, the uploads and the names and adds the files.
func (c *Catalog) append(ctx context.Context, tx *sql.Tx, d row, a dataset.Append) ([]dataset.File, error) {
	schemaKey := a.Schema.Key()
	if d.schemaKey != nil && !bytes.Equal(d.schemaKey, schemaKey[:]) {
		return nil, mismatch(ctx, tx, a)
	}
	files := slices.Clone(a.Files)
	for i := range files {
		files[i].Position = d.NextPosition + int64(i)
		files[i].UploadedAt = files[i].UploadedAt.UTC().Round(0)
	}
	if err := c.settleUploads(ctx, tx, a, files); err != nil {
		return nil, err
	}
	for _, f := range files {
		taken, err := taken(ctx, tx, a.Tenant, d.number, f)
		if err != nil {
			return nil, err
		}
		if taken {
			return nil, dataset.ErrFileExists(f.Name)
		}
	}
	for _, f := range files {
		if err := unclaimed(ctx, tx, a.Tenant, f); err != nil {
			return nil, err
		}
		if err := insertFile(ctx, tx, d.number, f); err != nil {
			return nil, err
		}
	}
	for n, f := range files {
		if info := a.Info(n); !info.Empty() {
			said := dataset.FileAsset(a.DatasetID, f)
			said.Info, said.Revision = info, 1
			if err := insertAsset(ctx, tx, a.Tenant, said, false); err != nil {
				return nil, err
			}
		}
	}
	if d.schemaKey == nil {
		if err := setSchema(ctx, tx, d.number, schemaKey, record.Schema{Schema: a.Schema, File: files[0].Name}); err != nil {
			return nil, err
		}
	}
	if err := c.advance(ctx, tx, d, files); err != nil {
		return nil, err
	}
	answer, err := record.EncodeFiles(files)
	if err != nil {
		return nil, err
	}
	return files, c.remember(ctx, tx, a.Tenant, a.Idempotency, request{kind: kindAppend, datasetID: a.DatasetID, answer: answer})
}

// mismatch is the refusal of another schema than the dataset's, which it reads.
func mismatch(ctx context.Context, tx *sql.Tx, a dataset.Append) error {
	d, err := one(ctx, tx, a.Tenant, a.DatasetID)
	if err != nil {
		return err
	}
	return dataset.Mismatch(*d.Schema, a.Schema, d.SchemaFile)
}

// taken reports whether a file's name is taken, or the file was appended before.
func taken(ctx context.Context, tx *sql.Tx, tenant string, number int64, f dataset.File) (bool, error) {
	named, err := byName(ctx, tx, number, f.Name)
	if err != nil || named != nil {
		return true, err
	}
	have, err := byID(ctx, tx, dataset.FileRef{Tenant: tenant, FileID: f.ID})
	return have != nil, err
}

func insertFile(ctx context.Context, tx *sql.Tx, number int64, f dataset.File) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO files (dataset, `+fileColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		number, f.Position, f.Name, f.ID, f.SizeBytes, f.RowCount, f.CRC64NVME, f.ObjectKey, moment(f.UploadedAt))
	return err
}

func setSchema(ctx context.Context, tx *sql.Tx, number int64, schemaKey [32]byte, s record.Schema) error {
	body, err := s.Encode()
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO schemas (dataset, body) VALUES (?, ?)`, number, body); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE datasets SET schema_key = ? WHERE number = ?`, schemaKey[:], number)
	return err
}

// advance moves the dataset's counters past new files.
func (c *Catalog) advance(ctx context.Context, tx *sql.Tx, d row, files []dataset.File) error {
	size, rows := dataset.Sums(files)
	n := int64(len(files))
	_, err := tx.ExecContext(ctx, `UPDATE datasets SET next_position = ?, files = ?, bytes = ?, rows = ?, version = version + 1, updated_at = ? WHERE number = ?`,
		d.NextPosition+n, d.FileCount+n, dataset.AddUp(d.TotalSizeBytes, size), dataset.AddUp(d.TotalRows, rows), moment(c.now()), d.number)
	return err
}

const (
	fileColumns = `position, name, id, bytes, rows, crc64nvme, object_key, uploaded_at`
	selectName  = `SELECT ` + fileColumns + ` FROM files WHERE dataset = ? AND name = ?`
	selectFiles = `SELECT ` + fileColumns + ` FROM files WHERE dataset = ? AND position >= ? ORDER BY position LIMIT ?`
)

func scanFile(s scanner) (f dataset.File, err error) {
	err = s.Scan(&f.Position, &f.Name, &f.ID, &f.SizeBytes, &f.RowCount, &f.CRC64NVME, &f.ObjectKey, (*moment)(&f.UploadedAt))
	return f, err
}

// byName finds a dataset's file with a name, or nil.
func byName(ctx context.Context, tx *sql.Tx, number int64, name string) (*dataset.File, error) {
	f, err := scanFile(tx.QueryRowContext(ctx, selectName, number, name))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &f, err
}
