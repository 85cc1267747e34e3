package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/freeport"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/testtool"
)

// testTime is generous: containers start while other tests run.
const testTime = 5 * time.Minute

// The samples under events/ name this key and this dataset.
const (
	sampleKey     = "pq_live_TheKeyThatParqueueShowedYouGoesHere0000"
	sampleDataset = "dataset-0193b0a6-5b7e-7c61-9d4b-2f6f0e8f3a11"
)

// TestSAMLocal takes the API through its paces as `make sam-local` starts it.
func TestSAMLocal(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	defer cancel()
	needEngine(t, ctx)
	build := exec.CommandContext(ctx, "make", "sam-local-build")
	build.Dir = testtool.Root()
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the functions: %v\n%s", err, output)
	}
	listen, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	output := &syncBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the programs said:\n%s", output)
		}
	})
	d, err := start(ctx, config{root: testtool.Root(), built: ".aws-sam/local", listen: listen, output: output})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)

	t.Run("requests", func(t *testing.T) { checkRequests(t, d) })
	for _, event := range events {
		t.Run(event.function, func(t *testing.T) {
			datasetID := d.putIntoInbox(t)
			answer, err := d.invoke(ctx, event.function, event.file(t, d, datasetID))
			if err != nil {
				t.Fatal(err)
			}
			event.check(t, answer)
			if event.lists != "" {
				list := d.post(t, "/list-dataset-files", `{"dataset_id": "`+datasetID+`", "fields": ["file_name"]}`)
				if !strings.Contains(list.text(), event.lists) {
					t.Errorf("listed %s", list.body)
				}
			}
		})
	}
	if strings.Contains(output.String(), d.key) {
		t.Error("the key is in what the programs say")
	}
}

// needEngine skips the test where no container can run, and says why; in CI it
// fails.
func needEngine(t *testing.T, ctx context.Context) {
	t.Helper()
	e, err := findEngine(ctx, t.TempDir(), io.Discard)
	switch {
	case err == nil:
		e.stop()
	case errors.Is(err, errNoEngine) && os.Getenv("CI") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// eventDriven is a function that no route leads to, with a sample of events/ and
// what it has to answer.
type eventDriven struct {
	function, sample string
	check            func(*testing.T, []byte)
	lists            string // what is in the dataset after it, if it is about that
}

var events = []eventDriven{
	{"Authorizer", "authorizer/request.json", func(t *testing.T, answer []byte) {
		var policy struct {
			PolicyDocument struct{ Statement []struct{ Effect string } }
			Context        map[string]string
		}
		if err := json.Unmarshal(answer, &policy); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		if s := policy.PolicyDocument.Statement; len(s) != 1 || s[0].Effect != "Allow" || policy.Context["tenant"] != tenant {
			t.Errorf("answered %s", answer)
		}
	}, ""},
	{"IngestObject", "ingest-object/batch.json", func(t *testing.T, answer []byte) {
		var failed struct{ BatchItemFailures []any }
		if err := json.Unmarshal(answer, &failed); err != nil || len(failed.BatchItemFailures) > 0 || !strings.Contains(string(answer), "batchItemFailures") {
			t.Errorf("answered %s", answer)
		}
	}, `"monday.parquet"`},
	{"Sweep", "sweep/schedule.json", func(t *testing.T, answer []byte) {
		var report struct{ Finished bool }
		if err := json.Unmarshal(answer, &report); err != nil || !report.Finished {
			t.Errorf("answered %s", answer)
		}
	}, ""},
}

// putIntoInbox makes a dataset and puts a file for it into the inbox, of which the
// sample of the queue tells.
func (d *deployment) putIntoInbox(t *testing.T) (datasetID string) {
	t.Helper()
	var created struct {
		ID string `json:"dataset_id"`
	}
	d.post(t, "/create-dataset", `{}`).decode(t, &created)
	client := objectstore.NewClient(aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider(d.stores.accessKey, d.stores.secretKey, ""),
	}, "http://"+d.stores.s3)
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(inbox), Key: aws.String("incoming/" + created.ID + "/monday.parquet"),
		Body: bytes.NewReader(read(t, d.root, "internal/footer/testdata/same/pyarrow_default.parquet")),
	})
	if err != nil {
		t.Fatal(err)
	}
	return created.ID
}

// file is the sample with the deployment's key and a dataset of it.
func (e eventDriven) file(t *testing.T, d *deployment, datasetID string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.root, "events", e.sample))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "event.json")
	adapted := strings.NewReplacer(sampleKey, d.key, sampleDataset, datasetID).Replace(string(text))
	if err := os.WriteFile(path, []byte(adapted), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func checkRequests(t *testing.T, d *deployment) {
	file := read(t, d.root, "internal/footer/testdata/same/pyarrow_default.parquet")
	if got := d.get(t, d.key, "/try-authentication"); got.status != http.StatusOK || !strings.Contains(got.text(), `"authenticated":true`) {
		t.Fatalf("try-authentication: %d %s", got.status, got.body)
	}
	// docs/sam-local.md says what these are on API Gateway.
	for name, refused := range map[string]struct {
		key, path string
		status    int
	}{
		"another key":   {sampleKey, "/try-authentication", http.StatusBadGateway},
		"no key":        {"", "/try-authentication", http.StatusUnauthorized},
		"no such route": {d.key, "/nothing", http.StatusForbidden},
	} {
		if got := d.get(t, refused.key, refused.path); got.status != refused.status {
			t.Errorf("%s is answered %d %s, want %d", name, got.status, got.body, refused.status)
		}
	}

	var created struct {
		ID string `json:"dataset_id"`
	}
	d.post(t, "/create-dataset", `{"name": "week 47"}`).decode(t, &created)
	if !strings.HasPrefix(created.ID, "dataset-") {
		t.Fatalf("created %q", created.ID)
	}
	var uploaded struct {
		Position int `json:"position"`
		Rows     int `json:"row_count"`
	}
	d.upload(t, created.ID, "monday.parquet", file).decode(t, &uploaded)
	d.upload(t, created.ID, "tuesday.parquet", file).decode(t, &uploaded)
	if uploaded.Position != 1 || uploaded.Rows == 0 {
		t.Errorf("uploaded %+v", uploaded)
	}
	other := d.upload(t, created.ID, "wednesday.parquet", read(t, d.root, "internal/footer/testdata/different/pandas_pyarrow_gzip.parquet"))
	if other.status != http.StatusConflict || !strings.Contains(other.text(), `"code":"schema_mismatch"`) || !strings.Contains(other.text(), `"diff"`) {
		t.Errorf("another schema is answered %d %s", other.status, other.body)
	}
	var list struct {
		Files []struct {
			Name string `json:"file_name"`
		} `json:"files"`
	}
	d.post(t, "/list-dataset-files", `{"dataset_id": "`+created.ID+`"}`).decode(t, &list)
	if fmt.Sprint(list.Files) != "[{monday.parquet} {tuesday.parquet}]" {
		t.Errorf("listed %v", list.Files)
	}

	request := `{"dataset_id": "` + created.ID + `", "file_name": "monday.parquet"`
	got := d.post(t, "/download-from-dataset", request+"}")
	if got.status != http.StatusOK || !bytes.Equal(got.body, file) || got.header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("downloaded %d, %d bytes, %v", got.status, len(got.body), got.header)
	}
	got = d.post(t, "/download-from-dataset", request+`, "delivery": "redirect"}`) // which the client follows
	if got.status != http.StatusOK || !bytes.Equal(got.body, file) || got.header.Get("Content-Disposition") != `attachment; filename="monday.parquet"` {
		t.Errorf("redirected to %d, %d bytes, %v", got.status, len(got.body), got.header)
	}
}

// reply is what a request is answered.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) text() string { return string(r.body) }

func (r reply) decode(t *testing.T, into any) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("answered %d %s", r.status, r.body)
	}
	if err := json.Unmarshal(r.body, into); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
}

func (d *deployment) get(t *testing.T, key, path string) reply {
	t.Helper()
	return d.do(t, http.MethodGet, path, key, "", nil)
}

func (d *deployment) post(t *testing.T, path, body string) reply {
	t.Helper()
	return d.do(t, http.MethodPost, path, d.key, "application/json", strings.NewReader(body))
}

func (d *deployment) upload(t *testing.T, id, name string, content []byte) reply {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if err := form.WriteField("dataset_id", id); err != nil {
		t.Fatal(err)
	}
	part, err := form.CreateFormFile("file", name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = part.Write(content)
	if err := errors.Join(err, form.Close()); err != nil {
		t.Fatal(err)
	}
	return d.do(t, http.MethodPost, "/upload-to-dataset", d.key, form.FormDataContentType(), &body)
}

func (d *deployment) do(t *testing.T, method, path, key, contentType string, body io.Reader) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, d.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Key "+key)
	}
	r.Header.Set("Accept", "*/*") // or `sam local` sends the bytes in base64
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, content}
}

func read(t *testing.T, root, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// syncBuffer is what programs say, to be read while they run.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
