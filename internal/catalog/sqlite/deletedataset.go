package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/parqueue/parqueue/internal/dataset"
)

// DeleteDataset implements dataset.Catalog. It marks the dataset's row, which
// everything that asks for the dataset reads, so it takes the same time however
// large the dataset is.
func (c *Catalog) DeleteDataset(ctx context.Context, del dataset.DatasetDeletion) (dataset.DatasetDeleted, error) {
	var done dataset.DatasetDeleted
	err := c.write(ctx, "deleting a dataset", func(tx *sql.Tx) error {
		r, err := c.earlier(ctx, tx, del.Tenant, del.Idempotency)
		if err != nil {
			return err
		}
		if r != nil && (r.kind != kindDrop || r.datasetID != del.DatasetID) {
			return dataset.ErrIdempotencyKeyReused()
		}
		gone, err := deletedDataset(ctx, tx, del)
		if err != nil {
			return err
		}
		if gone != nil && (r != nil || !gone.Replayed) {
			done = *gone
			return nil
		}
		done, err = c.drop(ctx, tx, del)
		return err
	})
	if err != nil {
		return dataset.DatasetDeleted{}, err
	}
	return done, nil
}

const selectDropped = `SELECT files, bytes, deleted_by FROM datasets WHERE tenant = ? AND id = ? AND deleted_at IS NOT NULL`

// deletedDataset finds the dataset of a deletion among the deleted ones, or nil.
// Replayed says that another request deleted it.
func deletedDataset(ctx context.Context, tx *sql.Tx, del dataset.DatasetDeletion) (*dataset.DatasetDeleted, error) {
	gone := dataset.DatasetDeleted{DatasetID: del.DatasetID}
	var by string
	err := tx.QueryRowContext(ctx, selectDropped, del.Tenant, del.DatasetID).Scan(&gone.FileCount, &gone.TotalSizeBytes, &by)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	gone.Replayed = by != del.ID
	return &gone, err
}

func (c *Catalog) drop(ctx context.Context, tx *sql.Tx, del dataset.DatasetDeletion) (dataset.DatasetDeleted, error) {
	d, err := head(ctx, tx, del.Tenant, del.DatasetID)
	if err != nil {
		return dataset.DatasetDeleted{}, err
	}
	if del.IfVersion != 0 && del.IfVersion != d.Version {
		return dataset.DatasetDeleted{}, dataset.ErrVersionMismatch(d.Version)
	}
	_, err = tx.ExecContext(ctx, `UPDATE datasets SET deleted_at = ?, deleted_by = ?, version = version + 1 WHERE number = ?`,
		c.now().UnixNano(), del.ID, d.number)
	if err != nil {
		return dataset.DatasetDeleted{}, err
	}
	err = c.remember(ctx, tx, del.Tenant, del.Idempotency, request{kind: kindDrop, datasetID: del.DatasetID})
	return dataset.DatasetDeleted{DatasetID: d.ID, FileCount: d.FileCount, TotalSizeBytes: d.TotalSizeBytes}, err
}
