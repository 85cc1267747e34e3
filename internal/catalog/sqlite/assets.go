package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

var _ dataset.Assets = (*Catalog)(nil)

const (
	assetColumns   = `number, id, owner_type, owner_id, version, revision, created_at, updated_at, title, description, alias, tags, metadata`
	selectAsset    = `SELECT ` + assetColumns + ` FROM assets WHERE tenant = ? AND id = ? AND deleted_by IS NULL`
	contentColumns = `version, file_id, file_name, bytes, crc64nvme, object_key, created_at`
	selectVersions = `SELECT ` + contentColumns + ` FROM asset_versions WHERE asset = ? AND version < ? ORDER BY version DESC LIMIT ?`
	selectByAlias  = `SELECT id FROM assets INDEXED BY assets_by_alias WHERE tenant = ? AND owner_type = ? AND owner_id = ? AND alias = ? AND alias <> ''`
	selectContent  = `SELECT a.deleted_by IS NULL FROM asset_versions v INDEXED BY asset_versions_by_file CROSS JOIN assets a
		WHERE v.file_id = ? AND a.number = v.asset AND a.tenant = ?`

	untag      = `DELETE FROM asset_tags INDEXED BY asset_tags_of_asset WHERE tenant = ? AND asset_id = ?`
	removeSaid = `DELETE FROM assets WHERE tenant = ? AND id = ? AND version = 0`

	selectOfTenant     = `SELECT id FROM assets INDEXED BY assets_of_tenant WHERE tenant = ? AND id < ? AND deleted_by IS NULL AND version > 0 ORDER BY id DESC LIMIT ?`
	selectOfOwner      = `SELECT id FROM assets INDEXED BY assets_of_owner WHERE tenant = ? AND owner_type = ? AND owner_id = ? AND id < ? AND deleted_by IS NULL ORDER BY id DESC LIMIT ?`
	selectOfAlias      = `SELECT id FROM assets INDEXED BY assets_of_alias WHERE tenant = ? AND alias = ? AND alias <> '' AND id < ? ORDER BY id DESC LIMIT ?`
	selectOfOwnerAlias = selectByAlias + ` AND id < ? ORDER BY id DESC LIMIT ?`
	selectOfTag        = `SELECT asset_id FROM asset_tags WHERE tenant = ? AND tag = ? AND asset_id < ? ORDER BY asset_id DESC LIMIT ?`
	selectOfOwnerTag   = `SELECT asset_id FROM asset_tags INDEXED BY asset_tags_of_owner WHERE tenant = ? AND owner_type = ? AND owner_id = ? AND tag = ? AND asset_id < ?
		ORDER BY asset_id DESC LIMIT ?`
)

// assetRow is an asset with what only this package knows of it.
type assetRow struct {
	asset.Asset
	number  int64
	version int64 // of the latest content; 0 when this is only what is said of a file of a dataset
}

func scanAsset(s scanner) (assetRow, error) {
	var (
		r        assetRow
		tags     string
		metadata sql.NullString
	)
	err := s.Scan(&r.number, &r.ID, &r.Owner.Type, &r.Owner.ID, &r.version, &r.Revision, (*moment)(&r.CreatedAt), (*moment)(&r.UpdatedAt),
		&r.Info.Title, &r.Info.Description, &r.Info.Alias, &tags, &metadata)
	if err != nil {
		return r, err
	}
	if metadata.Valid {
		r.Info.Metadata = json.RawMessage(metadata.String)
	}
	return r, json.Unmarshal([]byte(tags), &r.Info.Tags)
}

// assetRowOf finds the row of an asset, or of what is said of a file; nil if there is none.
func assetRowOf(ctx context.Context, tx *sql.Tx, tenant, id string) (*assetRow, error) {
	r, err := scanAsset(tx.QueryRowContext(ctx, selectAsset, tenant, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// findAsset finds an asset, which may be a file of a dataset.
// Errors: CodeAssetNotFound.
func findAsset(ctx context.Context, tx *sql.Tx, tenant, id string) (assetRow, error) {
	r, err := assetRowOf(ctx, tx, tenant, id)
	if err != nil {
		return assetRow{}, err
	}
	if r != nil && r.version > 0 {
		contents, err := contentsOf(ctx, tx, r.number, r.version+1, 1)
		if err != nil {
			return assetRow{}, err
		}
		if len(contents) != 1 {
			return assetRow{}, errors.New("reading an asset: it has no content")
		}
		r.Content = contents[0]
		return *r, nil
	}
	k, err := byID(ctx, tx, dataset.FileRef{Tenant: tenant, FileID: id})
	if err != nil {
		return assetRow{}, err
	}
	if k == nil || k.deleted {
		return assetRow{}, asset.ErrNotFound()
	}
	if _, err := head(ctx, tx, tenant, k.datasetID); err != nil {
		if fault.Is(err, fault.CodeDatasetNotFound) {
			err = asset.ErrNotFound()
		}
		return assetRow{}, err
	}
	return said(r, dataset.FileAsset(k.datasetID, k.File)), nil
}

// said is a file of a dataset with what is said of it, if anything is.
func said(r *assetRow, a asset.Asset) assetRow {
	if r == nil {
		return assetRow{Asset: a}
	}
	a.Info, a.Revision, a.UpdatedAt = r.Info, r.Revision, r.UpdatedAt
	return assetRow{Asset: a, number: r.number}
}

func contentsOf(ctx context.Context, tx *sql.Tx, number, below int64, limit int) ([]asset.Content, error) {
	rows, err := tx.QueryContext(ctx, selectVersions, number, below, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var list []asset.Content
	for rows.Next() {
		var c asset.Content
		if err := rows.Scan(&c.Version, &c.FileID, &c.FileName, &c.SizeBytes, &c.CRC64NVME, &c.ObjectKey, (*moment)(&c.CreatedAt)); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// isContent looks for a file among the contents of assets: listed when its asset is
// there, and known when it is or was deleted.
func isContent(ctx context.Context, tx *sql.Tx, ref dataset.FileRef) (listed, known bool, err error) {
	err = tx.QueryRowContext(ctx, selectContent, ref.FileID, ref.Tenant).Scan(&listed)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	return listed, err == nil, err
}

// insertAsset adds an asset, or with version 0 what is said of a file of a dataset.
// Errors: CodeAliasTaken.
func insertAsset(ctx context.Context, tx *sql.Tx, tenant string, a asset.Asset, outside bool) error {
	if err := aliasFree(ctx, tx, tenant, a); err != nil {
		return err
	}
	var version int64
	if outside {
		version = a.Content.Version
	}
	tags, err := json.Marshal(a.Info.Tags)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO assets (tenant, id, owner_type, owner_id, version, revision, created_at, updated_at, title, description, alias, tags, metadata)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, tenant, a.ID, a.Owner.Type, a.Owner.ID, version, a.Revision, moment(a.CreatedAt), moment(a.UpdatedAt),
		a.Info.Title, a.Info.Description, a.Info.Alias, string(tags), metadataOf(a.Info))
	if err != nil {
		return err
	}
	return tagAsset(ctx, tx, tenant, a)
}

func metadataOf(i asset.Info) sql.NullString {
	return sql.NullString{String: string(i.Metadata), Valid: i.Metadata != nil}
}

// aliasFree sees that no other asset of the owner has the alias.
// Errors: CodeAliasTaken.
func aliasFree(ctx context.Context, tx *sql.Tx, tenant string, a asset.Asset) error {
	if a.Info.Alias == "" {
		return nil
	}
	var id string
	err := tx.QueryRowContext(ctx, selectByAlias, tenant, a.Owner.Type, a.Owner.ID, a.Info.Alias).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err == nil && id != a.ID:
		return asset.ErrAliasTaken(a.Info.Alias, id)
	}
	return err
}

func tagAsset(ctx context.Context, tx *sql.Tx, tenant string, a asset.Asset) error {
	for _, tag := range a.Info.Tags {
		_, err := tx.ExecContext(ctx, `INSERT INTO asset_tags (tenant, tag, asset_id, owner_type, owner_id) VALUES (?, ?, ?, ?, ?)`, tenant, tag, a.ID, a.Owner.Type, a.Owner.ID)
		if err != nil {
			return err
		}
	}
	return nil
}

func untagAsset(ctx context.Context, tx *sql.Tx, tenant, id string) error {
	_, err := tx.ExecContext(ctx, untag, tenant, id)
	return err
}

// removeInfo removes what is said of a file of a dataset.
func removeInfo(ctx context.Context, tx *sql.Tx, tenant, fileID string) error {
	if err := untagAsset(ctx, tx, tenant, fileID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, removeSaid, tenant, fileID)
	return err
}

// CommitAsset implements dataset.Assets.
func (c *Catalog) CommitAsset(ctx context.Context, tenant, uploadID string) (dataset.Upload, error) {
	var committed dataset.Upload
	err := c.write(ctx, "committing an asset", func(tx *sql.Tx) error {
		u, err := upload(ctx, tx, tenant, uploadID)
		if err != nil {
			return err
		}
		if committed = u; u.State == dataset.UploadAppended && u.OutsideDatasets() {
			return nil
		}
		now := c.now()
		if err := dataset.CheckContent(u, now); err != nil {
			return err
		}
		u.UploadedAt, u.State = now.UTC().Round(0), dataset.UploadAppended
		if u.Version, err = c.addContent(ctx, tx, tenant, u); err != nil {
			return err
		}
		u.Asset = u.Asset.Place()
		place, err := record.EncodeDraft(u.Asset)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE uploads SET state = ?, asset_version = ?, uploaded_at = ?, draft = ? WHERE tenant = ? AND id = ?`,
			u.State, u.Version, moment(u.UploadedAt), place, tenant, u.ID)
		committed = u
		return err
	})
	return committed, err
}

// addContent makes an upload's file the first content of a new asset, or the next one
// of one that is there, and returns its version.
func (c *Catalog) addContent(ctx context.Context, tx *sql.Tx, tenant string, u dataset.Upload) (int64, error) {
	u.Version = 1
	if u.AssetID() == u.FileID {
		a := asset.Asset{
			ID: u.FileID, Owner: u.Asset.Owner, Info: u.Asset.Info, Content: u.Content(), CreatedAt: u.UploadedAt, UpdatedAt: u.UploadedAt, Revision: 1,
		}
		if err := insertAsset(ctx, tx, tenant, a, true); err != nil {
			return 0, err
		}
	}
	r, err := assetRowOf(ctx, tx, tenant, u.AssetID())
	if err != nil {
		return 0, err
	}
	if r == nil || r.version == 0 {
		return 0, asset.ErrNotFound()
	}
	if u.AssetID() != u.FileID {
		u.Version = r.version + 1
		_, err = tx.ExecContext(ctx, `UPDATE assets SET version = ?, revision = revision + 1, updated_at = ? WHERE number = ?`, u.Version, moment(u.UploadedAt), r.number)
		if err != nil {
			return 0, err
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO asset_versions (asset, `+contentColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		r.number, u.Version, u.FileID, u.FileName, u.SizeBytes, u.CRC64NVME, u.ObjectKey, moment(u.UploadedAt))
	return u.Version, err
}

// Asset implements dataset.Assets.
func (c *Catalog) Asset(ctx context.Context, tenant, id string) (asset.Asset, error) {
	var found assetRow
	err := c.read(ctx, "reading an asset", func(tx *sql.Tx) (err error) {
		found, err = findAsset(ctx, tx, tenant, id)
		return err
	})
	return found.Asset, err
}

// AssetsOfFiles implements dataset.Assets.
func (c *Catalog) AssetsOfFiles(ctx context.Context, tenant, datasetID string, files []dataset.File) ([]asset.Asset, error) {
	assets := make([]asset.Asset, 0, len(files))
	err := c.read(ctx, "reading what is said of files", func(tx *sql.Tx) error {
		for _, f := range files {
			r, err := assetRowOf(ctx, tx, tenant, f.ID)
			if err != nil {
				return err
			}
			assets = append(assets, said(r, dataset.FileAsset(datasetID, f)).Asset)
		}
		return nil
	})
	return assets, err
}

// ListAssets implements dataset.Assets.
func (c *Catalog) ListAssets(ctx context.Context, tenant string, f asset.Filter, after string, limit int) (asset.Page, error) {
	if after != "" && !dataset.IDCanExist(after) {
		return asset.Page{}, nil
	}
	limit = max(limit, 1)
	query, arguments := selectOfTenant, []any{tenant}
	anyOwner := f.Owner == asset.Owner{}
	switch {
	case f.Alias != "" && anyOwner:
		query, arguments = selectOfAlias, []any{tenant, f.Alias}
	case f.Alias != "":
		query, arguments = selectOfOwnerAlias, []any{tenant, f.Owner.Type, f.Owner.ID, f.Alias}
	case f.Tag != "" && anyOwner:
		query, arguments = selectOfTag, []any{tenant, f.Tag}
	case f.Tag != "":
		query, arguments = selectOfOwnerTag, []any{tenant, f.Owner.Type, f.Owner.ID, f.Tag}
	case !anyOwner:
		query, arguments = selectOfOwner, []any{tenant, f.Owner.Type, f.Owner.ID}
	}
	var page asset.Page
	err := c.read(ctx, "listing assets", func(tx *sql.Tx) error {
		ids, err := assetIDs(ctx, tx, query, append(arguments, cmp.Or(after, afterEveryID), limit+1)...)
		if err != nil {
			return err
		}
		if len(ids) > limit {
			ids = ids[:limit]
			page.Next = ids[limit-1]
		}
		for _, id := range ids {
			a, err := findAsset(ctx, tx, tenant, id)
			switch {
			case fault.Is(err, fault.CodeAssetNotFound): // it went with its dataset
			case err != nil:
				return err
			case f.Matches(a.Asset):
				page.Assets = append(page.Assets, a.Asset)
			}
		}
		return nil
	})
	return page, err
}

func assetIDs(ctx context.Context, tx *sql.Tx, query string, arguments ...any) ([]string, error) {
	rows, err := tx.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// AssetVersions implements dataset.Assets.
func (c *Catalog) AssetVersions(ctx context.Context, tenant, id string, below int64, limit int) ([]asset.Content, error) {
	var list []asset.Content
	err := c.read(ctx, "listing the versions of an asset", func(tx *sql.Tx) error {
		r, err := assetRowOf(ctx, tx, tenant, id)
		if err != nil {
			return err
		}
		if r == nil || r.version == 0 {
			return asset.ErrNotFound()
		}
		if below == 0 {
			below = r.version + 1
		}
		list, err = contentsOf(ctx, tx, r.number, below, max(limit, 1))
		return err
	})
	return list, err
}

// SetAsset implements dataset.Assets.
func (c *Catalog) SetAsset(ctx context.Context, u dataset.AssetUpdate) (asset.Asset, error) {
	var changed asset.Asset
	err := c.write(ctx, "changing an asset", func(tx *sql.Tx) error {
		r, err := findAsset(ctx, tx, u.Tenant, u.ID)
		if err != nil {
			return err
		}
		known, err := c.earlier(ctx, tx, u.Tenant, u.Idempotency)
		if err != nil {
			return err
		}
		if changed = r.Asset; known != nil {
			if known.kind != kindSetAsset {
				return dataset.ErrIdempotencyKeyReused()
			}
			return nil
		}
		if !u.IfMatch.Holds(r.Asset) {
			return asset.ErrChanged(r.Asset)
		}
		changed.Info = u.Changes.Apply(changed.Info)
		changed.Revision, changed.UpdatedAt = changed.Revision+1, c.now().UTC().Round(0)
		if err := saveInfo(ctx, tx, u.Tenant, r.number, changed); err != nil {
			return err
		}
		return c.remember(ctx, tx, u.Tenant, u.Idempotency, request{kind: kindSetAsset})
	})
	return changed, err
}

// saveInfo writes what is said of an asset into its row, or of a file of a dataset into
// a new one when the number is 0.
func saveInfo(ctx context.Context, tx *sql.Tx, tenant string, number int64, a asset.Asset) error {
	if number == 0 {
		return insertAsset(ctx, tx, tenant, a, false)
	}
	if err := aliasFree(ctx, tx, tenant, a); err != nil {
		return err
	}
	tags, err := json.Marshal(a.Info.Tags)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE assets SET revision = ?, updated_at = ?, title = ?, description = ?, alias = ?, tags = ?, metadata = ? WHERE number = ?`,
		a.Revision, moment(a.UpdatedAt), a.Info.Title, a.Info.Description, a.Info.Alias, string(tags), metadataOf(a.Info), number)
	if err != nil {
		return err
	}
	if err := untagAsset(ctx, tx, tenant, a.ID); err != nil {
		return err
	}
	return tagAsset(ctx, tx, tenant, a)
}

// DeleteAsset implements dataset.Assets.
func (c *Catalog) DeleteAsset(ctx context.Context, del dataset.AssetDeletion) (dataset.AssetDeleted, error) {
	done := dataset.AssetDeleted{AssetID: del.AssetID}
	err := c.write(ctx, "deleting an asset", func(tx *sql.Tx) error {
		known, err := c.earlier(ctx, tx, del.Tenant, del.Idempotency)
		if err != nil {
			return err
		}
		var answer record.AssetDeleted
		if known != nil {
			if known.kind != kindDeleteAsset {
				return dataset.ErrIdempotencyKeyReused()
			}
			answer, err = record.DecodeAssetDeleted(known.answer)
		} else {
			answer, err = c.deleteAsset(ctx, tx, del)
		}
		if err != nil {
			return err
		}
		done.Owner, done.Replayed = answer.Owner, answer.By != del.ID
		done.Objects, err = objectsOf(ctx, tx, del.Tenant, del.AssetID)
		return err
	})
	if err != nil {
		return dataset.AssetDeleted{}, err
	}
	return done, nil
}

const (
	selectGoneAsset = `SELECT owner_type, owner_id, deleted_by FROM assets WHERE tenant = ? AND id = ? AND deleted_by IS NOT NULL`
	selectGoneFile  = `SELECT d.id FROM deleted_files f CROSS JOIN datasets d WHERE f.id = ? AND f.deleted_by = ? AND d.number = f.dataset AND d.tenant = ?`
	selectContents  = `SELECT v.object_key FROM assets a CROSS JOIN asset_versions v WHERE a.tenant = ? AND a.id = ? AND v.asset = a.number
		ORDER BY v.version DESC LIMIT ?`
)

// deleteAsset deletes an asset, unless an earlier try of the same request did.
func (c *Catalog) deleteAsset(ctx context.Context, tx *sql.Tx, del dataset.AssetDeletion) (record.AssetDeleted, error) {
	r, err := findAsset(ctx, tx, del.Tenant, del.AssetID)
	if fault.Is(err, fault.CodeAssetNotFound) {
		return deletedBefore(ctx, tx, del)
	}
	if err != nil {
		return record.AssetDeleted{}, err
	}
	if del.ReplayOnly {
		return record.AssetDeleted{}, asset.ErrNotFound()
	}
	if r.version == 0 {
		d, err := head(ctx, tx, del.Tenant, r.Owner.DatasetID())
		if err != nil {
			return record.AssetDeleted{}, err
		}
		f, err := byName(ctx, tx, d.number, r.Content.FileName)
		if err != nil {
			return record.AssetDeleted{}, err
		}
		if err := c.unlist(ctx, tx, d, *f, del.Tenant, del.ID); err != nil {
			return record.AssetDeleted{}, err
		}
	} else if err := removeAsset(ctx, tx, del.Tenant, r, del.ID); err != nil {
		return record.AssetDeleted{}, err
	}
	gone := record.AssetDeleted{Owner: r.Owner, By: del.ID}
	answer, err := gone.Encode()
	if err != nil {
		return record.AssetDeleted{}, err
	}
	return gone, c.remember(ctx, tx, del.Tenant, del.Idempotency, request{kind: kindDeleteAsset, answer: answer})
}

// removeAsset marks an asset as deleted, and forgets what was said of it. Its versions
// stay, so that their objects are known for what they are.
func removeAsset(ctx context.Context, tx *sql.Tx, tenant string, r assetRow, by string) error {
	if err := untagAsset(ctx, tx, tenant, r.ID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE assets SET deleted_by = ?, title = '', description = '', alias = '', tags = '[]', metadata = NULL WHERE number = ?`, by, r.number)
	return err
}

// deletedBefore is the answer of a deletion that an earlier try of the same request did.
func deletedBefore(ctx context.Context, tx *sql.Tx, del dataset.AssetDeletion) (record.AssetDeleted, error) {
	var gone record.AssetDeleted
	err := tx.QueryRowContext(ctx, selectGoneAsset, del.Tenant, del.AssetID).Scan(&gone.Owner.Type, &gone.Owner.ID, &gone.By)
	switch {
	case err == nil && gone.By == del.ID:
		return gone, nil
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return record.AssetDeleted{}, err
	}
	var datasetID string
	err = tx.QueryRowContext(ctx, selectGoneFile, del.AssetID, del.ID, del.Tenant).Scan(&datasetID)
	if errors.Is(err, sql.ErrNoRows) {
		return record.AssetDeleted{}, asset.ErrNotFound()
	}
	return record.AssetDeleted{Owner: asset.OfDataset(datasetID), By: del.ID}, err
}

// objectsOf are the keys of the contents that an asset had.
func objectsOf(ctx context.Context, tx *sql.Tx, tenant, id string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, selectContents, tenant, id, dataset.MaxContentsTold)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var keys []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		keys = []string{dataset.FileKey(tenant, id)} // of a dataset's file
	}
	return keys, rows.Err()
}
