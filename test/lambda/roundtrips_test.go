package lambda_test

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/schema"
)

// What one request to a store is, as the guard notes it.
const (
	query    = "dynamodb:Query"
	getItem  = "dynamodb:GetItem"
	getItems = "dynamodb:BatchGetItem"
	put      = "s3:PutObject"
	get      = "s3:GetObject"
	parts    = "s3:ListMultipartUploadParts"
)

// What one transaction to the table is.
const (
	// An append: the dataset's head, the file's position, its name and its id. The
	// first one also writes the schema.
	appendFile = "dynamodb:UpdateItem dynamodb:PutItem dynamodb:PutItem dynamodb:PutItem"
	// The same of an upload, whose record there is.
	appendUpload = "dynamodb:UpdateItem dynamodb:PutItem dynamodb:PutItem dynamodb:UpdateItem"
	// An upload: itself, where it is listed, and its file's id.
	beginUpload = "dynamodb:PutItem dynamodb:PutItem dynamodb:PutItem"
	// What was found in it, and its schema.
	checkUpload = "dynamodb:UpdateItem dynamodb:PutItem"
)

// operation is something that a caller does, and what it costs the deployment.
type operation struct {
	name      string
	requests  []string // the function of each invocation that it takes
	calls     []string // theirs to the stores, in order
	units     units    // of DynamoDB
	logged    int      // lines
	perFile   int      // how many files it is about, where it is about many
	fromQueue bool     // and not by API Gateway
}

// ledger runs operations and notes them.
type ledger struct {
	*deployment
	stores *stores
	meter  *meter

	operations map[string]operation
}

// note runs an operation whose caller calls some functions.
func (l *ledger) note(t *testing.T, o operation, run func(), functions ...string) {
	t.Helper()
	l.meter.take()
	before := map[string]string{}
	for _, f := range functions {
		l.stores.calls.take(f)
		before[f] = l.functions[f].settled()
	}
	run()
	for _, f := range functions {
		o.calls = append(o.calls, l.stores.calls.take(f)...)
		said := strings.TrimPrefix(l.functions[f].settled(), before[f])
		for line := range strings.Lines(said) {
			switch {
			case strings.HasPrefix(line, "REPORT RequestId"):
				o.requests = append(o.requests, f)
			case strings.HasPrefix(line, "{"):
				o.logged++
				if len(line) > functionLogLine {
					t.Errorf("%s logged a line of %d bytes, want %d at most:\n%s", f, len(line), functionLogLine, line)
				}
			}
		}
	}
	o.units = l.meter.take()
	l.operations[o.name] = o
}

// TestRoundTrips holds what requests ask of the stores at the least that suffices,
// and the table of docs/costs.md at what follows from it.
func TestRoundTrips(t *testing.T) {
	l := startLedger(t, "authorizer", "create-dataset", "upload-to-dataset", "list-dataset-files",
		"download-from-dataset", "create-upload", "complete-upload", "append-files", ingestionName, sweepName)
	key := l.stores.addKey(t, keys.ScopeAdmin)
	l.note(t, operation{name: "key"}, func() { l.who = l.authorize(t, key) }, "authorizer")

	l.runUploads(t)
	l.runListsAndDownloads(t)
	l.runInbox(t)

	for name, want := range map[string][]string{
		"key":      {getItem},
		"upload":   {put, getItem, appendFile},
		"list100":  {query},
		"list1000": {query},
		"stream":   {getItems, get},
		"redirect": {getItems},
		// The first three are create-upload's, and the fourth is the client's.
		"large": {query, getItems, put, beginUpload, put, getItem, getItem, parts, put, get, getItem, checkUpload, getItem, appendUpload},
		// The same as one: the put is the client's.
		"single": {query, getItems, beginUpload, put, getItem, getItem, get, get, getItem, checkUpload, getItem, appendUpload},
		// The last look is at the time of the put, which S3 compares in no deletion.
		"ingest": {query, get, getItems, get, put, get, getItem, appendFile, get, "s3:DeleteObject"},
		"sweep":  {query, getItem, get + ofMark, "dynamodb:DescribeTable"}, // every 15 minutes
		"rescan": {getItem, listBucket},                                    // every hour
	} {
		if got := l.operations[name].calls; !slices.Equal(got, want) {
			t.Errorf("%s makes the calls\n%q, want\n%q", name, got, want)
		}
	}
	l.checkCosts(t)
}

func startLedger(t *testing.T, folders ...string) *ledger {
	t.Helper()
	binaries := build(t, folders)
	s := startStores(t)
	l := &ledger{deployment: &deployment{functions: map[string]*function{}}, stores: s, meter: startMeter(t, s.dynamoDB), operations: map[string]operation{}}
	s.dynamoDB = l.meter.url
	for _, name := range folders {
		l.functions[name] = run(t, filepath.Join(binaries, name, "bootstrap"), s.env(t, name))
	}
	return l
}

// dataset makes an empty dataset and returns its id.
func (l *ledger) dataset(t *testing.T) string {
	t.Helper()
	id, _ := l.ok(t, "create-dataset", sample(t, "create-dataset", "post")).json(t)["dataset_id"].(string)
	return id
}

// about is a sample that is about a dataset, with further replacements in its body.
func about(t *testing.T, function, id string, more ...string) event {
	t.Helper()
	e := sample(t, function, "post")
	return e.withBody([]byte(strings.NewReplacer(append(more, sampleDataset, id)...).Replace(string(e.body(t)))))
}

func (l *ledger) runUploads(t *testing.T) {
	id := l.dataset(t)
	upload := func(name string) event { return about(t, "upload-to-dataset", id, "part-0001.parquet", name) }
	l.ok(t, "upload-to-dataset", upload("first.parquet")) // it sets the schema as well
	l.note(t, operation{name: "upload"}, func() { l.ok(t, "upload-to-dataset", upload("second.parquet")) }, "upload-to-dataset")

	file := upload("any").file(t)
	begin := func(name, more string) string {
		e := about(t, "create-upload", id, "part-0005.parquet", name, "1234567890", fmt.Sprint(len(file)), "}", more+"}")
		begun := l.ok(t, "create-upload", e).json(t)
		for _, part := range list(begun["part_urls"]) {
			if status := putPart(t, part, file); status != http.StatusOK {
				t.Fatalf("the part is answered %d", status)
			}
		}
		return begun["upload_id"].(string)
	}
	complete := func(upload, more string) {
		l.ok(t, "complete-upload", about(t, "complete-upload", id, sampleUpload, upload, "}", more+"}"))
	}
	const many, inParts, asOne = 20, "", `, "single_put": true`
	for kind, more := range map[string]string{"large": inParts, "single": asOne} {
		l.note(t, operation{name: kind}, func() { complete(begin(kind+".parquet", more), "") }, "create-upload", "complete-upload")
		l.note(t, operation{name: kind + "Many", perFile: many}, func() {
			var ids []string
			for n := range many {
				upload := begin(fmt.Sprintf("%s-%d.parquet", kind, n), more)
				complete(upload, `, "append": false`)
				ids = append(ids, upload)
			}
			l.ok(t, "append-files", about(t, "append-files", id, sampleUpload, strings.Join(ids, `", "`)))
		}, "create-upload", "complete-upload", "append-files")
	}
}

func sendPart(t *testing.T, url string, content []byte) {
	t.Helper()
	if status := putPart(t, object{"url": url}, content); status != http.StatusOK {
		t.Fatalf("the part is answered %d", status)
	}
}

// putPart sends a part to where an answer says, and returns the status.
func putPart(t *testing.T, part any, content []byte) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, at(part, "url").(string), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if headers, ok := at(part, "headers").(object); ok {
		for name, value := range headers {
			r.Header.Set(name, value.(string))
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func (l *ledger) runListsAndDownloads(t *testing.T) {
	id := l.dataset(t)
	l.ok(t, "upload-to-dataset", about(t, "upload-to-dataset", id))
	download := func(delivery string) func() {
		e := about(t, "download-from-dataset", id, "}", fmt.Sprintf(`, "delivery": %q}`, delivery))
		return func() { l.call(t, "download-from-dataset", e) }
	}
	l.note(t, operation{name: "stream"}, download("stream"), "download-from-dataset")
	l.note(t, operation{name: "redirect"}, download("redirect"), "download-from-dataset")

	for _, files := range []int{100, 1000} {
		listed := l.stores.datasetOf(t, files)
		l.note(t, operation{name: fmt.Sprint("list", files)}, func() {
			rows := l.ok(t, "list-dataset-files", about(t, "list-dataset-files", listed)).json(t)["files"]
			if len(list(rows)) != files {
				t.Errorf("%d files are listed, want %d", len(list(rows)), files)
			}
		}, "list-dataset-files")
	}
}

// datasetOf makes a dataset with so many files that have no bytes.
func (s *stores) datasetOf(t *testing.T, files int) string {
	t.Helper()
	d, err := s.catalog.CreateDataset(t.Context(), s.tenant, dataset.Dataset{ID: fmt.Sprint("dataset-0193b0a6-5b7e-7c61-9d4b-", 100000000000+files), CreatedAt: time.Now()}, dataset.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	const run = 20
	for from := 0; from < files; from += run {
		a := dataset.Append{Tenant: s.tenant, DatasetID: d.ID, Schema: schema.Schema{Fields: []schema.Field{{Name: "id", Type: "int64"}}}}
		for n := from; n < from+run; n++ {
			id := fmt.Sprintf("file-0193b0a6-5b7e-7c61-9d4b-%04d%08d", files, n)
			a.Files = append(a.Files, dataset.File{
				ID: id, Name: fmt.Sprintf("part-%06d.parquet", n), SizeBytes: 123456789, RowCount: 1000000,
				CRC64NVME: "AAAAAAAAAAA=", ObjectKey: dataset.FileKey(s.tenant, id), UploadedAt: time.Now(),
			})
		}
		if _, err := s.catalog.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	return d.ID
}

// runInbox has files ingested, and the two functions called that a schedule calls
// while nobody uses the deployment.
func (l *ledger) runInbox(t *testing.T) {
	id := l.dataset(t)
	file := about(t, "upload-to-dataset", id).file(t)
	batch := func(prefix string, files int) any {
		var keys []string
		for n := range files {
			key := fmt.Sprintf("incoming/%s/%s-%d.parquet", id, prefix, n)
			_, err := l.stores.bucket.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(embeddeds3test.Inbox), Key: &key, Body: bytes.NewReader(file)})
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		return noticed(t, keys...)
	}
	l.ingest(t, batch("first", 1)) // it sets the schema as well
	const many = 10
	for name, files := range map[string]int{"ingest": 1, "ingestMany": many} {
		b := batch(name, files)
		l.note(t, operation{name: name, perFile: files, fromQueue: true}, func() { l.ingest(t, b) }, ingestionName)
	}
	scheduled := func(function string) func() {
		return func() { l.functions[function].send(t, sample(t, sweepName, "schedule")) }
	}
	scheduled(sweepName)() // begins a pass
	l.note(t, operation{name: "sweep", fromQueue: true}, scheduled(sweepName), sweepName)
	l.note(t, operation{name: "rescan", fromQueue: true}, scheduled(ingestionName), ingestionName)
}
