package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// getDataset answers with one dataset.
func (a *API) getDataset(w http.ResponseWriter, r *request) error {
	_, id, err := readDatasetFields(r)
	if err != nil {
		return err
	}
	d, err := a.Service.Dataset(r.Context(), r.who, id, keys.ScopeRead)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, datasetRow(d, r.dialect))
}

// updateDataset changes the name, the metadata and the ingest order; what the
// request leaves out stays as it is.
func (a *API) updateDataset(w http.ResponseWriter, r *request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	f, id, err := readDatasetFields(r)
	if err != nil {
		return err
	}
	changes, err := f.changes()
	if err != nil {
		return err
	}
	d, err := a.Service.Update(r.Context(), r.who, id, changes, key)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, datasetRow(d, r.dialect))
}

func (f fields) changes() (c dataset.Changes, err error) {
	c.Metadata = f["metadata"]
	if _, ok := f["name"]; ok {
		name, err := f.text("name")
		if err != nil {
			return c, err
		}
		c.Name = &name
	}
	if _, ok := f["ingest_order"]; ok {
		order, err := f.ingestOrder()
		if err != nil {
			return c, err
		}
		c.IngestOrder = &order
	}
	c.IfVersion, err = f.ifVersion("change")
	return c, err
}

// ifVersion returns the version that a dataset must have for what is to be done to
// it, or 0 when the field is not there.
func (f fields) ifVersion(doing string) (int64, error) {
	raw, ok := f["if_version"]
	if !ok {
		return 0, nil
	}
	version, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	if err != nil || version < 1 {
		return 0, fault.New(fault.CodeInvalidRequest, `The field "if_version" has to be a whole number from 1.`,
			"Send the version that get-dataset answered, or leave it out to "+doing+" the dataset whatever its version.")
	}
	return version, nil
}

// deleteDataset deletes a dataset. Its files are gone with the answer; their bytes
// are removed after it.
func (a *API) deleteDataset(w http.ResponseWriter, r *request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	f, id, err := readDatasetFields(r)
	if err != nil {
		return err
	}
	version, err := f.ifVersion("delete")
	if err != nil {
		return err
	}
	deleted, err := a.Service.DeleteDataset(r.Context(), r.who, id, version, key)
	if err != nil {
		return err
	}
	if deleted.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		r.dialect.idField(): id,
		"state":             "deleting",
		"file_count":        deleted.FileCount,
		"total_size_bytes":  deleted.TotalSizeBytes,
	})
}

// deleteDatasetFile takes one file out of a dataset.
func (a *API) deleteDatasetFile(w http.ResponseWriter, r *request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	f, id, err := readDatasetFields(r)
	if err != nil {
		return err
	}
	name, err := f.fileName()
	if err != nil {
		return err
	}
	deleted, err := a.Service.DeleteFile(r.Context(), r.who, id, name, key)
	if err != nil {
		return err
	}
	if deleted.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		r.dialect.idField(): id,
		"file_name":         deleted.File.Name,
		"file_id":           deleted.File.ID,
		"position":          deleted.File.Position,
		"deleted":           true,
	})
}
