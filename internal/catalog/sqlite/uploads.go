package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
)

var _ dataset.Uploads = (*Catalog)(nil)

const (
	uploadColumns = `id, dataset_id, file_id, file_name, bytes, part_bytes, checksum, object_key, parts_id, state,
		created_at, valid_until, rows, crc64nvme, schema_key, position, uploaded_at, asset_version, draft`
	selectUpload        = `SELECT ` + uploadColumns + ` FROM uploads WHERE tenant = ? AND id = ?`
	selectUploads       = `SELECT ` + uploadColumns + ` FROM uploads WHERE tenant = ? AND id < ? ORDER BY id DESC LIMIT ?`
	selectUploadsOf     = `SELECT ` + uploadColumns + ` FROM uploads WHERE tenant = ? AND dataset_id = ? AND id < ? ORDER BY id DESC LIMIT ?`
	selectUploadSchema  = `SELECT schema FROM uploads WHERE tenant = ? AND id = ? AND schema IS NOT NULL`
	forgetUploads       = `DELETE FROM uploads WHERE number IN (SELECT number FROM uploads WHERE ` + settledUploads + ` AND created_at < ? LIMIT ?)`
	settledUploads      = `state IN ('appended', 'aborted')`
	forgetUploadsAtOnce = 10
)

func scanUpload(s scanner) (dataset.Upload, error) {
	var (
		u          dataset.Upload
		validUntil int64
		schemaKey  []byte
		draft      string
	)
	err := s.Scan(&u.ID, &u.DatasetID, &u.FileID, &u.FileName, &u.SizeBytes, &u.PartSize, &u.Checksum, &u.ObjectKey, &u.PartsID, &u.State,
		(*moment)(&u.CreatedAt), &validUntil, &u.RowCount, &u.CRC64NVME, &schemaKey, &u.Position, (*moment)(&u.UploadedAt), &u.Version, &draft)
	if err != nil {
		return u, err
	}
	u.ExpiresAt = time.UnixMicro(validUntil).UTC()
	copy(u.SchemaKey[:], schemaKey)
	u.Asset, err = record.DecodeDraft(draft)
	return u, err
}

// upload finds a tenant's upload.
func upload(ctx context.Context, tx *sql.Tx, tenant, id string) (dataset.Upload, error) {
	u, err := scanUpload(tx.QueryRowContext(ctx, selectUpload, tenant, id))
	if errors.Is(err, sql.ErrNoRows) {
		return dataset.Upload{}, dataset.ErrUploadNotFound(id)
	}
	return u, err
}

// CreateUpload implements dataset.Uploads.
func (c *Catalog) CreateUpload(ctx context.Context, tenant string, u dataset.Upload, idem dataset.Idempotency) (dataset.Upload, error) {
	if !dataset.IDCanExist(tenant) || !dataset.IDCanExist(u.ID) || u.FileID != dataset.FileIDOf(u.ID) || u.CreatedAt.IsZero() || u.ExpiresAt.IsZero() {
		return dataset.Upload{}, errors.New("creating an upload: it needs a tenant, two ids and two times")
	}
	var created dataset.Upload
	err := c.write(ctx, "creating an upload", func(tx *sql.Tx) error {
		id, err := c.createdUpload(ctx, tx, tenant, idem)
		if err != nil {
			return err
		}
		if id == "" {
			if err := c.insertUpload(ctx, tx, tenant, u, idem); err != nil {
				return err
			}
		}
		created, err = upload(ctx, tx, tenant, cmp.Or(id, u.ID))
		return err
	})
	return created, err
}

// createdUpload finds the id of the upload that a key created, or "".
func (c *Catalog) createdUpload(ctx context.Context, tx *sql.Tx, tenant string, idem dataset.Idempotency) (string, error) {
	r, err := c.earlier(ctx, tx, tenant, idem)
	if err != nil || r == nil {
		return "", err
	}
	if r.kind != kindUpload {
		return "", dataset.ErrIdempotencyKeyReused()
	}
	return string(r.answer), nil
}

// insertUpload adds an upload, and forgets some whose time is long over; one
// that is there already was added by an earlier try of the same call.
func (c *Catalog) insertUpload(ctx context.Context, tx *sql.Tx, tenant string, u dataset.Upload, idem dataset.Idempotency) error {
	draft, err := record.EncodeDraft(u.Asset)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO uploads (tenant, id, dataset_id, file_id, file_name, bytes, part_bytes, checksum, object_key, parts_id,
		state, created_at, valid_until, draft) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, id) DO NOTHING`,
		tenant, u.ID, u.DatasetID, u.FileID, u.FileName, u.SizeBytes, u.PartSize, u.Checksum, u.ObjectKey, u.PartsID,
		dataset.UploadOpen, moment(u.CreatedAt), u.ExpiresAt.UnixMicro(), draft)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, forgetUploads, moment(c.now().Add(-dataset.UploadKept)), forgetUploadsAtOnce); err != nil {
		return err
	}
	return c.remember(ctx, tx, tenant, idem, request{kind: kindUpload, datasetID: u.DatasetID, answer: []byte(u.ID)})
}

// CreatedUpload implements dataset.Uploads.
func (c *Catalog) CreatedUpload(ctx context.Context, tenant string, idem dataset.Idempotency) (dataset.Upload, error) {
	var found dataset.Upload
	err := c.read(ctx, "reading an upload", func(tx *sql.Tx) error {
		id, err := c.createdUpload(ctx, tx, tenant, idem)
		if err != nil {
			return err
		}
		found, err = upload(ctx, tx, tenant, id)
		return err
	})
	return found, err
}

// Upload implements dataset.Uploads.
func (c *Catalog) Upload(ctx context.Context, tenant, id string) (dataset.Upload, error) {
	var found dataset.Upload
	err := c.read(ctx, "reading an upload", func(tx *sql.Tx) (err error) {
		found, err = upload(ctx, tx, tenant, id)
		return err
	})
	return found, err
}

// UploadsByID implements dataset.Uploads.
func (c *Catalog) UploadsByID(ctx context.Context, tenant string, ids []string) ([]dataset.Upload, error) {
	var found []dataset.Upload
	err := c.read(ctx, "reading uploads", func(tx *sql.Tx) error {
		for _, id := range ids {
			u, err := scanUpload(tx.QueryRowContext(ctx, selectUpload, tenant, id))
			switch {
			case errors.Is(err, sql.ErrNoRows):
			case err != nil:
				return err
			default:
				found = append(found, u)
			}
		}
		return nil
	})
	return found, err
}

// UploadSchema implements dataset.Uploads.
func (c *Catalog) UploadSchema(ctx context.Context, tenant, id string) (schema.Schema, error) {
	var found record.Schema
	err := c.read(ctx, "reading an upload's schema", func(tx *sql.Tx) error {
		var body []byte
		err := tx.QueryRowContext(ctx, selectUploadSchema, tenant, id).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) {
			return dataset.ErrUploadNotFound(id)
		}
		if err != nil {
			return err
		}
		found, err = record.DecodeSchema(body)
		return err
	})
	return found.Schema, err
}

// CompleteUpload implements dataset.Uploads.
func (c *Catalog) CompleteUpload(ctx context.Context, tenant, id string, done dataset.Completion) (dataset.Upload, error) {
	var completed dataset.Upload
	err := c.write(ctx, "completing an upload", func(tx *sql.Tx) error {
		u, err := upload(ctx, tx, tenant, id)
		if err != nil {
			return err
		}
		now := c.now()
		if completed = u; (u.State == dataset.UploadComplete || u.State == dataset.UploadAppended) && !u.Expired(now) {
			return nil
		}
		if u.State != dataset.UploadOpen || u.Expired(now) {
			return dataset.ErrUploadClosed(u, now)
		}
		var body, schemaKey []byte // none outside datasets
		if !u.OutsideDatasets() {
			if body, err = (record.Schema{Schema: done.Schema, File: u.FileName}).Encode(); err != nil {
				return err
			}
			k := done.Schema.Key()
			schemaKey = k[:]
		}
		_, err = tx.ExecContext(ctx, `UPDATE uploads SET state = ?, valid_until = ?, rows = ?, crc64nvme = ?, schema_key = ?, schema = ? WHERE tenant = ? AND id = ?`,
			dataset.UploadComplete, done.ExpiresAt.UnixMicro(), done.RowCount, done.CRC64NVME, schemaKey, body, tenant, id)
		if err != nil {
			return err
		}
		completed, err = upload(ctx, tx, tenant, id)
		return err
	})
	return completed, err
}

// AbortUpload implements dataset.Uploads.
func (c *Catalog) AbortUpload(ctx context.Context, tenant, id string) (dataset.Upload, error) {
	var aborted dataset.Upload
	err := c.write(ctx, "aborting an upload", func(tx *sql.Tx) error {
		u, err := upload(ctx, tx, tenant, id)
		if err != nil {
			return err
		}
		if u.State == dataset.UploadAppended {
			return dataset.ErrUploadClosed(u, c.now())
		}
		_, err = tx.ExecContext(ctx, `UPDATE uploads SET state = ? WHERE tenant = ? AND id = ?`, dataset.UploadAborted, tenant, id)
		aborted = u
		aborted.State = dataset.UploadAborted
		return err
	})
	return aborted, err
}

// ListUploads implements dataset.Uploads.
func (c *Catalog) ListUploads(ctx context.Context, tenant, datasetID, after string, limit int) (dataset.UploadPage, error) {
	if after != "" && !dataset.IDCanExist(after) {
		return dataset.UploadPage{}, nil
	}
	limit = max(limit, 1)
	query, arguments := selectUploads, []any{tenant, cmp.Or(after, afterEveryID), limit + 1}
	if datasetID != "" {
		query, arguments = selectUploadsOf, []any{tenant, datasetID, cmp.Or(after, afterEveryID), limit + 1}
	}
	var page dataset.UploadPage
	err := c.read(ctx, "listing uploads", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, query, arguments...)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells
		for rows.Next() {
			u, err := scanUpload(rows)
			if err != nil {
				return err
			}
			page.Uploads = append(page.Uploads, u)
		}
		return rows.Err()
	})
	if err != nil {
		return dataset.UploadPage{}, err
	}
	if len(page.Uploads) > limit {
		page.Uploads = page.Uploads[:limit]
		page.Next = page.Uploads[limit-1].ID
	}
	return page, nil
}

// settleUploads checks the uploads that an append's files come from, and makes
// them appended.
func (c *Catalog) settleUploads(ctx context.Context, tx *sql.Tx, a dataset.Append, files []dataset.File) error {
	now := c.now()
	for i, id := range a.Uploads {
		u, err := upload(ctx, tx, a.Tenant, id)
		if err != nil {
			return err
		}
		if err := dataset.CheckUpload(u, a.DatasetID, now); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE uploads SET state = ?, position = ?, uploaded_at = ?, draft = '' WHERE tenant = ? AND id = ?`,
			dataset.UploadAppended, files[i].Position, moment(files[i].UploadedAt), a.Tenant, id)
		if err != nil {
			return err
		}
	}
	return nil
}
