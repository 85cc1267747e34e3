package lambda_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/sweep"
	"github.com/parqueue/parqueue/internal/testtool"
)

// The samples in events/ name this dataset, this upload and this key; a test puts
// its own in their place.
const (
	sampleUpload  = "upload-0193b0a6-5b7e-7d02-b3c4-7a8b9c0d1e2f"
	sampleDataset = "dataset-0193b0a6-5b7e-7c61-9d4b-2f6f0e8f3a11"
	sampleKey     = "pq_live_TheKeyThatParqueueShowedYouGoesHere0000"
)

// largestUpload is about as much as fits into a request.
const largestUpload = 4_500_000

// event is an event of API Gateway.
type event map[string]any

// sample reads events/<function>/<name>.json.
func sample(t *testing.T, function, name string) event {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testtool.Root(), "events", function, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var e event
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// body is what the caller sent.
func (e event) body(t *testing.T) []byte {
	t.Helper()
	encoded, _ := e["body"].(string)
	if e["isBase64Encoded"] != true {
		t.Fatal("API Gateway would have encoded the body, since every type is binary")
	}
	body, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// withBody returns the event with another body.
func (e event) withBody(body []byte) event {
	e["body"], e["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
	return e
}

// withHeader returns the event with a further header.
func (e event) withHeader(name, value string) event {
	e["multiValueHeaders"].(object)[name] = []any{value}
	return e
}

// file is the file in an upload's form.
func (e event) file(t *testing.T) []byte {
	t.Helper()
	_, params, err := mime.ParseMediaType(at(map[string]any(e), "headers").(object)["Content-Type"].(string))
	if err != nil {
		t.Fatal(err)
	}
	form := multipart.NewReader(bytes.NewReader(e.body(t)), params["boundary"])
	for {
		part, err := form.NextPart()
		if err != nil {
			t.Fatalf("no file in the form: %v", err)
		}
		if part.FormName() == "file" {
			content, err := io.ReadAll(part)
			if err != nil {
				t.Fatal(err)
			}
			return content
		}
	}
}

// answer is what a function answers API Gateway with.
type answer struct {
	StatusCode        int
	MultiValueHeaders http.Header
	Body              string
	IsBase64Encoded   bool
	ErrorMessage      string
}

func (a answer) bytes(t *testing.T) []byte {
	t.Helper()
	if !a.IsBase64Encoded {
		return []byte(a.Body)
	}
	body, err := base64.StdEncoding.DecodeString(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// json is the body as an object.
func (a answer) json(t *testing.T) object {
	t.Helper()
	var body object
	if err := json.Unmarshal(a.bytes(t), &body); err != nil {
		t.Fatalf("status %d, body %.300q: %v", a.StatusCode, a.Body, err)
	}
	return body
}

// deployment is every function of the template, run by emulators over real
// stores, with API Gateway's part played by the test.
type deployment struct {
	functions map[string]*function
	who       object // what the authorizer said of the key
}

// call passes an event to a function as API Gateway would, after the authorizer.
func (d *deployment) call(t *testing.T, function string, e event) answer {
	t.Helper()
	if context, ok := e["requestContext"].(object); ok {
		context["authorizer"] = d.who
	}
	var a answer
	if streams(t, function) {
		a.readStream(t, bytes.NewReader(d.functions[function].send(t, e)))
		return a
	}
	d.functions[function].invoke(t, e, &a)
	return a
}

// ok calls a function and wants an answer of 200.
func (d *deployment) ok(t *testing.T, function string, e event) answer {
	t.Helper()
	a := d.call(t, function, e)
	if a.StatusCode != http.StatusOK {
		t.Fatalf("status %d, body %.500s, %s", a.StatusCode, a.Body, a.ErrorMessage)
	}
	return a
}

// refused calls a function and wants an error in the shape of every error.
func (d *deployment) refused(t *testing.T, function string, e event, status int, code string) object {
	t.Helper()
	a := d.call(t, function, e)
	body := a.json(t)
	text, _ := body["error"].(string)
	if a.StatusCode != status || body["code"] != code || text == "" || body["message"] != text || body["hint"] == "" {
		t.Errorf("status %d, body %s; want %d, %s", a.StatusCode, a.Body, status, code)
	}
	return body
}

func deploy(t *testing.T) (*deployment, *stores) {
	t.Helper()
	folders := slices.Sorted(func(yield func(string) bool) {
		for name := range functions(t) {
			if !yield(name) {
				return
			}
		}
	})
	return deployOnly(t, folders)
}

// deployOnly is deploy for some of the functions.
func deployOnly(t *testing.T, folders []string) (*deployment, *stores) {
	t.Helper()
	binaries := build(t, folders)
	s := startStores(t)
	d := &deployment{functions: map[string]*function{}}
	for _, name := range folders {
		d.functions[name] = run(t, filepath.Join(binaries, name, "bootstrap"), s.env(t, name))
	}
	return d, s
}

// TestFunctions follows files through all functions, with the sample events.
func TestFunctions(t *testing.T) {
	d, s := deploy(t)
	key := s.addKey(t, keys.ScopeAdmin)
	var datasetID string
	adapted := func(function, name string) event {
		e := sample(t, function, name)
		if e["body"] == nil {
			return e
		}
		return e.withBody(bytes.ReplaceAll(e.body(t), []byte(sampleDataset), []byte(datasetID)))
	}
	step := func(name string, test func(*testing.T)) {
		if !t.Run(name, test) {
			t.FailNow()
		}
	}

	step("the authorizer knows the key", func(t *testing.T) {
		d.who = d.authorize(t, key)
		if d.who["tenant"] != s.tenant || d.who["scopes"] != "admin" || d.who["datasets"] != "*" {
			t.Errorf("context %v", d.who)
		}
	})
	step("the authorizer refuses any other", func(t *testing.T) {
		for _, header := range []any{"Key " + sampleKey, "Key " + key[:len(key)-1] + "!", "Basic " + key, "", nil} {
			e := sample(t, authorizerName, "request")
			e["multiValueHeaders"] = object{"authorization": []any{header}}
			var a answer
			d.functions[authorizerName].invoke(t, e, &a)
			if a.ErrorMessage != "Unauthorized" {
				t.Errorf("%v: answered %+v", header, a)
			}
		}
	})
	step("try-authentication", func(t *testing.T) {
		if got := d.ok(t, "try-authentication", sample(t, "try-authentication", "get")).json(t); got["authenticated"] != true {
			t.Errorf("answered %v", got)
		}
	})
	step("get-quotas", func(t *testing.T) {
		if got := d.ok(t, "get-quotas", sample(t, "get-quotas", "get")).json(t); len(list(got["quotas"])) == 0 {
			t.Errorf("answered %v", got)
		}
	})
	step("create-dataset", func(t *testing.T) {
		d.ok(t, "create-dataset", sample(t, "create-dataset", "get"))
		stage := d.ok(t, "create-dataset", sample(t, "create-dataset", "stage")).json(t)
		if id, _ := stage["stage_id"].(string); !strings.HasPrefix(id, "dataset-") {
			t.Errorf("a stage is %v", stage)
		}
		created := d.ok(t, "create-dataset", sample(t, "create-dataset", "post")).json(t)
		datasetID, _ = created["dataset_id"].(string)
		if !strings.HasPrefix(datasetID, "dataset-") || created["name"] != "training" {
			t.Fatalf("created %v", created)
		}
	})
	step("list-datasets", func(t *testing.T) {
		rows := list(d.ok(t, "list-datasets", sample(t, "list-datasets", "post")).json(t)["datasets"])
		if len(rows) != 3 || at(rows[0], "dataset_id") != datasetID {
			t.Errorf("listed %v", rows)
		}
		stages := list(d.ok(t, "list-datasets", sample(t, "list-datasets", "stage")).json(t)["stages"])
		if len(stages) != 3 || at(stages[0], "stage_id") != datasetID {
			t.Errorf("listed %v", stages)
		}
	})
	step("get-dataset and update-dataset", func(t *testing.T) {
		got := d.ok(t, "get-dataset", adapted("get-dataset", "post")).json(t)
		if got["dataset_id"] != datasetID || got["name"] != "training" || got["version"] != 1.0 || got["file_count"] != 0.0 {
			t.Errorf("got %v", got)
		}
		updated := d.ok(t, "update-dataset", adapted("update-dataset", "post").withHeader("Idempotency-Key", "update")).json(t)
		d.ok(t, "update-dataset", adapted("update-dataset", "post").withHeader("Idempotency-Key", "update"))
		got = d.ok(t, "get-dataset", adapted("get-dataset", "post")).json(t)
		if got["name"] != "training, week 2" || at(got, "metadata", "reviewed") != true || got["version"] != 2.0 || updated["version"] != 2.0 {
			t.Errorf("updated to %v, got %v", updated, got)
		}
		stale := adapted("update-dataset", "post")
		stale.withBody(bytes.Replace(stale.body(t), []byte("{"), []byte(`{"if_version": 1, `), 1))
		if refusal := d.refused(t, "update-dataset", stale, http.StatusConflict, "version_mismatch"); refusal["version"] != 2.0 {
			t.Errorf("refused with %v", refusal)
		}
	})
	step("upload-to-dataset", func(t *testing.T) {
		d.ok(t, "upload-to-dataset", adapted("upload-to-dataset", "post"))
		d.ok(t, "upload-to-dataset", adapted("upload-to-dataset", "stage"))
	})
	step("what a dataset does not take", func(t *testing.T) {
		d.refused(t, "upload-to-dataset", adapted("upload-to-dataset", "post"), http.StatusConflict, "file_exists")
		mismatch := d.refused(t, "upload-to-dataset", adapted("upload-to-dataset", "other-schema"), http.StatusConflict, "schema_mismatch")
		if text, _ := json.Marshal(mismatch); !strings.Contains(string(text), "score") {
			t.Errorf("the diff does not name the column: %s", text)
		}
	})
	step("a repeated request", func(t *testing.T) {
		for function, id := range map[string]string{"create-dataset": "dataset_id", "upload-to-dataset": "file_id"} {
			e := adapted(function, "post").withHeader("Idempotency-Key", function)
			if function == "upload-to-dataset" {
				e.withBody(bytes.Replace(e.body(t), []byte("part-0001.parquet"), []byte("part-0003.parquet"), 1))
			}
			first, second := d.ok(t, function, e).json(t), d.ok(t, function, e).json(t)
			if first[id] == nil || first[id] != second[id] {
				t.Errorf("%s answered %v and then %v", function, first, second)
			}
		}
	})
	step("list-dataset-files", func(t *testing.T) {
		names := []any{"part-0001.parquet", "part-0002.parquet", "part-0003.parquet"}
		var documented []any
		for _, row := range list(d.ok(t, "list-dataset-files", adapted("list-dataset-files", "post")).json(t)["files"]) {
			documented = append(documented, at(row, "file_name"))
		}
		sdk := list(d.ok(t, "list-dataset-files", adapted("list-dataset-files", "sdk")).json(t)["files"])
		stage := list(d.ok(t, "list-dataset-files", adapted("list-dataset-files", "stage")).json(t)["files"])
		if !slices.Equal(documented, names) || !slices.Equal(sdk, names) || !slices.Equal(stage, names) {
			t.Errorf("listed %v, %v, %v", documented, sdk, stage)
		}
	})
	step("download-from-dataset", func(t *testing.T) {
		for _, name := range []string{"post", "stage"} {
			a := d.ok(t, "download-from-dataset", adapted("download-from-dataset", name))
			if !bytes.Equal(a.bytes(t), adapted("upload-to-dataset", name).file(t)) {
				t.Errorf("%s: other bytes came back", name)
			}
			if kind := a.MultiValueHeaders.Get("Content-Type"); kind != "application/octet-stream" {
				t.Errorf("Content-Type %q", kind)
			}
		}
	})
	step("a file that is not there", func(t *testing.T) {
		for _, name := range []string{"part-0009.parquet", "../part-1.parquet"} { // the second cannot be a name
			e := adapted("download-from-dataset", "post")
			e.withBody(bytes.Replace(e.body(t), []byte("part-0001.parquet"), []byte(name), 1))
			d.refused(t, "download-from-dataset", e, http.StatusNotFound, "file_not_found")
		}
	})
	step("the largest file that a request carries", func(t *testing.T) {
		e := adapted("upload-to-dataset", "post")
		body := bytes.Replace(e.body(t), e.file(t), largeParquet(t, largestUpload), 1)
		d.ok(t, "upload-to-dataset", e.withBody(bytes.Replace(body, []byte("part-0001.parquet"), []byte("part-0004.parquet"), 1)))
	})
	step("a large file", func(t *testing.T) { d.checkLargeFile(t, adapted) })
	step("assets", func(t *testing.T) { d.checkAssets(t, adapted, datasetID) })
	step("every delivery", func(t *testing.T) { d.checkDelivery(t, s, adapted) })
	step("a compressed listing", func(t *testing.T) {
		plain := d.ok(t, "list-dataset-files", adapted("list-dataset-files", "post")).bytes(t)
		a := d.ok(t, "list-dataset-files", adapted("list-dataset-files", "post").withHeader("Accept-Encoding", "deflate, gzip"))
		if encoding := a.MultiValueHeaders.Get("Content-Encoding"); encoding != "gzip" || !a.IsBase64Encoded {
			t.Fatalf("Content-Encoding %q, base64 %v", encoding, a.IsBase64Encoded)
		}
		unzip, err := gzip.NewReader(bytes.NewReader(a.bytes(t)))
		if err != nil {
			t.Fatal(err)
		}
		if unzipped, err := io.ReadAll(unzip); err != nil || !bytes.Equal(unzipped, plain) {
			t.Errorf("%s, %v; without compression it is %s", unzipped, err, plain)
		}
	})
	step("delete-dataset-file", func(t *testing.T) {
		file, err := s.catalog.File(t.Context(), s.tenant, datasetID, "part-0002.parquet")
		if err != nil {
			t.Fatal(err)
		}
		e := adapted("delete-dataset-file", "post").withHeader("Idempotency-Key", "delete")
		deleted := d.ok(t, "delete-dataset-file", e).json(t)
		if again := d.ok(t, "delete-dataset-file", e).json(t); deleted["position"] != 1.0 || deleted["deleted"] != true || !reflect.DeepEqual(again, deleted) {
			t.Errorf("answered %v and then %v", deleted, again)
		}
		objects := objectstore.New(objectstore.NewClient(s.bucket.Config(), s.bucket.Endpoint), s.bucket.Bucket)
		if _, err := objects.Get(t.Context(), file.ObjectKey, dataset.Range{}); !fault.Is(err, fault.CodeFileNotFound) {
			t.Errorf("the object is still there: %v", err)
		}
		d.refused(t, "delete-dataset-file", adapted("delete-dataset-file", "post"), http.StatusNotFound, "file_not_found")
		d.refused(t, "download-from-dataset", adapted("download-from-dataset", "stage"), http.StatusNotFound, "file_not_found")
		var positions []any
		for _, row := range list(d.ok(t, "list-dataset-files", adapted("list-dataset-files", "post")).json(t)["files"]) {
			positions = append(positions, at(row, "position"))
		}
		if !slices.Equal(positions, []any{0.0, 2.0, 3.0, 4.0, 5.0, 6.0}) {
			t.Errorf("the positions %v are listed", positions)
		}
		if got := d.ok(t, "upload-to-dataset", adapted("upload-to-dataset", "stage")).json(t); got["position"] != 7.0 {
			t.Errorf("the name's new file is %v", got)
		}
	})
	step("verify-dataset", func(t *testing.T) {
		verify := func() object { return d.ok(t, "verify-dataset", adapted("verify-dataset", "post")).json(t) }
		if got := verify(); got["checked"] != 7.0 || got["sound"] != 7.0 || len(list(got["problems"])) != 0 {
			t.Errorf("answered %v", got)
		}
		file, err := s.catalog.File(t.Context(), s.tenant, datasetID, "part-0002.parquet")
		if err != nil {
			t.Fatal(err)
		}
		objects := objectstore.New(objectstore.NewClient(s.bucket.Config(), s.bucket.Endpoint), s.bucket.Bucket)
		if err := objects.Delete(t.Context(), file.ObjectKey); err != nil {
			t.Fatal(err)
		}
		got := verify()
		problems := list(got["problems"])
		if got["checked"] != 7.0 || got["sound"] != 6.0 || len(problems) != 1 || at(problems[0], "file_name") != "part-0002.parquet" ||
			at(problems[0], "position") != 7.0 || at(problems[0], "problem") != "missing" {
			t.Errorf("answered %v", got)
		}
	})
	step("a caller that no authorizer has seen", func(t *testing.T) {
		stranger := &deployment{functions: d.functions}
		e := adapted("list-dataset-files", "post")
		e["headers"], e["multiValueHeaders"] = object{}, object{"tenant": []any{s.tenant}, "Authorization": []any{"Key " + key}}
		stranger.refused(t, "list-dataset-files", e, http.StatusUnauthorized, "unauthorized")
	})
	step("another tenant", func(t *testing.T) {
		other := &deployment{functions: d.functions, who: object{"tenant": "other", "key_id": "key-1", "scopes": "admin", "datasets": "*"}}
		other.refused(t, "list-dataset-files", adapted("list-dataset-files", "post"), http.StatusNotFound, "dataset_not_found")
		other.refused(t, "upload-to-dataset", adapted("upload-to-dataset", "post"), http.StatusNotFound, "dataset_not_found")
		other.refused(t, "download-from-dataset", adapted("download-from-dataset", "post"), http.StatusNotFound, "dataset_not_found")
		for _, name := range []string{"get-dataset", "update-dataset", "delete-dataset-file", "verify-dataset", "delete-dataset"} {
			other.refused(t, name, adapted(name, "post"), http.StatusNotFound, "dataset_not_found")
		}
		if rows := list(other.ok(t, "list-datasets", sample(t, "list-datasets", "post")).json(t)["datasets"]); len(rows) != 0 {
			t.Errorf("listed %v", rows)
		}
	})
	step("sweep", func(t *testing.T) { d.checkSweep(t, s) })
	step("delete-dataset", func(t *testing.T) { d.checkDeleteDataset(t, s, adapted) })
	step("the inbox", func(t *testing.T) { d.checkInbox(t, s) })
	step("no policy grants more than was used", s.checkPolicies)
	step("every function logs what it did", func(t *testing.T) { d.checkLogs(t) })
	step("the logs are metrics as well", func(t *testing.T) { d.checkMetrics(t) })
	step("no function logs a secret", func(t *testing.T) { d.checkSecrets(t, s, key) })
}

// checkDeleteDataset deletes the dataset of all the other steps, and purges it as
// the function does that nobody calls.
func (d *deployment) checkDeleteDataset(t *testing.T, s *stores, adapted func(function, name string) event) {
	before := len(list(d.ok(t, "list-datasets", sample(t, "list-datasets", "post")).json(t)["datasets"]))
	stale := adapted("delete-dataset", "post")
	stale.withBody(bytes.Replace(stale.body(t), []byte("{"), []byte(`{"if_version": 1, `), 1))
	d.refused(t, "delete-dataset", stale, http.StatusConflict, "version_mismatch")
	e := adapted("delete-dataset", "post").withHeader("Idempotency-Key", "drop")
	deleted := d.ok(t, "delete-dataset", e).json(t)
	if again := d.ok(t, "delete-dataset", e).json(t); deleted["state"] != "deleting" || deleted["file_count"] != 7.0 || !reflect.DeepEqual(again, deleted) {
		t.Errorf("answered %v and then %v", deleted, again)
	}
	objects := objectstore.New(objectstore.NewClient(s.bucket.Config(), s.bucket.Endpoint), s.bucket.Bucket)
	purger := dataset.NewPurger(s.catalog, s.catalog, objects, func() time.Time { return time.Now().Add(dataset.SettleTime) })
	for _, purged := range []bool{false, true} {
		for _, function := range []string{
			"delete-dataset", "get-dataset", "update-dataset", "list-dataset-files", "upload-to-dataset", "download-from-dataset",
			"delete-dataset-file", "verify-dataset", "create-upload", "append-files", "list-uploads",
		} {
			d.refused(t, function, adapted(function, "post"), http.StatusNotFound, "dataset_not_found")
		}
		if rows := list(d.ok(t, "list-datasets", sample(t, "list-datasets", "post")).json(t)["datasets"]); len(rows) != before-1 {
			t.Errorf("listed %v", rows)
		}
		if purged {
			break
		}
		var swept sweep.Report // the purge begins at the sweeper's next invocation
		d.functions[sweepName].invoke(t, sample(t, sweepName, "schedule"), &swept)
		if files := at(swept.Tasks, "purge", "Files"); files != 8.0 {
			t.Errorf("swept %+v", swept)
		}
		if done, err := purger.Purge(t.Context()); err != nil || done.Datasets != 1 {
			t.Errorf("purged %+v, %v", done, err)
		}
	}
	if left, _, err := objects.List(t.Context(), "files/", "", 10); err != nil || len(left) > 0 {
		t.Errorf("the objects %v are left, %v", left, err)
	}
	if left, _, err := objects.ListOpenParts(t.Context(), "files/", "", "", 10); err != nil || len(left) > 0 {
		t.Errorf("the parts %v are left, %v", left, err)
	}
}

// authorize asks the authorizer about a key and returns the context that it
// gives to every function.
func (d *deployment) authorize(t *testing.T, key string) object {
	t.Helper()
	e := sample(t, authorizerName, "request")
	e["multiValueHeaders"] = object{"Authorization": []any{"Key " + key}}
	var policy struct {
		PolicyDocument struct {
			Statement []struct {
				Effect   string
				Resource []string
			}
		}
		Context object
	}
	d.functions[authorizerName].invoke(t, e, &policy)
	statements := policy.PolicyDocument.Statement
	if len(statements) != 1 || statements[0].Effect != "Allow" ||
		!slices.Equal(statements[0].Resource, []string{"arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/v1/*"}) {
		t.Fatalf("policy %+v", policy)
	}
	return policy.Context
}

// largeParquet is a file of the samples' schema with at least size bytes.
func largeParquet(t *testing.T, size int) []byte {
	t.Helper()
	type row struct {
		ID    int64   `parquet:"id"`
		Text  string  `parquet:"text"`
		Score float64 `parquet:"score"`
	}
	random, noise := rand.NewChaCha8([32]byte{1}), make([]byte, 600)
	var file bytes.Buffer
	w := parquet.NewGenericWriter[row](&file, parquet.Compression(&parquet.Uncompressed))
	for range size / 800 { // which the noise takes as text
		_, _ = random.Read(noise)
		if _, err := w.Write([]row{{Text: base64.StdEncoding.EncodeToString(noise)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}
