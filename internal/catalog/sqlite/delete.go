package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"

	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
)

// DeleteFile implements dataset.Catalog.
func (c *Catalog) DeleteFile(ctx context.Context, del dataset.Deletion) (dataset.Deleted, error) {
	var done dataset.Deleted
	err := c.write(ctx, "deleting a file", func(tx *sql.Tx) error {
		d, err := head(ctx, tx, del.Tenant, del.DatasetID)
		if err != nil {
			return err
		}
		r, err := c.earlier(ctx, tx, del.Tenant, del.Idempotency)
		if err != nil {
			return err
		}
		if r != nil {
			done, err = replayedDeletion(r, del)
			return err
		}
		done.File, err = c.delete(ctx, tx, d, del)
		return err
	})
	if err != nil {
		return dataset.Deleted{}, err
	}
	return done, nil
}

// replayedDeletion is the answer that an earlier request with the same
// Idempotency-Key got.
func replayedDeletion(r *request, del dataset.Deletion) (dataset.Deleted, error) {
	if r.kind != kindDelete || r.datasetID != del.DatasetID {
		return dataset.Deleted{}, dataset.ErrIdempotencyKeyReused()
	}
	answer, err := record.DecodeDeleted(r.answer)
	return dataset.Deleted{File: answer.File, Replayed: answer.By != del.ID}, err
}

// delete takes a file out, unless an earlier try of the same request did.
func (c *Catalog) delete(ctx context.Context, tx *sql.Tx, d row, del dataset.Deletion) (dataset.File, error) {
	f, err := byName(ctx, tx, d.number, del.Name)
	if err != nil {
		return dataset.File{}, err
	}
	if f == nil {
		gone, err := deletedByName(ctx, tx, d.number, del.Name)
		if err != nil {
			return dataset.File{}, err
		}
		if gone == nil || gone.By != del.ID {
			return dataset.File{}, dataset.ErrFileNotFound()
		}
		return gone.File, nil
	}
	if err := c.unlist(ctx, tx, d, *f, del.Tenant, del.ID); err != nil {
		return dataset.File{}, err
	}
	answer, err := record.Deleted{File: *f, By: del.ID}.Encode()
	if err != nil {
		return dataset.File{}, err
	}
	return *f, c.remember(ctx, tx, del.Tenant, del.Idempotency, request{kind: kindDelete, datasetID: del.DatasetID, answer: answer})
}

// unlist takes a file out of a dataset, with what is said of it.
func (c *Catalog) unlist(ctx context.Context, tx *sql.Tx, d row, f dataset.File, tenant, by string) error {
	if err := moveFile(ctx, tx, d.number, f, by); err != nil {
		return err
	}
	if err := removeInfo(ctx, tx, tenant, f.ID); err != nil {
		return err
	}
	return c.retreat(ctx, tx, d, f)
}

// moveFile puts a file among the deleted ones.
func moveFile(ctx context.Context, tx *sql.Tx, number int64, f dataset.File, by string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO deleted_files (dataset, `+fileColumns+`, deleted_by)
		SELECT dataset, `+fileColumns+`, ? FROM files WHERE dataset = ? AND position = ?`, by, number, f.Position)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM files WHERE dataset = ? AND position = ?`, number, f.Position)
	return err
}

// retreat takes a file that is no longer listed out of the dataset's counters.
func (c *Catalog) retreat(ctx context.Context, tx *sql.Tx, d row, f dataset.File) error {
	size, rows := d.TotalSizeBytes-f.SizeBytes, d.TotalRows-f.RowCount
	if d.TotalSizeBytes == math.MaxInt64 || d.TotalRows == math.MaxInt64 { // the sums ended there, and may be larger
		var err error
		if size, rows, err = sums(ctx, tx, d.number); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE datasets SET files = files - 1, bytes = ?, rows = ?, version = version + 1, updated_at = ? WHERE number = ?`,
		size, rows, moment(c.now()), d.number)
	return err
}

// sums adds up the bytes and rows of a dataset's files anew.
func sums(ctx context.Context, tx *sql.Tx, number int64) (size, count int64, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT bytes, rows FROM files WHERE dataset = ?`, number)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var f dataset.File
		if err := rows.Scan(&f.SizeBytes, &f.RowCount); err != nil {
			return 0, 0, err
		}
		size, count = dataset.AddUp(size, f.SizeBytes), dataset.AddUp(count, f.RowCount)
	}
	return size, count, rows.Err()
}

const selectDeleted = `SELECT ` + fileColumns + `, deleted_by FROM deleted_files INDEXED BY deleted_files_by_name WHERE dataset = ? AND name = ? ORDER BY position DESC LIMIT 1`

// deletedByName finds the file that was deleted last under a name, or nil.
func deletedByName(ctx context.Context, tx *sql.Tx, number int64, name string) (*record.Deleted, error) {
	var d record.Deleted
	f := &d.File
	err := tx.QueryRowContext(ctx, selectDeleted, number, name).Scan(&f.Position, &f.Name, &f.ID, &f.SizeBytes, &f.RowCount,
		&f.CRC64NVME, &f.ObjectKey, (*moment)(&f.UploadedAt), &d.By)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &d, err
}
