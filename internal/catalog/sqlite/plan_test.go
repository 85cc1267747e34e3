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
		selectAsset:           "(tenant=? AND id=?)",
		selectGoneAsset:       "(tenant=? AND id=?)",
		selectVersions:        "SEARCH asset_versions USING PRIMARY KEY (asset=? AND version<?)",
		selectContents:        "SEARCH v USING PRIMARY KEY (asset=?)",
		selectContent:         "INDEX asset_versions_by_file (file_id=?)",
		selectGoneFile:        "SEARCH f USING INDEX deleted_files_by_id (id=?)",
		selectByAlias:         "assets_by_alias (tenant=? AND owner_type=? AND owner_id=? AND alias=?)",
		selectOfTenant:        "assets_of_tenant (tenant=? AND id<?)",
		selectOfOwner:         "assets_of_owner (tenant=? AND owner_type=? AND owner_id=? AND id<?)",
		selectOfOwnerAlias:    "assets_by_alias (tenant=? AND owner_type=? AND owner_id=? AND alias=?)",
		selectOfAlias:         "assets_of_alias (tenant=? AND alias=? AND id<?)",
		selectOfTag:           "SEARCH asset_tags USING PRIMARY KEY (tenant=? AND tag=? AND asset_id<?)",
		selectOfOwnerTag:      "asset_tags_of_owner (tenant=? AND owner_type=? AND owner_id=? AND tag=? AND asset_id<?)",
		untag:                 "asset_tags_of_asset (tenant=? AND asset_id=?)",
		removeSaid:            "(tenant=? AND id=?)",
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
