package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
)

// A thousand files that the command line sends in parallel are listed in natural
// order, byte for byte what they were.
func TestThousandFilesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	contents := make(map[string][]byte)
	var names []string
	for i := range 1000 {
		name := fmt.Sprintf("part-%d.parquet", i)
		names, contents[name] = append(names, name), parquet(t, i)
	}
	write(t, filepath.Join(dir, "in"), contents)
	srv := serve(t, setup{data: filepath.Join(dir, "data")})
	id := srv.admin().create(t)
	env := []string{"PARQUEUE_URL=" + srv.url, "PARQUEUE_API_KEY=" + srv.key, "PARQUEUE_STATE_DIR=" + filepath.Join(dir, "state")}
	stdout, stderr, err := command(t, dir, env, program(), "datasets", "upload", id, "in", "--json")
	var result struct {
		Uploaded int   `json:"uploaded_count"`
		First    int64 `json:"first_position"`
		Last     int64 `json:"last_position"`
	}
	if err != nil || json.Unmarshal([]byte(stdout), &result) != nil || result.Uploaded != 1000 || result.First != 0 || result.Last != 999 {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	srv.admin().wantFiles(t, id, names, contents)
}
