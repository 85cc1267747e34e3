package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"

	"github.com/parqueue/parqueue/internal/dataset"
)

// The kinds of requests that are remembered. A key of one kind is another
// request in any other.
const (
	kindCreate = "create"
	kindUpdate = "update"
	kindAppend = "append"
	kindUpload = "create upload"
	kindDelete = "delete"
	kindDrop   = "delete dataset"

	kindSetAsset    = "set asset"
	kindDeleteAsset = "delete asset"
)

// request is what is remembered of a write under its Idempotency-Key.
type request struct {
	kind        string
	datasetID   string
	fingerprint string
	answer      []byte
}

// earlier finds the request that came with an Idempotency-Key before, or nil.
// Errors: CodeIdempotencyKeyReused.
func (c *Catalog) earlier(ctx context.Context, tx *sql.Tx, tenant string, idem dataset.Idempotency) (*request, error) {
	if idem.Key == "" {
		return nil, nil
	}
	key := sha256.Sum256([]byte(idem.Key))
	var r request
	err := tx.QueryRowContext(ctx, `SELECT kind, dataset_id, fingerprint, answer FROM requests
		WHERE tenant = ? AND key = ? AND expires_at > ?`, tenant, key[:], c.now().Unix()).
		Scan(&r.kind, &r.datasetID, &r.fingerprint, &r.answer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r.fingerprint != idem.Fingerprint {
		return nil, dataset.ErrIdempotencyKeyReused()
	}
	return &r, nil
}

// forgetAtOnce is the most expired requests that one write clears away, so
// that no write takes long.
const forgetAtOnce = 100

const forget = `DELETE FROM requests WHERE (tenant, key) IN (SELECT tenant, key FROM requests WHERE expires_at <= ? LIMIT ?)`

// remember keeps a request for dataset.IdempotencyWindow and forgets some of
// those whose time is over.
func (c *Catalog) remember(ctx context.Context, tx *sql.Tx, tenant string, idem dataset.Idempotency, r request) error {
	if idem.Key == "" {
		return nil
	}
	now := c.now()
	key := sha256.Sum256([]byte(idem.Key))
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO requests (tenant, key, kind, dataset_id, fingerprint, answer, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, tenant, key[:], r.kind, r.datasetID, idem.Fingerprint, r.answer,
		now.Add(dataset.IdempotencyWindow).Unix())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, forget, now.Unix(), forgetAtOnce)
	return err
}
