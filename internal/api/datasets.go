package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// createDataset adds an empty dataset. The clients send GET without a body;
// POST takes a name, metadata and
// an ingest order.
func (a *API) createDataset(w http.ResponseWriter, r *request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	name, err := f.text("name")
	if err != nil {
		return err
	}
	if _, given := f["name"]; !given {
		name = r.URL.Query().Get("name") // a GET has no body to put it in
	}
	order, err := f.ingestOrder()
	if err != nil {
		return err
	}
	created, err := a.Service.Create(r.Context(), r.who, dataset.NewDataset{Name: name, Metadata: f["metadata"], IngestOrder: order}, key)
	if err != nil {
		return err
	}
	r.dataset = created.ID
	return writeJSON(w, http.StatusOK, datasetRow(created, r.dialect))
}

// ingestOrder reads the field "ingest_order".
func (f fields) ingestOrder() (dataset.IngestOrder, error) {
	text, err := f.text("ingest_order")
	if err != nil {
		return "", err
	}
	return dataset.ParseIngestOrder(text)
}

// How many datasets are read from the catalog at a time: few at first, and more
// when their schemas are not large, since a page is held in memory.
const (
	datasetsFirstPage = 8
	datasetsPage      = 100
	datasetsPageBytes = 1 << 20 // of answer, that a page should come to
)

// nextPage is how many datasets to read when so many came to so many bytes.
func nextPage(count, bytes int) int {
	return min(max(datasetsPageBytes/(bytes/max(count, 1)+1), datasetsFirstPage), datasetsPage)
}

// listDatasets answers with every dataset that the key reaches, newest first.
func (a *API) listDatasets(w http.ResponseWriter, r *request) error {
	f, err := readFields(r)
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
	if after != "" && !dataset.ValidID(after) {
		return errCursor()
	}
	page, err := a.Service.Datasets(r.Context(), r.who, after, pageSize(limit, 0, datasetsFirstPage))
	if err != nil {
		return err
	}
	name := "datasets"
	if r.dialect.stages {
		name = "stages"
	}
	l := a.startListing(w, r, name, limit)
	defer l.release()
	for {
		for _, d := range page.Datasets {
			if !l.add(listedRow(d, r.dialect)) {
				return l.end(after)
			}
			after = d.ID
		}
		if page.Next == "" {
			return l.end("")
		}
		after = page.Next
		if l.full() {
			return l.end(after)
		}
		page, err = a.Service.Datasets(r.Context(), r.who, after, pageSize(limit, l.count, nextPage(l.count, l.bytes)))
		if err != nil {
			return err
		}
	}
}

// datasetRow is a dataset as an answer about one shows it.
func datasetRow(d dataset.Dataset, dialect dialect) map[string]any {
	row := listedRow(d, dialect)
	row["version"] = d.Version
	row["next_position"] = d.NextPosition
	row["ingest_order"] = d.IngestOrder.String()
	row["metadata"] = json.RawMessage("{}")
	if d.Metadata != nil {
		row["metadata"] = d.Metadata
	}
	return row
}

// listedRow is a dataset as a list shows it. Every row has the same members and
// none of them is null, and metadata is not among them: the clients' command
// lines make a table of the rows, and stop at a column that has null first and
// something else later, or objects of different shapes.
func listedRow(d dataset.Dataset, dialect dialect) map[string]any {
	fields := []schema.Field{}
	if d.Schema != nil {
		fields = d.Schema.Fields
	}
	return map[string]any{
		dialect.idField():  d.ID,
		"name":             d.Name,
		"created_at":       timestamp(d.CreatedAt),
		"datetime_added":   timestamp(d.CreatedAt),
		"updated_at":       timestamp(d.UpdatedAt),
		"file_count":       d.FileCount,
		"row_count":        d.TotalRows,
		"total_size_bytes": d.TotalSizeBytes,
		"schema":           map[string]any{"fields": fields},
	}
}

// timestamp writes a time as RFC 3339 in UTC, to the microsecond.
func timestamp(t time.Time) string {
	return t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
}

// errCursor is the answer to a cursor that no listing gave out.
func errCursor() error {
	return fault.New(fault.CodeInvalidRequest, "The cursor is not one that a listing gave out.", "Leave it out to start from the beginning.")
}
