package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/parqueue/parqueue/internal/dataset"
)

var _ dataset.Progress = (*Catalog)(nil)

// Progress implements dataset.Progress.
func (c *Catalog) Progress(ctx context.Context, task string) ([]byte, error) {
	var state []byte
	err := c.read(ctx, "reading how far a task is", func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT progress FROM tasks WHERE name = ?`, task).Scan(&state)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return state, err
}

// SaveProgress implements dataset.Progress.
func (c *Catalog) SaveProgress(ctx context.Context, task string, state []byte) error {
	return c.write(ctx, "saving how far a task is", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO tasks (name, progress) VALUES (?, ?)`, task, state)
		return err
	})
}
