package cli_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
	"github.com/parqueue/parqueue/internal/cli"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/schema"
	"github.com/parqueue/parqueue/internal/sweep"
)

// A deployment is examined in its table and its bucket.
func TestDoctorOfADeployment(t *testing.T) {
	endpoint := dynamotest.Endpoint(t)
	client := dynamotest.Client(endpoint)
	table := dynamotest.CreateTable(t, client)
	bucket := embeddeds3test.Start(t)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
	t.Setenv("AWS_ENDPOINT_URL_S3", bucket.Endpoint)
	t.Setenv("AWS_REGION", bucket.Region)
	t.Setenv("AWS_ACCESS_KEY_ID", bucket.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", bucket.SecretKey)
	run := func(args ...string) (code int, found sweep.Diagnosis, stderr string) {
		var out, log bytes.Buffer
		code = cli.Main(append([]string{"doctor", "--json", "--grace", "-1m", "--table", table}, args...), &out, &log)
		if out.Len() > 0 {
			if err := json.Unmarshal(out.Bytes(), &found); err != nil {
				t.Fatal(err)
			}
		}
		return code, found, log.String()
	}
	if code, _, stderr := run("--bucket", bucket.Bucket); code != 0 {
		t.Fatalf("of nothing: %d %s", code, stderr)
	}
	catalog, objects := dynamo.New(client, table), objectstore.New(bucket.Client, bucket.Bucket)
	sick := makeSick(t, catalog, objects)
	code, found, stderr := run("--bucket", bucket.Bucket)
	if code != 1 || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	if found.Objects != 5 || found.OpenParts != 2 || found.Datasets != 1 || found.Files != 3 || len(found.Findings) != len(sick) {
		t.Errorf("found %+v", found)
	}
	for _, f := range found.Findings {
		if sick[f.Key] != f.Kind || found.Counts[f.Kind].Number == 0 {
			t.Errorf("%s is %s, want %q", f.Key, f.Kind, sick[f.Key])
		}
	}
	if again, _, _ := run("--bucket", bucket.Bucket); again != 1 {
		t.Error("something was changed")
	}
	code, _, stderr = run("--bucket", "no-such-bucket")
	if code != 3 || !strings.Contains(stderr, `"error":`) || !strings.Contains(stderr, `"hint":`) { // JSON, as all of it is
		t.Errorf("of no bucket: %d %s", code, stderr)
	}
}

// makeSick leaves everything behind that there is a word for, and returns it by
// key.
func makeSick(t *testing.T, catalog *dynamo.Catalog, objects *objectstore.Store) map[string]sweep.Kind {
	t.Helper()
	const tenant, datasetID = "acme", "dataset-0193b0a6-5b7e-7c61-9d4b-2f6f0e8f3a11"
	ctx, now := t.Context(), time.Now()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := func(name string) string { return dataset.FileKey(tenant, "file-"+name) }
	put := func(name, content string) dataset.File {
		stored, err := objects.Put(ctx, key(name), strings.NewReader(content), -1)
		must(err)
		return dataset.File{
			ID: "file-" + name, Name: name, ObjectKey: key(name), SizeBytes: stored.SizeBytes, CRC64NVME: stored.CRC64NVME, UploadedAt: now,
		}
	}
	_, err := catalog.CreateDataset(ctx, tenant, dataset.Dataset{ID: datasetID, CreatedAt: now}, dataset.Idempotency{})
	must(err)
	sound, missing, short, gone := put("sound", "1234"), put("missing", "1234"), put("short", "1234"), put("gone", "1234")
	short.SizeBytes++
	columns := schema.Schema{Fields: []schema.Field{{Name: "a", Type: "int64"}}}
	_, err = catalog.Append(ctx, dataset.Append{Tenant: tenant, DatasetID: datasetID, Files: []dataset.File{sound, missing, short, gone}, Schema: columns})
	must(err)
	must(objects.Delete(ctx, missing.ObjectKey))
	_, err = catalog.DeleteFile(ctx, dataset.Deletion{ID: "deletion-1", Tenant: tenant, DatasetID: datasetID, Name: "gone"})
	must(err)
	put("orphan", "1234")
	_, err = objects.Put(ctx, "files/acme/xx/file-misplaced", strings.NewReader("1234"), -1)
	must(err)
	for _, id := range []string{"expired", "open"} {
		u := dataset.Upload{
			ID: "upload-" + id, DatasetID: datasetID, FileID: "file-" + id, FileName: id, SizeBytes: 4, PartSize: dataset.MinPartSize,
			ObjectKey: key(id), CreatedAt: now, ExpiresAt: now.Add(time.Hour),
		}
		if id == "expired" {
			u.ExpiresAt = now.Add(-2 * time.Hour)
		}
		u.PartsID, err = objects.CreateParts(ctx, u.ObjectKey)
		must(err)
		_, err = catalog.CreateUpload(ctx, tenant, u, dataset.Idempotency{})
		must(err)
	}
	const deleted = "dataset-0193b0a6-5b7e-7c61-9d4b-2f6f0e8f3a12"
	_, err = catalog.CreateDataset(ctx, tenant, dataset.Dataset{ID: deleted, CreatedAt: now}, dataset.Idempotency{})
	must(err)
	_, err = catalog.DeleteDataset(ctx, dataset.DatasetDeletion{ID: "deletion-2", Tenant: tenant, DatasetID: deleted})
	must(err)
	return map[string]sweep.Kind{
		"":                sweep.Deleting,
		missing.ObjectKey: sweep.Missing, short.ObjectKey: sweep.WrongSize, gone.ObjectKey: sweep.Leftover, key("orphan"): sweep.Orphan,
		"files/acme/xx/file-misplaced": sweep.Foreign, key("expired"): sweep.Expired,
	}
}
