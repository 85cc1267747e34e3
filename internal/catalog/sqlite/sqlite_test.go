package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
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
		path := filepath.Join(t.TempDir(), "catalog.db")
		return &traced{open(t, path, sqlite.WithClock(now)), path}
	})
}

// traced is a catalog that shows what is in its file.
type traced struct {
	*sqlite.Catalog
	path string
}

// Traces implements catalogtest.Traced. The file has one tenant.
func (c *traced) Traces(t testing.TB, _ string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", c.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var traces []string
	for _, table := range rowsOf(t, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'requests'") {
		for _, row := range rowsOf(t, db, "SELECT * FROM "+table) {
			traces = append(traces, table+" "+row)
		}
	}
	return traces
}

// rowsOf are the rows of a query as texts.
func rowsOf(t testing.TB, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for rows.Next() {
		values, into := make([]string, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &sql.NullString{}
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i := range into {
			values[i] = into[i].(*sql.NullString).String
		}
		texts = append(texts, strings.Join(values, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return texts
}
