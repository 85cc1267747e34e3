package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

// A page is found by an index, wherever in the list it is.
func TestQueriesUseIndexes(t *testing.T) {
	c, err := Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for query, want := range map[string]string{
		selectFiles:           "SEARCH files USING PRIMARY KEY (dataset=? AND position>?)",
		selectName:            "(dataset=? AND name=?)",
		selectDeleted:         "SEARCH deleted_files USING INDEX deleted_files_by_name (dataset=? AND name=?)",
		selectByID:            "SEARCH f USING INDEX files_by_id (id=?)",
		selectGoneByID:        "SEARCH f USING INDEX deleted_files_by_id (id=?)",
		selectPage:            "datasets_listed (tenant=? AND id<?)",
		selectWhole + whereID: "SEARCH schemas USING INTEGER PRIMARY KEY",
		forget:                "requests_by_expiry (expires_at<?)",
		selectUploads:         "(tenant=? AND id<?)",
		selectUploadsOf:       "uploads_by_dataset (tenant=? AND dataset_id=? AND id<?)",
		forgetUploads:         "uploads_settled (created_at<?)",
		selectDropped:         "(tenant=? AND id=?)",
		selectToPurge:         "datasets_to_purge ((deleted_at,tenant,id)>(?,?,?))",
		selectListed:          "SEARCH files USING PRIMARY KEY (dataset=?)",
		selectRemaining:       "uploads_by_dataset (tenant=? AND dataset_id=?)",
		selectGone:            "SEARCH deleted_files USING PRIMARY KEY (dataset=?)",
	} {
		plan := c.explain(t, query)
		if !strings.Contains(plan, want) || strings.Contains(plan, "SCAN") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s\nis run as\n%s\nwant %s", query, plan, want)
		}
	}
}

func (c *Catalog) explain(t testing.TB, query string) string {
	t.Helper()
	arguments := make([]any, strings.Count(query, "?"))
	rows, err := c.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	return strings.Join(plan, "\n")
}
