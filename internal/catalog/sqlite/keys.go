package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/parqueue/parqueue/internal/keys"
)

const keyColumns = `hash, id, tenant, name, prefix, scopes, datasets, created_at, expires_at, revoked_at`

// AddKey implements keys.Store.
func (c *Catalog) AddKey(ctx context.Context, k keys.Key) error {
	scopes, err := json.Marshal(k.Scopes)
	if err != nil {
		return fmt.Errorf("adding a key: %w", err)
	}
	datasets, err := json.Marshal(k.Datasets)
	if err != nil {
		return fmt.Errorf("adding a key: %w", err)
	}
	return c.write(ctx, "adding a key", func(tx *sql.Tx) error {
		have, err := scanKey(tx.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM keys WHERE hash = ?`, k.Hash[:]))
		if err == nil && have.ID == k.ID {
			return nil // an earlier try of this call
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO keys (`+keyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.Hash[:], k.ID, k.Tenant, k.Name, k.Prefix, string(scopes), string(datasets),
			moment(k.CreatedAt), moment(k.ExpiresAt), moment(k.RevokedAt))
		return err
	})
}

// KeyByHash implements keys.Store.
func (c *Catalog) KeyByHash(ctx context.Context, hash [32]byte) (keys.Key, error) {
	var found keys.Key
	err := c.read(ctx, "reading a key", func(tx *sql.Tx) (err error) {
		found, err = oneKey(ctx, tx, "hash", hash[:])
		return err
	})
	return found, err
}

// Keys implements keys.Store.
func (c *Catalog) Keys(ctx context.Context, tenant string) ([]keys.Key, error) {
	var list []keys.Key
	err := c.read(ctx, "listing keys", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT `+keyColumns+` FROM keys WHERE ? IN ('', tenant) ORDER BY id`, tenant)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells
		for rows.Next() {
			k, err := scanKey(rows)
			if err != nil {
				return err
			}
			list = append(list, k)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// RevokeKey implements keys.Store.
func (c *Catalog) RevokeKey(ctx context.Context, id string, at time.Time) (keys.Key, error) {
	var revoked keys.Key
	err := c.write(ctx, "revoking a key", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at = ''`, moment(at), id); err != nil {
			return err
		}
		var err error
		revoked, err = oneKey(ctx, tx, "id", id)
		return err
	})
	if err != nil {
		return keys.Key{}, err
	}
	return revoked, nil
}

// oneKey finds a key by one of its unique columns.
func oneKey(ctx context.Context, tx *sql.Tx, column string, value any) (keys.Key, error) {
	k, err := scanKey(tx.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM keys WHERE `+column+` = ?`, value))
	if errors.Is(err, sql.ErrNoRows) {
		return keys.Key{}, keys.ErrNotFound()
	}
	return k, err
}

func scanKey(s scanner) (keys.Key, error) {
	var (
		k                      keys.Key
		hash, scopes, datasets []byte
	)
	err := s.Scan(&hash, &k.ID, &k.Tenant, &k.Name, &k.Prefix, &scopes, &datasets,
		(*moment)(&k.CreatedAt), (*moment)(&k.ExpiresAt), (*moment)(&k.RevokedAt))
	if err != nil {
		return keys.Key{}, err
	}
	if copy(k.Hash[:], hash) != len(k.Hash) {
		return keys.Key{}, errors.New("a stored key's hash is too short")
	}
	if err := json.Unmarshal(scopes, &k.Scopes); err != nil {
		return keys.Key{}, fmt.Errorf("reading a key's scopes: %w", err)
	}
	if err := json.Unmarshal(datasets, &k.Datasets); err != nil {
		return keys.Key{}, fmt.Errorf("reading a key's datasets: %w", err)
	}
	return k, nil
}
