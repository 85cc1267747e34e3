package api

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

const (
	// assetLimit bounds the body of set-asset-metadata: metadata of 64 KiB may be
	// sent with as much white space again, and what else is said.
	assetLimit = 256 << 10

	assetsPage  = 100
	assetsPages = 10 // looked through before a listing ends with a cursor
	sendAssetID = `Send {"asset_id": "file-…"}; list-assets shows the ids.`
)

// createAsset begins an asset and answers where its parts go.
func (a *API) createAsset(w http.ResponseWriter, r *request) error {
	key, f, err := a.beginWrite(r, createUploadLimit)
	if err != nil {
		return err
	}
	var n dataset.NewAsset
	if n.Owner, err = f.owner(true); err != nil {
		return err
	}
	r.dataset = clip(n.Owner.DatasetID())
	var limit int
	if n.NewUpload, limit, err = f.newUpload(); err != nil {
		return err
	}
	if n.Info, err = f.assetChanges(); err != nil {
		return err
	}
	view, err := a.Service.CreateAsset(r.Context(), r.who, n, limit, key)
	if err != nil {
		return err
	}
	noteReplay(w, view.Replayed)
	return writeJSON(w, http.StatusOK, a.uploadView(view))
}

// createAssetVersion begins new content for an asset.
func (a *API) createAssetVersion(w http.ResponseWriter, r *request) error {
	key, f, err := a.beginWrite(r, fieldsLimit)
	if err != nil {
		return err
	}
	id, err := f.required("asset_id", sendAssetID)
	if err != nil {
		return err
	}
	var n dataset.NewUpload
	if n.FileName, err = f.text("file_name"); err != nil {
		return err
	}
	n, limit, err := f.newContent(n)
	if err != nil {
		return err
	}
	view, err := a.Service.CreateAssetVersion(r.Context(), r.who, id, n, limit, key)
	if err != nil {
		return err
	}
	noteReplay(w, view.Replayed)
	return writeJSON(w, http.StatusOK, a.uploadView(view))
}

// beginWrite reads the Idempotency-Key and the fields of a request that needs the
// scope write, which is looked at before the body is.
func (a *API) beginWrite(r *request, limit int64) (key string, f fields, err error) {
	if key, err = idempotencyKey(r.Header); err != nil {
		return "", nil, err
	}
	if err := a.Service.MayWrite(r.who); err != nil {
		return "", nil, err
	}
	f, err = readFieldsUpTo(r, limit)
	return key, f, err
}

// downloadAsset answers with the bytes of an asset, or with where they are.
func (a *API) downloadAsset(w http.ResponseWriter, r *request) error {
	f, id, err := readAssetFields(r)
	if err != nil {
		return err
	}
	version, err := f.number("version")
	if err != nil {
		return err
	}
	how, err := f.delivery()
	if err != nil {
		return err
	}
	found, file, err := a.Service.AssetFile(r.Context(), r.who, id, version)
	if err != nil {
		return err
	}
	r.dataset = found.Owner.DatasetID()
	return a.deliver(w, r, how, file, func(part dataset.Range) (io.ReadCloser, error) {
		return a.Service.OpenAsset(r.Context(), r.who, id, file, part)
	})
}

// getAssetMetadata answers with what there is to know of an asset.
func (a *API) getAssetMetadata(w http.ResponseWriter, r *request) error {
	_, id, err := readAssetFields(r)
	if err != nil {
		return err
	}
	found, err := a.Service.Asset(r.Context(), r.who, id)
	if err != nil {
		return err
	}
	return writeAsset(w, r, found)
}

// setAssetMetadata changes what is said of an asset; what the request leaves out stays
// as it is.
func (a *API) setAssetMetadata(w http.ResponseWriter, r *request) error {
	key, f, err := a.beginWrite(r, assetLimit)
	if err != nil {
		return err
	}
	id, err := f.required("asset_id", sendAssetID)
	if err != nil {
		return err
	}
	changes, err := f.assetChanges()
	if err != nil {
		return err
	}
	ifMatch := asset.ParseIfMatch(strings.Join(r.Header.Values("If-Match"), ","))
	changed, err := a.Service.SetAsset(r.Context(), r.who, id, changes, ifMatch, key)
	if err != nil {
		return err
	}
	return writeAsset(w, r, changed)
}

func writeAsset(w http.ResponseWriter, r *request, found asset.Asset) error {
	r.dataset = found.Owner.DatasetID()
	w.Header().Set("ETag", asset.EntityTag(found))
	return writeJSON(w, http.StatusOK, assetRow(found))
}

// listAssets answers with the assets that match.
func (a *API) listAssets(w http.ResponseWriter, r *request) error {
	f, err := readFields(r)
	if err != nil {
		return err
	}
	filter, err := f.assetFilter()
	if err != nil {
		return err
	}
	limit, err := f.count("limit", maxListed)
	if err != nil {
		return err
	}
	after, err := f.text("cursor")
	if err != nil {
		return err
	}
	r.dataset = clip(filter.Owner.DatasetID())
	page, err := a.Service.ListAssets(r.Context(), r.who, filter, after, assetsPage)
	if err != nil {
		return err
	}
	l := a.startListing(w, r, "assets", limit)
	defer l.release()
	for pages := 1; ; pages++ {
		for _, found := range page.Assets {
			if !l.add(listedAssetRow(found)) {
				return l.end(after)
			}
			after = dataset.PlaceAfter(filter, found)
		}
		if page.Next == "" {
			return l.end("")
		}
		after = page.Next
		if l.full() || pages == assetsPages {
			return l.end(after)
		}
		page, err = a.Service.ListAssets(r.Context(), r.who, filter, after, assetsPage)
		if err != nil {
			return err
		}
	}
}

// versionsPage is how many versions are read from the catalog at a time.
const versionsPage = 100

// listAssetVersions answers with the versions of an asset's content, the latest first.
func (a *API) listAssetVersions(w http.ResponseWriter, r *request) error {
	f, id, err := readAssetFields(r)
	if err != nil {
		return err
	}
	limit, err := f.count("limit", maxListed)
	if err != nil {
		return err
	}
	below, err := f.number("cursor")
	if err != nil {
		return err
	}
	page, err := a.Service.AssetVersions(r.Context(), r.who, id, below, versionsPage)
	if err != nil {
		return err
	}
	l := a.startListing(w, r, "versions", limit)
	defer l.release()
	for {
		for _, c := range page {
			if !l.add(contentRow(c)) {
				return l.end(strconv.FormatInt(below, 10))
			}
			below = c.Version
		}
		if below <= 1 || len(page) == 0 {
			return l.end("")
		}
		if l.full() {
			return l.end(strconv.FormatInt(below, 10))
		}
		if page, err = a.Service.AssetVersions(r.Context(), r.who, id, below, versionsPage); err != nil {
			return err
		}
	}
}

// deleteAsset deletes an asset with all its versions.
func (a *API) deleteAsset(w http.ResponseWriter, r *request) error {
	key, f, err := a.beginWrite(r, fieldsLimit)
	if err != nil {
		return err
	}
	id, err := f.required("asset_id", sendAssetID)
	if err != nil {
		return err
	}
	deleted, err := a.Service.DeleteAsset(r.Context(), r.who, id, key)
	if err != nil {
		return err
	}
	r.dataset = deleted.Owner.DatasetID()
	noteReplay(w, deleted.Replayed)
	return writeJSON(w, http.StatusOK, map[string]any{
		"asset_id": deleted.AssetID, "owner_type": deleted.Owner.Type, "owner_id": deleted.Owner.ID, "deleted": true,
	})
}

// readAssetFields reads the fields of a request that is about one asset.
func readAssetFields(r *request) (f fields, id string, err error) {
	if f, err = readFields(r); err != nil {
		return nil, "", err
	}
	id, err = f.required("asset_id", sendAssetID)
	return f, id, err
}

// owner reads owner_type and owner_id, both of which are there or neither is.
func (f fields) owner(needed bool) (o asset.Owner, err error) {
	const hint = `Send "owner_type", which is "project" or "collection", and "owner_id", its name; a dataset is a collection.`
	kind, err := f.text("owner_type")
	if err != nil {
		return o, err
	}
	id, err := f.text("owner_id")
	if err != nil {
		return o, err
	}
	if kind == "" && id == "" && !needed {
		return o, nil
	}
	for name, value := range map[string]string{"owner_type": kind, "owner_id": id} {
		if value == "" {
			return o, fault.Newf(fault.CodeInvalidRequest, hint, "The field %q is missing.", name)
		}
	}
	return asset.Owner{Type: asset.OwnerType(kind), ID: id}, nil
}

func (f fields) assetFilter() (filter asset.Filter, err error) {
	if filter.Owner, err = f.owner(false); err != nil {
		return filter, err
	}
	if filter.Tag, err = f.text("tag"); err != nil {
		return filter, err
	}
	filter.Alias, err = f.text("alias")
	return filter, err
}

// assetChanges reads what is said of an asset; null clears.
func (f fields) assetChanges() (c asset.Changes, err error) {
	if c.Title, err = f.clearable("title"); err != nil {
		return c, err
	}
	if c.Description, err = f.clearable("description"); err != nil {
		return c, err
	}
	if c.Alias, err = f.clearable("alias"); err != nil {
		return c, err
	}
	if raw, ok := f["tags"]; ok {
		var tags []string
		if string(raw) != "null" {
			if tags, err = f.requiredList("tags", `Send "tags" as a list of strings.`); err != nil {
				return c, err
			}
		}
		c.Tags = &tags
	}
	if raw, ok := f["metadata"]; ok {
		if raw[0] == '"' { // a form's text
			var text string
			if json.Unmarshal(raw, &text) == nil {
				raw = json.RawMessage(text)
			}
		}
		c.Metadata = &raw
	}
	return c, nil
}

// clearable is text that null makes empty; nil means that the field is not there.
func (f fields) clearable(name string) (*string, error) {
	raw, ok := f[name]
	if !ok {
		return nil, nil
	}
	if string(raw) == "null" {
		return new(string), nil
	}
	text, err := f.text(name)
	return &text, err
}

// number returns a whole number from 1, or 0 when the field is not there.
func (f fields) number(name string) (int64, error) {
	raw, ok := f[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	if err != nil || n < 1 {
		return 0, fault.Newf(fault.CodeInvalidRequest, "Leave it out for the latest one.", "The field %q has to be a whole number from 1.", name)
	}
	return n, nil
}

// assetRow is an asset as an answer about one shows it.
func assetRow(a asset.Asset) map[string]any {
	row := listedAssetRow(a)
	row["metadata"] = json.RawMessage("{}")
	if a.Info.Metadata != nil {
		row["metadata"] = a.Info.Metadata
	}
	return row
}

// listedAssetRow is an asset as a list shows it, which is without the metadata: they may
// be large.
func listedAssetRow(a asset.Asset) map[string]any {
	row := contentRow(a.Content)
	row["asset_id"] = a.ID
	row["owner_type"] = a.Owner.Type
	row["owner_id"] = a.Owner.ID
	row["title"] = a.Info.Title
	if a.Info.Title == "" {
		row["title"] = a.Content.FileName
	}
	row["description"] = a.Info.Description
	row["alias"] = a.Info.Alias
	row["tags"] = append([]string{}, a.Info.Tags...)
	row["created_at"] = timestamp(a.CreatedAt)
	row["updated_at"] = timestamp(a.UpdatedAt)
	row["etag"] = asset.EntityTag(a)
	if a.InDataset() {
		row["position"] = a.Position
	}
	return row
}

// contentRow is a version of an asset's content.
func contentRow(c asset.Content) map[string]any {
	return map[string]any{
		"version":            c.Version,
		"file_name":          c.FileName,
		"size_bytes":         c.SizeBytes,
		"checksum_crc64nvme": c.CRC64NVME,
		"created_at":         timestamp(c.CreatedAt),
	}
}
