package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/catalogtest"
	"github.com/parqueue/parqueue/internal/catalog/sqlite"
)

func open(t testing.TB, path string, options ...sqlite.Option) *sqlite.Catalog {
	t.Helper()
	c, err := sqlite.Open(context.Background(), path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return c
}

func TestContract(t *testing.T) {
	catalogtest.Run(t, func(t testing.TB, now func() time.Time) catalogtest.Store {
		return open(t, filepath.Join(t.TempDir(), "catalog.db"), sqlite.WithClock(now))
	})
}
