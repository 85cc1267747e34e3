package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// migrations are the steps from an empty file to the present layout. A step
// is never changed once it was released; a new one is added behind it. The
// file's user_version is the number of steps that it has seen.
//
// Names compare byte by byte: that is SQLite's default for TEXT.
func migrations() []string {
	return []string{`
CREATE TABLE datasets (
	number        INTEGER PRIMARY KEY,
	tenant        TEXT    NOT NULL,
	id            TEXT    NOT NULL,
	name          TEXT    NOT NULL,
	metadata      TEXT,
	created_at    TEXT    NOT NULL,
	updated_at    TEXT    NOT NULL,
	files         INTEGER NOT NULL DEFAULT 0,
	bytes         INTEGER NOT NULL DEFAULT 0,
	rows          INTEGER NOT NULL DEFAULT 0,
	next_position INTEGER NOT NULL DEFAULT 0,
	schema_key    BLOB,
	UNIQUE (tenant, id)
) STRICT;

-- Apart from datasets, whose rows every append writes anew.
CREATE TABLE schemas (
	dataset INTEGER PRIMARY KEY REFERENCES datasets,
	body    BLOB NOT NULL
) STRICT;

CREATE TABLE files (
	dataset     INTEGER NOT NULL REFERENCES datasets,
	position    INTEGER NOT NULL,
	name        TEXT    NOT NULL,
	id          TEXT    NOT NULL,
	bytes       INTEGER NOT NULL,
	rows        INTEGER NOT NULL,
	crc64nvme   TEXT    NOT NULL,
	object_key  TEXT    NOT NULL,
	uploaded_at TEXT    NOT NULL,
	PRIMARY KEY (dataset, position),
	UNIQUE (dataset, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
	tenant      TEXT    NOT NULL,
	key         BLOB    NOT NULL,
	kind        TEXT    NOT NULL,
	dataset_id  TEXT    NOT NULL,
	fingerprint TEXT    NOT NULL,
	answer      BLOB,
	expires_at  INTEGER NOT NULL,
	PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_expiry ON requests (expires_at);

CREATE TABLE keys (
	hash       BLOB PRIMARY KEY NOT NULL,
	id         TEXT NOT NULL UNIQUE,
	tenant     TEXT NOT NULL,
	name       TEXT NOT NULL,
	prefix     TEXT NOT NULL,
	scopes     TEXT NOT NULL,
	datasets   TEXT NOT NULL,
	created_at TEXT NOT NULL,
	expires_at TEXT NOT NULL,
	revoked_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_tenant ON keys (tenant, id);
`, `
CREATE TABLE uploads (
	number      INTEGER PRIMARY KEY,
	tenant      TEXT    NOT NULL,
	id          TEXT    NOT NULL,
	dataset_id  TEXT    NOT NULL,
	file_id     TEXT    NOT NULL,
	file_name   TEXT    NOT NULL,
	bytes       INTEGER NOT NULL,
	part_bytes  INTEGER NOT NULL,
	checksum    TEXT    NOT NULL,
	object_key  TEXT    NOT NULL,
	parts_id    TEXT    NOT NULL,
	state       TEXT    NOT NULL,
	created_at  TEXT    NOT NULL,
	valid_until INTEGER NOT NULL, -- microseconds since 1970
	rows        INTEGER NOT NULL DEFAULT 0,
	crc64nvme   TEXT    NOT NULL DEFAULT '',
	position    INTEGER NOT NULL DEFAULT 0,
	uploaded_at TEXT    NOT NULL DEFAULT '',
	schema_key  BLOB,
	schema      BLOB, -- last, because it may be large
	UNIQUE (tenant, id)
) STRICT;
CREATE INDEX uploads_by_dataset ON uploads (tenant, dataset_id, id);
CREATE INDEX uploads_settled ON uploads (created_at) WHERE state IN ('appended', 'aborted');
`, `
ALTER TABLE datasets ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
`, `
-- The file that was deleted last under a name, by which a repeated append or
-- deletion is known for what it is.
CREATE TABLE deleted_files (
	dataset     INTEGER NOT NULL REFERENCES datasets,
	position    INTEGER NOT NULL,
	name        TEXT    NOT NULL,
	id          TEXT    NOT NULL,
	bytes       INTEGER NOT NULL,
	rows        INTEGER NOT NULL,
	crc64nvme   TEXT    NOT NULL,
	object_key  TEXT    NOT NULL,
	uploaded_at TEXT    NOT NULL,
	deleted_by  TEXT    NOT NULL,
	PRIMARY KEY (dataset, name)
) STRICT, WITHOUT ROWID;
`, `
-- Every deleted file, so that its id is known for good.
CREATE TABLE every_deleted_file (
	dataset     INTEGER NOT NULL REFERENCES datasets,
	position    INTEGER NOT NULL,
	name        TEXT    NOT NULL,
	id          TEXT    NOT NULL,
	bytes       INTEGER NOT NULL,
	rows        INTEGER NOT NULL,
	crc64nvme   TEXT    NOT NULL,
	object_key  TEXT    NOT NULL,
	uploaded_at TEXT    NOT NULL,
	deleted_by  TEXT    NOT NULL,
	PRIMARY KEY (dataset, position)
) STRICT, WITHOUT ROWID;
INSERT INTO every_deleted_file SELECT dataset, position, name, id, bytes, rows, crc64nvme, object_key, uploaded_at, deleted_by FROM deleted_files;
DROP TABLE deleted_files;
ALTER TABLE every_deleted_file RENAME TO deleted_files;
CREATE INDEX deleted_files_by_name ON deleted_files (dataset, name, position);
CREATE INDEX deleted_files_by_id ON deleted_files (id);
CREATE INDEX files_by_id ON files (id);

-- The ids of files without an upload that will never be appended.
CREATE TABLE claimed_files (
	tenant TEXT NOT NULL,
	id     TEXT NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
`, `
-- A deleted dataset is one for nobody but its purge; the row stays for ever, so
-- that the id is not used again.
ALTER TABLE datasets ADD COLUMN deleted_at INTEGER; -- nanoseconds since 1970
ALTER TABLE datasets ADD COLUMN deleted_by TEXT;
ALTER TABLE datasets ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
CREATE INDEX datasets_listed ON datasets (tenant, id) WHERE deleted_at IS NULL;
CREATE INDEX datasets_to_purge ON datasets (deleted_at, tenant, id) WHERE deleted_at IS NOT NULL AND purged = 0;
`, `
-- How far tasks are that run now and then.
CREATE TABLE tasks (
	name     TEXT PRIMARY KEY NOT NULL,
	progress BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE datasets ADD COLUMN ingest_order TEXT NOT NULL DEFAULT '';
`, `
-- What an upload is to become outside datasets, or what is said of its file.
ALTER TABLE uploads ADD COLUMN draft TEXT NOT NULL DEFAULT '';
ALTER TABLE uploads ADD COLUMN asset_version INTEGER NOT NULL DEFAULT 0;

-- An asset outside datasets, which has versions, and stays when it is deleted; or, with
-- version 0, what is said of a file of a dataset.
CREATE TABLE assets (
	number      INTEGER PRIMARY KEY,
	tenant      TEXT    NOT NULL,
	id          TEXT    NOT NULL,
	owner_type  TEXT    NOT NULL,
	owner_id    TEXT    NOT NULL,
	version     INTEGER NOT NULL,
	revision    INTEGER NOT NULL,
	created_at  TEXT    NOT NULL,
	updated_at  TEXT    NOT NULL,
	deleted_by  TEXT,
	title       TEXT    NOT NULL,
	description TEXT    NOT NULL,
	alias       TEXT    NOT NULL,
	tags        TEXT    NOT NULL, -- a list as JSON
	metadata    TEXT,             -- last, because it may be large
	UNIQUE (tenant, id)
) STRICT;
CREATE UNIQUE INDEX assets_by_alias ON assets (tenant, owner_type, owner_id, alias) WHERE alias <> '';
CREATE INDEX assets_of_alias ON assets (tenant, alias, id) WHERE alias <> '';
CREATE INDEX assets_of_owner ON assets (tenant, owner_type, owner_id, id) WHERE deleted_by IS NULL;
CREATE INDEX assets_of_tenant ON assets (tenant, id) WHERE deleted_by IS NULL AND version > 0;

CREATE TABLE asset_versions (
	asset      INTEGER NOT NULL REFERENCES assets,
	version    INTEGER NOT NULL,
	file_id    TEXT    NOT NULL,
	file_name  TEXT    NOT NULL,
	bytes      INTEGER NOT NULL,
	crc64nvme  TEXT    NOT NULL,
	object_key TEXT    NOT NULL,
	created_at TEXT    NOT NULL,
	PRIMARY KEY (asset, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX asset_versions_by_file ON asset_versions (file_id);

CREATE TABLE asset_tags (
	tenant     TEXT    NOT NULL,
	tag        TEXT    NOT NULL,
	asset_id   TEXT    NOT NULL,
	owner_type TEXT    NOT NULL,
	owner_id   TEXT    NOT NULL,
	PRIMARY KEY (tenant, tag, asset_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX asset_tags_of_owner ON asset_tags (tenant, owner_type, owner_id, tag, asset_id);
CREATE INDEX asset_tags_of_asset ON asset_tags (tenant, asset_id);
`}
}

// migrate brings the file to the present layout. Two processes that open a new
// file at once take turns.
func (c *Catalog) migrate(ctx context.Context) error {
	deadline := time.Now().Add(busyTimeout)
	for {
		err := c.migrateOnce(ctx)
		// Switching a new file to its log does not wait for other processes.
		if primary(err) != sqlite3.SQLITE_BUSY || time.Now().After(deadline) || ctx.Err() != nil {
			return c.refusal("preparing the catalog", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *Catalog) migrateOnce(ctx context.Context) error {
	tx, err := c.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // no effect after a commit
	var have int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	steps := migrations()
	if have > len(steps) {
		return fmt.Errorf("the catalog was written by a newer parqueue (layout %d, this one knows %d): install the newer one", have, len(steps))
	}
	if have == len(steps) {
		return nil
	}
	return c.step(ctx, tx, steps[have:], len(steps))
}

func (c *Catalog) step(ctx context.Context, tx *sql.Tx, steps []string, version int) error {
	for _, s := range steps {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
		return err
	}
	return tx.Commit()
}
