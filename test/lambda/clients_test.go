package lambda_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/testtool"
	"github.com/parqueue/parqueue/test/clients"
)

// TestClients has every client do what people do with a deployment. Now and then the
// gateway answers that the function took too long, though it did all, or that there
// are too many requests; clients notice nothing of that, nor of the limits.
func TestClients(t *testing.T) {
	d, s := deployOnly(t, endpointFunctions())
	key := s.addKey(t, keys.ScopeWrite)
	g, url := serveGateway(t, d)
	t.Run("clients", func(t *testing.T) {
		for _, kind := range clients.All() {
			t.Run(string(kind), func(t *testing.T) {
				t.Parallel()
				c := clients.New(t, kind, url, key)
				checkDataset(t, c)
				checkAsset(t, c, "project-"+string(kind))
				stranger := clients.New(t, kind, url, sampleKey)
				wantCode(t, stranger, "create", nil, "unauthorized", "")
			})
		}
	})
	t.Logf("%d requests, %d refused by the gateway, %d bytes in the largest payload", g.calls.Load(), g.refused.Load(), g.largest.Load())
	if g.refused.Load() == 0 {
		t.Error("the gateway refused nothing")
	}
}

// endpointFunctions are those that clients call.
func endpointFunctions() []string {
	names := []string{authorizerName}
	for _, endpoint := range api.Endpoints() {
		names = append(names, endpoint.Name)
	}
	slices.Sort(names)
	return names
}

// checkDataset uploads a folder and downloads it, and tries what is refused.
func checkDataset(t *testing.T, c *clients.Client) {
	t.Helper()
	id := c.Do("create", nil).DatasetID
	files := clients.WriteFolder(t, rand.Uint64(), 1000, 20<<20, 9000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000)
	upload := clients.Job{"dataset": id, "path": files.Dir}
	for range 2 { // the second time it is all there
		c.Do("upload", upload)
	}
	want := func() {
		t.Helper()
		if names := c.Do("files", clients.Job{"dataset": id}).Names; !slices.Equal(names, files.Names) {
			t.Errorf("the dataset has %v", names)
		}
	}
	want()
	to := filepath.Join(t.TempDir(), "back")
	c.Do("download", clients.Job{"dataset": id, "to": to})
	files.WantSame(t, to)

	other, err := os.ReadFile(filepath.Join(testtool.Root(), "internal", "footer", "testdata", "different", "pandas_obj_allnull.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "other.parquet")
	write(t, path, other)
	wantCode(t, c, "upload", clients.Job{"dataset": id, "path": path}, "schema_mismatch", `"diff":{`)
	clash := filepath.Join(t.TempDir(), files.Names[2])
	clients.WriteParquet(t, clash, rand.Uint64(), 1000)
	wantCode(t, c, "upload", clients.Job{"dataset": id, "path": clash}, "file_exists", files.Names[2])
	wantCode(t, c, "files", clients.Job{"dataset": sampleDataset}, "dataset_not_found", "")
	want()
}

// checkAsset takes an asset through its life.
func checkAsset(t *testing.T, c *clients.Client, project string) {
	t.Helper()
	dir := t.TempDir()
	first, second := bytes.Repeat([]byte("first "), 3<<20), bytes.Repeat([]byte("second "), 1000)
	path := filepath.Join(dir, "report.pdf")
	write(t, path, first)
	made := c.Do("asset_upload", clients.Job{"path": path, "project": project, "title": "Report"})
	write(t, path, second)
	renewed := c.Do("asset_renew", clients.Job{"path": path, "asset": made.AssetID})
	if made.Version != 1 || renewed.Version != 2 || renewed.AssetID != made.AssetID {
		t.Errorf("uploaded %+v, then %+v", made, renewed)
	}
	about := clients.Job{"asset": made.AssetID, "title": "Report of 2026"}
	c.Do("asset_set", about)
	if shown := c.Do("asset_show", about); shown.Title != "Report of 2026" || shown.Version != 2 {
		t.Errorf("it is %+v", shown)
	}
	if listed := c.Do("asset_list", clients.Job{"project": project}).AssetIDs; !slices.Equal(listed, []string{made.AssetID}) {
		t.Errorf("listed %v", listed)
	}
	for version, want := range map[any][]byte{nil: second, 1: first} {
		to := t.TempDir()
		job := clients.Job{"asset": made.AssetID, "to": to}
		if version != nil {
			job["version"] = version
		}
		c.Do("asset_download", job)
		if got, err := os.ReadFile(filepath.Join(to, "report.pdf")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("version %v came back with %d bytes of %d, or others: %v", version, len(got), len(want), err)
		}
	}
	wantCode(t, c, "asset_download", clients.Job{"asset": made.AssetID, "to": dir, "version": 3}, "asset_not_found", "")
}

// wantCode wants a client to fail with a code, and to say some text.
func wantCode(t *testing.T, c *clients.Client, what string, job clients.Job, code, text string) {
	t.Helper()
	_, err := c.Try(what, job)
	var failure *clients.Failure
	if !errors.As(err, &failure) || failure.Code != code || !strings.Contains(strings.ReplaceAll(failure.Text, `": `, `":`), text) {
		t.Errorf("%s ended with %v, not %s", what, err, code)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
