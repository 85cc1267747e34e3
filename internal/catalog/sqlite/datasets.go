package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
)

// row is a dataset with what only this package knows of it.
type row struct {
	dataset.Dataset
	number    int64 // other tables refer to it
	schemaKey []byte
}

const (
	selectHead  = `SELECT number, id, name, metadata, created_at, updated_at, files, bytes, rows, next_position, version, ingest_order, schema_key, NULL FROM datasets `
	selectWhole = `SELECT number, id, name, metadata, created_at, updated_at, files, bytes, rows, next_position, version, ingest_order, schema_key, body
		FROM datasets LEFT JOIN schemas ON dataset = number `
	whereID    = `WHERE tenant = ? AND id = ? AND deleted_at IS NULL`
	selectPage = selectWhole + `WHERE tenant = ? AND id < ? AND deleted_at IS NULL ORDER BY id DESC LIMIT ?`
)

// afterEveryID sorts after all that dataset.IDCanExist lets pass.
const afterEveryID = "~"

type scanner interface{ Scan(...any) error }

func scanDataset(s scanner) (row, error) {
	var (
		r        row
		metadata sql.NullString
		schema   []byte
	)
	err := s.Scan(&r.number, &r.ID, &r.Name, &metadata, (*moment)(&r.CreatedAt), (*moment)(&r.UpdatedAt),
		&r.FileCount, &r.TotalSizeBytes, &r.TotalRows, &r.NextPosition, &r.Version, &r.IngestOrder, &r.schemaKey, &schema)
	if err != nil {
		return row{}, err
	}
	if metadata.Valid {
		r.Metadata = json.RawMessage(metadata.String)
	}
	if schema == nil {
		return r, nil
	}
	decoded, err := record.DecodeSchema(schema)
	if err != nil {
		return row{}, err
	}
	r.Schema, r.SchemaFile = &decoded.Schema, decoded.File
	return r, nil
}

// one finds a tenant's dataset with its schema.
func one(ctx context.Context, tx *sql.Tx, tenant, id string) (row, error) {
	return find(ctx, tx, selectWhole, tenant, id)
}

// head finds a tenant's dataset without its schema, which may be large.
func head(ctx context.Context, tx *sql.Tx, tenant, id string) (row, error) {
	return find(ctx, tx, selectHead, tenant, id)
}

func find(ctx context.Context, tx *sql.Tx, selection, tenant, id string) (row, error) {
	r, err := scanDataset(tx.QueryRowContext(ctx, selection+whereID, tenant, id))
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, dataset.ErrDatasetNotFound()
	}
	return r, err
}

// Dataset implements dataset.Catalog.
func (c *Catalog) Dataset(ctx context.Context, tenant, id string) (dataset.Dataset, error) {
	var found row
	err := c.read(ctx, "reading a dataset", func(tx *sql.Tx) (err error) {
		found, err = one(ctx, tx, tenant, id)
		return err
	})
	return found.Dataset, err
}

// Exists implements dataset.Catalog.
func (c *Catalog) Exists(ctx context.Context, tenant, id string) error {
	return c.read(ctx, "reading a dataset", func(tx *sql.Tx) error {
		_, err := head(ctx, tx, tenant, id)
		return err
	})
}

// Datasets implements dataset.Catalog.
func (c *Catalog) Datasets(ctx context.Context, tenant, after string, limit int) (dataset.DatasetPage, error) {
	if after != "" && !dataset.IDCanExist(after) {
		return dataset.DatasetPage{}, nil
	}
	limit = max(limit, 1)
	var page dataset.DatasetPage
	err := c.read(ctx, "listing datasets", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, selectPage, tenant, cmp.Or(after, afterEveryID), limit+1)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells
		for rows.Next() {
			r, err := scanDataset(rows)
			if err != nil {
				return err
			}
			page.Datasets = append(page.Datasets, r.Dataset)
		}
		return rows.Err()
	})
	if err != nil {
		return dataset.DatasetPage{}, err
	}
	if len(page.Datasets) > limit {
		page.Datasets = page.Datasets[:limit]
		page.Next = page.Datasets[limit-1].ID
	}
	return page, nil
}

// CreateDataset implements dataset.Catalog.
func (c *Catalog) CreateDataset(ctx context.Context, tenant string, d dataset.Dataset, idem dataset.Idempotency) (dataset.Dataset, error) {
	if err := checkNewDataset(tenant, d); err != nil {
		return dataset.Dataset{}, err
	}
	var created row
	err := c.write(ctx, "creating a dataset", func(tx *sql.Tx) error {
		earlier, err := c.earlier(ctx, tx, tenant, idem)
		if err != nil {
			return err
		}
		id := d.ID
		if earlier != nil {
			if id = earlier.datasetID; earlier.kind != kindCreate {
				return dataset.ErrIdempotencyKeyReused()
			}
		} else if err := c.insertDataset(ctx, tx, tenant, d, idem); err != nil {
			return err
		}
		created, err = one(ctx, tx, tenant, id)
		return err
	})
	return created.Dataset, err
}

// insertDataset adds a dataset; one that is there already was added by an
// earlier try of the same call, and may have been deleted since.
func (c *Catalog) insertDataset(ctx context.Context, tx *sql.Tx, tenant string, d dataset.Dataset, idem dataset.Idempotency) error {
	metadata := sql.NullString{String: string(d.Metadata), Valid: d.Metadata != nil}
	created := moment(d.CreatedAt)
	_, err := tx.ExecContext(ctx, `INSERT INTO datasets (tenant, id, name, metadata, ingest_order, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, id) DO NOTHING`, tenant, d.ID, d.Name, metadata, d.IngestOrder, created, created)
	if err != nil {
		return err
	}
	return c.remember(ctx, tx, tenant, idem, request{kind: kindCreate, datasetID: d.ID})
}

// UpdateDataset implements dataset.Catalog.
func (c *Catalog) UpdateDataset(ctx context.Context, u dataset.Update) (dataset.Dataset, error) {
	var updated row
	err := c.write(ctx, "updating a dataset", func(tx *sql.Tx) error {
		d, err := head(ctx, tx, u.Tenant, u.DatasetID)
		if err != nil {
			return err
		}
		earlier, err := c.earlier(ctx, tx, u.Tenant, u.Idempotency)
		if err != nil {
			return err
		}
		if earlier == nil {
			err = c.update(ctx, tx, d, u)
		} else if earlier.kind != kindUpdate || earlier.datasetID != u.DatasetID {
			err = dataset.ErrIdempotencyKeyReused()
		}
		if err != nil {
			return err
		}
		updated, err = one(ctx, tx, u.Tenant, u.DatasetID)
		return err
	})
	return updated.Dataset, err
}

func (c *Catalog) update(ctx context.Context, tx *sql.Tx, d row, u dataset.Update) error {
	if u.IfVersion != 0 && u.IfVersion != d.Version {
		return dataset.ErrVersionMismatch(d.Version)
	}
	if u.Name != nil {
		d.Name = *u.Name
	}
	if u.Metadata != nil {
		d.Metadata = u.Metadata
	}
	if u.IngestOrder != nil {
		d.IngestOrder = *u.IngestOrder
	}
	metadata := sql.NullString{String: string(d.Metadata), Valid: d.Metadata != nil}
	_, err := tx.ExecContext(ctx, `UPDATE datasets SET name = ?, metadata = ?, ingest_order = ?, version = version + 1, updated_at = ? WHERE number = ?`,
		d.Name, metadata, d.IngestOrder, moment(c.now()), d.number)
	if err != nil {
		return err
	}
	return c.remember(ctx, tx, u.Tenant, u.Idempotency, request{kind: kindUpdate, datasetID: u.DatasetID})
}

// checkNewDataset finds mistakes of this program: ids never come from callers.
func checkNewDataset(tenant string, d dataset.Dataset) error {
	if !dataset.IDCanExist(tenant) || !dataset.IDCanExist(d.ID) || d.CreatedAt.IsZero() {
		return errors.New("creating a dataset: it needs a tenant, an id and a time")
	}
	return nil
}
