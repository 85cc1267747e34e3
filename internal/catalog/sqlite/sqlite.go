// Package sqlite is the catalog and the key store of the local server: one
// SQLite file, written without cgo. It holds the order of the files, their
// names and schemas; the bytes are elsewhere.
//
// An acknowledged write is on disk before it is answered: the log is synced at
// every commit. Several processes may have the file open at once, so that
// `parqueue keys` works while `parqueue serve` runs.
//
// The package needs no IAM actions.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	driver "modernc.org/sqlite" // registers the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

const (
	busyTimeout = 10 * time.Second // how long a writer waits for another process
	readers     = 8                // connections that read at once
)

// Catalog is a catalog in a SQLite file. It is safe for concurrent use.
type Catalog struct {
	writer *sql.DB // one connection: writers queue here, not at the file's lock
	reader *sql.DB
	dir    string
	now    func() time.Time
}

var (
	_ dataset.Catalog = (*Catalog)(nil)
	_ keys.Store      = (*Catalog)(nil)
)

// Option changes how a catalog works.
type Option func(*Catalog)

// WithClock gives the catalog another clock than time.Now.
func WithClock(now func() time.Time) Option { return func(c *Catalog) { c.now = now } }

// Open opens the catalog in the file at path, and makes it when it is not
// there, readable for its owner alone. The folder must exist.
// Errors: CodeStorageFull.
func Open(ctx context.Context, path string, options ...Option) (*Catalog, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening the catalog: %w", err)
	}
	if err := touch(path); err != nil {
		return nil, fmt.Errorf("opening the catalog: %w", err)
	}
	c := &Catalog{dir: filepath.Dir(path), now: time.Now}
	for _, o := range options {
		o(c)
	}
	if c.writer, err = sql.Open("sqlite", dsn(path, "_txlock=immediate&_pragma=journal_mode(WAL)")); err != nil {
		return nil, fmt.Errorf("opening the catalog: %w", err)
	}
	c.writer.SetMaxOpenConns(1)
	if err := c.migrate(ctx); err != nil {
		return nil, errors.Join(err, c.writer.Close())
	}
	if c.reader, err = sql.Open("sqlite", dsn(path, "_pragma=query_only(1)")); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the catalog: %w", err), c.writer.Close())
	}
	c.reader.SetMaxOpenConns(readers)
	c.reader.SetMaxIdleConns(readers)
	return c, nil
}

// touch makes the file with its mode; SQLite gives the same mode to the files
// that it puts beside it.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func dsn(path, settings string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: fmt.Sprintf(
		"_pragma=busy_timeout(%d)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&%s", busyTimeout.Milliseconds(), settings)}
	return u.String()
}

// Close closes the file once what is running has ended.
func (c *Catalog) Close() error {
	return errors.Join(c.reader.Close(), c.writer.Close())
}

// write runs one transaction that either happens as a whole or not at all. It
// takes the write lock first, so what change reads cannot change under it.
func (c *Catalog) write(ctx context.Context, doing string, change func(*sql.Tx) error) error {
	tx, err := c.writer.BeginTx(ctx, nil)
	if err != nil {
		return c.refusal(doing, err)
	}
	defer tx.Rollback() //nolint:errcheck // no effect after a commit; otherwise the connection is dropped
	if err := change(tx); err != nil {
		return c.refusal(doing, err)
	}
	return c.committed(doing, tx.Commit())
}

// read runs queries that all see the same moment.
func (c *Catalog) read(ctx context.Context, doing string, query func(*sql.Tx) error) error {
	tx, err := c.reader.BeginTx(ctx, nil)
	if err != nil {
		return unreadable(doing, err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	if err := query(tx); err != nil {
		return unreadable(doing, err)
	}
	return nil
}

// refusal names an error of a transaction that did not reach its commit, so
// that nothing changed.
func (c *Catalog) refusal(doing string, err error) error {
	switch code := primary(err); {
	case abandoned(err):
		return dataset.ErrAbandoned().Because(err)
	case code == sqlite3.SQLITE_BUSY:
		return dataset.ErrTooManyWriters().Because(err)
	case code == sqlite3.SQLITE_FULL, code == sqlite3.SQLITE_IOERR && diskFull(c.dir):
		return dataset.ErrStorageFull().Because(err)
	}
	return named(doing, err)
}

// committed names an error of a commit. When SQLite could not write all of the
// log, nothing was committed; after any other failure the log may hold the
// transaction, and the next process to open the file would find it there.
func (c *Catalog) committed(doing string, err error) error {
	if abandoned(err) { // database/sql looks before it commits
		return dataset.ErrAbandoned().Because(err)
	}
	if primary(err) == sqlite3.SQLITE_FULL {
		return dataset.ErrStorageFull().Because(err)
	}
	return named(doing, err)
}

// abandoned reports that a transaction was rolled back because its context had
// ended.
func abandoned(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrTxDone)
}

func unreadable(doing string, err error) error {
	if primary(err) == sqlite3.SQLITE_BUSY {
		return fault.New(fault.CodeUnavailable, "The catalog is busy.", "Try again after a moment.").Because(err)
	}
	return named(doing, err)
}

// named says what was being done, except of an error that a caller acts on.
func named(doing string, err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// primary is SQLite's code of an error without its extension, or 0.
func primary(err error) int {
	var e *driver.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}
