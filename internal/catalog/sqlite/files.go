package sqlite

import (
	"context"
	"database/sql"

	"github.com/parqueue/parqueue/internal/dataset"
)

// File implements dataset.Catalog.
func (c *Catalog) File(ctx context.Context, tenant, datasetID, name string) (dataset.File, error) {
	var found dataset.File
	err := c.read(ctx, "reading a file's entry", func(tx *sql.Tx) error {
		d, err := head(ctx, tx, tenant, datasetID)
		if err != nil {
			return err
		}
		if !dataset.NameCanExist(name) {
			return dataset.ErrFileNotFound()
		}
		f, err := byName(ctx, tx, d.number, name)
		if err != nil {
			return err
		}
		if f == nil {
			return dataset.ErrFileNotFound()
		}
		found = *f
		return nil
	})
	return found, err
}

// Files implements dataset.Catalog. The primary key makes a page cost the
// same wherever in the dataset it is.
func (c *Catalog) Files(ctx context.Context, tenant, datasetID string, from int64, limit int) (dataset.FilePage, error) {
	limit = max(limit, 1)
	var page dataset.FilePage
	err := c.read(ctx, "listing files", func(tx *sql.Tx) error {
		d, err := one(ctx, tx, tenant, datasetID)
		if err != nil {
			return err
		}
		page.Dataset = d.Dataset
		page.Files, err = filesFrom(ctx, tx, d.number, from, limit)
		return err
	})
	if err != nil {
		return dataset.FilePage{}, err
	}
	if len(page.Files) == limit {
		next := page.Files[limit-1].Position + 1
		page.More, page.Next = next < page.Dataset.NextPosition, next
	}
	return page, nil
}

func filesFrom(ctx context.Context, tx *sql.Tx, number, from int64, atMost int) ([]dataset.File, error) {
	rows, err := tx.QueryContext(ctx, selectFiles, number, from, atMost)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var files []dataset.File
	for rows.Next() {
		f, err := scanFile(rows)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, rows.Err()
}
