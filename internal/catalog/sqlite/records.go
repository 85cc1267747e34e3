package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

var _ dataset.FileRecords = (*Catalog)(nil)

// known is a file that was appended.
type known struct {
	dataset.File
	dataset   int64 // its number
	datasetID string
	deleted   bool
}

const (
	fileByID       = `SELECT f.dataset, d.id, f.position, f.name, f.id, f.bytes, f.rows, f.crc64nvme, f.object_key, f.uploaded_at FROM `
	whereFileID    = ` f CROSS JOIN datasets d WHERE f.id = ? AND d.number = f.dataset AND d.tenant = ?`
	selectByID     = fileByID + `files` + whereFileID
	selectGoneByID = fileByID + `deleted_files` + whereFileID
	selectClaimed  = `SELECT EXISTS (SELECT 1 FROM claimed_files WHERE tenant = ? AND id = ?)`
)

// byID finds a tenant's file that is listed or was deleted, or nil.
func byID(ctx context.Context, tx *sql.Tx, ref dataset.FileRef) (*known, error) {
	for _, query := range []string{selectByID, selectGoneByID} {
		k := known{deleted: query == selectGoneByID}
		f := &k.File
		err := tx.QueryRowContext(ctx, query, ref.FileID, ref.Tenant).Scan(&k.dataset, &k.datasetID, &f.Position, &f.Name, &f.ID, &f.SizeBytes,
			&f.RowCount, &f.CRC64NVME, &f.ObjectKey, (*moment)(&f.UploadedAt))
		if !errors.Is(err, sql.ErrNoRows) {
			return &k, err
		}
	}
	return nil, nil
}

// unclaimed sees that the bytes of a file without an upload were not claimed.
// Errors: CodeUploadClosed.
func unclaimed(ctx context.Context, tx *sql.Tx, tenant string, f dataset.File) error {
	claimed, err := isClaimed(ctx, tx, dataset.FileRef{Tenant: tenant, FileID: f.ID})
	if claimed {
		return dataset.ErrFileClaimed(f)
	}
	return err
}

func isClaimed(ctx context.Context, tx *sql.Tx, ref dataset.FileRef) (claimed bool, err error) {
	err = tx.QueryRowContext(ctx, selectClaimed, ref.Tenant, ref.FileID).Scan(&claimed)
	return claimed, err
}

// fileRecord is what is known of a file id.
func fileRecord(ctx context.Context, tx *sql.Tx, ref dataset.FileRef) (dataset.FileRecord, error) {
	r := dataset.FileRecord{FileRef: ref}
	u, err := upload(ctx, tx, ref.Tenant, dataset.UploadIDOf(ref.FileID))
	switch {
	case err == nil:
		r.State, r.DatasetID, r.UploadID, r.PartsID, r.ExpiresAt = dataset.FileState(u.State), u.DatasetID, u.ID, u.PartsID, u.ExpiresAt
	case !fault.Is(err, fault.CodeUploadNotFound):
		return r, err
	}
	if r.State != dataset.FileUnknown && r.State != dataset.FileAppended {
		return r, nil
	}
	k, err := byID(ctx, tx, ref)
	if err != nil {
		return r, err
	}
	if k != nil {
		if r.State, r.DatasetID = dataset.FileAppended, k.datasetID; k.deleted {
			r.State = dataset.FileDeleted
		}
		return r, nil
	}
	listed, known, err := isContent(ctx, tx, ref)
	if err != nil {
		return r, err
	}
	if listed {
		r.State = dataset.FileAppended
		return r, nil
	}
	if known || r.State == dataset.FileAppended { // it went with its asset or its dataset
		r.State = dataset.FileDeleted
		return r, nil
	}
	claimed, err := isClaimed(ctx, tx, ref)
	if claimed {
		r.State = dataset.FileAborted
	}
	return r, err
}

// FileRecords implements dataset.FileRecords.
func (c *Catalog) FileRecords(ctx context.Context, refs []dataset.FileRef) ([]dataset.FileRecord, error) {
	records := make([]dataset.FileRecord, len(refs))
	err := c.read(ctx, "reading the records of files", func(tx *sql.Tx) (err error) {
		for n, ref := range refs {
			if records[n], err = fileRecord(ctx, tx, ref); err != nil {
				return err
			}
		}
		return nil
	})
	return records, err
}

// ClaimFile implements dataset.FileRecords.
func (c *Catalog) ClaimFile(ctx context.Context, ref dataset.FileRef) (dataset.FileRecord, error) {
	if !dataset.IDCanExist(ref.Tenant) || !dataset.IDCanExist(ref.FileID) {
		return dataset.FileRecord{}, errors.New("claiming a file: it needs a tenant and an id")
	}
	var claimed dataset.FileRecord
	err := c.write(ctx, "claiming a file", func(tx *sql.Tx) (err error) {
		if claimed, err = fileRecord(ctx, tx, ref); err != nil {
			return err
		}
		switch {
		case claimed.State == dataset.FileUnknown:
			_, err = tx.ExecContext(ctx, `INSERT INTO claimed_files (tenant, id) VALUES (?, ?)`, ref.Tenant, ref.FileID)
		case claimed.Expired(c.now()):
			_, err = tx.ExecContext(ctx, `UPDATE uploads SET state = ? WHERE tenant = ? AND id = ?`, dataset.UploadAborted, ref.Tenant, claimed.UploadID)
		default:
			return nil
		}
		claimed.State = dataset.FileAborted
		return err
	})
	return claimed, err
}
