package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/dataset"
)

var _ dataset.Purges = (*Catalog)(nil)

const selectToPurge = `SELECT tenant, id, deleted_at FROM datasets WHERE deleted_at IS NOT NULL AND purged = 0
	AND (deleted_at, tenant, id) > (?, ?, ?) ORDER BY deleted_at, tenant, id LIMIT ?`

// DeletedDatasets implements dataset.Purges.
func (c *Catalog) DeletedDatasets(ctx context.Context, after dataset.DeletedDataset, limit int) ([]dataset.DeletedDataset, error) {
	var since int64
	if !after.DeletedAt.IsZero() {
		since = after.DeletedAt.UnixNano()
	}
	var list []dataset.DeletedDataset
	err := c.read(ctx, "listing deleted datasets", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, selectToPurge, since, after.Tenant, after.ID, max(limit, 1))
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells
		for rows.Next() {
			var d dataset.DeletedDataset
			var nanoseconds int64
			if err := rows.Scan(&d.Tenant, &d.ID, &nanoseconds); err != nil {
				return err
			}
			d.DeletedAt = time.Unix(0, nanoseconds).UTC()
			list = append(list, d)
		}
		return rows.Err()
	})
	return list, err
}

// toPurge finds the number of a deleted dataset that is not purged, or 0.
func toPurge(ctx context.Context, tx *sql.Tx, d dataset.DeletedDataset) (number int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT number FROM datasets WHERE tenant = ? AND id = ? AND deleted_at IS NOT NULL AND purged = 0`,
		d.Tenant, d.ID).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return number, err
}

const (
	selectListed = `SELECT id, object_key, name, position FROM files WHERE dataset = ? ORDER BY position LIMIT ?`
	selectGone   = `SELECT id, object_key, name, position FROM deleted_files WHERE dataset = ? ORDER BY position LIMIT ?`
)

// Remnants implements dataset.Purges: first the files that were listed, then those
// that had been deleted.
func (c *Catalog) Remnants(ctx context.Context, d dataset.DeletedDataset, limit int) ([]dataset.Remnant, error) {
	var list []dataset.Remnant
	err := c.read(ctx, "listing what a deleted dataset left", func(tx *sql.Tx) error {
		number, err := toPurge(ctx, tx, d)
		if err != nil || number == 0 {
			return err
		}
		for _, query := range []string{selectListed, selectGone} {
			if list, err = remnants(ctx, tx, query, number, max(limit, 1)); err != nil || len(list) > 0 {
				return err
			}
		}
		return nil
	})
	return list, err
}

func remnants(ctx context.Context, tx *sql.Tx, query string, number int64, limit int) ([]dataset.Remnant, error) {
	rows, err := tx.QueryContext(ctx, query, number, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var list []dataset.Remnant
	for rows.Next() {
		var r dataset.Remnant
		if err := rows.Scan(&r.FileID, &r.ObjectKey, &r.Name, &r.Position); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// purgedAtOnce is the most rows that one transaction of a purge removes, so that
// no other writer waits long.
const purgedAtOnce = 1000

// RemoveRemnants implements dataset.Purges.
func (c *Catalog) RemoveRemnants(ctx context.Context, d dataset.DeletedDataset, files []dataset.Remnant) error {
	for some := range slices.Chunk(files, purgedAtOnce) {
		err := c.write(ctx, "removing files of a deleted dataset", func(tx *sql.Tx) error {
			number, err := toPurge(ctx, tx, d)
			if err != nil || number == 0 {
				return err
			}
			return removeRemnants(ctx, tx, number, some)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeRemnants removes the row of each file, which is among those that are
// listed or among those that were deleted.
func removeRemnants(ctx context.Context, tx *sql.Tx, number int64, files []dataset.Remnant) error {
	for _, table := range []string{"files", "deleted_files"} {
		remove, err := tx.PrepareContext(ctx, `DELETE FROM `+table+` WHERE dataset = ? AND position = ?`)
		if err != nil {
			return err
		}
		defer remove.Close() //nolint:errcheck // nothing is left to do
		for _, f := range files {
			if _, err := remove.ExecContext(ctx, number, f.Position); err != nil {
				return err
			}
		}
	}
	return nil
}

const selectRemaining = `SELECT ` + uploadColumns + ` FROM uploads WHERE tenant = ? AND dataset_id = ? LIMIT ?`

// RemainingUploads implements dataset.Purges.
func (c *Catalog) RemainingUploads(ctx context.Context, d dataset.DeletedDataset, limit int) ([]dataset.Upload, error) {
	var list []dataset.Upload
	err := c.read(ctx, "listing the uploads of a deleted dataset", func(tx *sql.Tx) error {
		number, err := toPurge(ctx, tx, d)
		if err != nil || number == 0 {
			return err
		}
		rows, err := tx.QueryContext(ctx, selectRemaining, d.Tenant, d.ID, max(limit, 1))
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells
		for rows.Next() {
			u, err := scanUpload(rows)
			if err != nil {
				return err
			}
			list = append(list, u)
		}
		return rows.Err()
	})
	return list, err
}

// RemoveUploads implements dataset.Purges.
func (c *Catalog) RemoveUploads(ctx context.Context, d dataset.DeletedDataset, uploads []dataset.Upload) error {
	for some := range slices.Chunk(uploads, purgedAtOnce) {
		err := c.write(ctx, "removing uploads of a deleted dataset", func(tx *sql.Tx) error {
			for _, u := range some {
				_, err := tx.ExecContext(ctx, `DELETE FROM uploads WHERE tenant = ? AND id = ? AND dataset_id = ?`, d.Tenant, u.ID, d.ID)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// RemoveInfos implements dataset.Purges.
func (c *Catalog) RemoveInfos(ctx context.Context, d dataset.DeletedDataset, limit int) (removed int, err error) {
	err = c.write(ctx, "removing what was said of files of a deleted dataset", func(tx *sql.Tx) error {
		number, err := toPurge(ctx, tx, d)
		if err != nil || number == 0 {
			return err
		}
		ids, err := assetIDs(ctx, tx, selectOfOwner, d.Tenant, asset.Collection, d.ID, afterEveryID, max(limit, 1))
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := removeInfo(ctx, tx, d.Tenant, id); err != nil {
				return err
			}
		}
		removed = len(ids)
		return nil
	})
	return removed, err
}

// EndPurge implements dataset.Purges. Of the row there stay the id, when and by
// which request it was deleted, and the counters of that request's answer.
func (c *Catalog) EndPurge(ctx context.Context, d dataset.DeletedDataset) error {
	return c.write(ctx, "ending the purge of a dataset", func(tx *sql.Tx) error {
		number, err := toPurge(ctx, tx, d)
		if err != nil || number == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM schemas WHERE dataset = ?`, number); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE datasets SET purged = 1, name = '', metadata = NULL, schema_key = NULL WHERE number = ?`, number)
		return err
	})
}
