package lambda_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/schema"
)

const (
	streamedFile = 100_000_000
	streamMemory = 40 << 20 // what a function may take to send it
)

// TestStreamedDownload sends a file of 100 MB through the function, as Lambda
// streams it: the first byte is there while the store has not sent the second
// megabyte yet, all of it takes no more memory than a part of it, and a store
// that breaks off is not taken for the end of the file.
func TestStreamedDownload(t *testing.T) {
	const function = "download-from-dataset"
	s := startStores(t)
	file, datasetID := s.addFile(t, streamedFile)
	slow := newSlowStore(t, s.guard(t, function, s.bucket.Endpoint, objectActions))
	lambda := newRuntimeAPI(t)
	bootstrap := filepath.Join(build(t, []string{function}), function, "bootstrap")
	process := lambda.start(t, bootstrap, append(s.env(t, function), "AWS_ENDPOINT_URL_S3="+slow.url))

	e := sample(t, function, "post")
	e["requestContext"].(object)["authorizer"] = object{"tenant": s.tenant, "key_id": "key-1", "scopes": "read", "datasets": "*"}
	e.withBody(fmt.Appendf(nil, `{"dataset_id": %q, "file_name": "large.parquet", "delivery": "stream"}`, datasetID))

	var a answer
	response := lambda.invoke(t, e)
	body := a.readHeader(t, response.Body)
	if a.StatusCode != http.StatusOK || a.MultiValueHeaders.Get("Content-Length") != strconv.Itoa(streamedFile) {
		t.Fatalf("status %d, header %v", a.StatusCode, a.MultiValueHeaders)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(body, first); err != nil {
		t.Fatal(err)
	}
	close(slow.goOn)
	same := &comparing{want: bytes.NewReader(file[1:])}
	if n, err := io.Copy(same, body); err != nil || n != streamedFile-1 || first[0] != file[0] {
		t.Errorf("%d bytes came, of %d: %v", n, streamedFile, err)
	}
	if kind := response.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		t.Errorf("Lambda was told of the error %s", kind)
	}
	close(response.done)
	peak := peakMemory(t, process.Pid)
	t.Logf("%.1f MB of memory at most", float64(peak)/1e6)
	if peak > streamMemory {
		t.Errorf("the function took %d bytes of memory, want %d at most", peak, streamMemory)
	}

	slow.breakOff.Store(true)
	response = lambda.invoke(t, e)
	n, err := io.Copy(io.Discard, a.readHeader(t, response.Body))
	if err != nil || n >= streamedFile {
		t.Fatalf("%d bytes came, %v", n, err)
	}
	if kind := response.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind == "" {
		t.Error("Lambda was told that half a file is a whole answer")
	}
	close(response.done)
}

// addFile puts a file of random bytes into a new dataset, without the functions.
func (s *stores) addFile(t *testing.T, size int) (content []byte, datasetID string) {
	t.Helper()
	ctx := t.Context()
	const fileID = "file-0193b0a6-5b7e-7c61-9d4b-2f6f0e8f3a12"
	content = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(content)
	key := dataset.FileKey(s.tenant, fileID)
	stored, err := objectstore.New(s.bucket.Client, s.bucket.Bucket).Put(ctx, key, bytes.NewReader(content), int64(size))
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.catalog.CreateDataset(ctx, s.tenant, dataset.Dataset{ID: sampleDataset, CreatedAt: time.Now()}, dataset.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.catalog.Append(ctx, dataset.Append{
		Tenant: s.tenant, DatasetID: d.ID, Schema: schema.Schema{Fields: []schema.Field{{Name: "id", Type: "int64"}}},
		Files: []dataset.File{{
			ID: fileID, Name: "large.parquet", SizeBytes: stored.SizeBytes, CRC64NVME: stored.CRC64NVME, ObjectKey: key, UploadedAt: time.Now(),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return content, d.ID
}

// comparing is a writer for what should be the same as want.
type comparing struct{ want io.Reader }

func (c *comparing) Write(p []byte) (int, error) {
	want := make([]byte, len(p))
	if _, err := io.ReadFull(c.want, want); err != nil || !bytes.Equal(p, want) {
		return 0, fmt.Errorf("other bytes came, or too many: %w", err)
	}
	return len(p), nil
}

// slowStore is an object store that stops after a megabyte of an object.
type slowStore struct {
	url      string
	goOn     chan struct{} // closed when it may send the rest
	breakOff atomic.Bool   // it breaks off instead
}

func newSlowStore(t *testing.T, store string) *slowStore {
	t.Helper()
	target, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	slow := &slowStore{goOn: make(chan struct{})}
	server := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is part of the signature
		},
		ModifyResponse: func(answer *http.Response) error {
			rest := &pausing{answer.Body, slow}
			answer.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(answer.Body, 1<<20), rest), answer.Body}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0), // of what breaks off
	})
	t.Cleanup(server.Close)
	slow.url = server.URL
	return slow
}

// pausing is the rest of an object, which comes when the test says so.
type pausing struct {
	io.Reader
	store *slowStore
}

func (p *pausing) Read(b []byte) (int, error) {
	select {
	case <-p.store.goOn:
	case <-time.After(time.Minute):
		return 0, errors.New("nobody has read the first byte")
	}
	if p.store.breakOff.Load() {
		return 0, errors.New("the connection breaks")
	}
	return p.Reader.Read(b)
}

// runtimeAPI plays Lambda's part for a function whose answer is streamed, which
// the emulator holds back until it is whole.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	address string
	events  chan []byte
	answers chan streamedAnswer
}

// streamedAnswer is an answer while it comes. Trailer is there after its end.
type streamedAnswer struct {
	*http.Request
	done chan struct{} // closed by the test when it has read enough
}

func newRuntimeAPI(t *testing.T) *runtimeAPI {
	t.Helper()
	api := &runtimeAPI{events: make(chan []byte), answers: make(chan streamedAnswer)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case event := <-api.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "invocation-1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
			_, _ = w.Write(event)
		case <-r.Context().Done():
		case <-t.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/invocation-1/response", func(w http.ResponseWriter, r *http.Request) {
		answer := streamedAnswer{r, make(chan struct{})}
		select {
		case api.answers <- answer:
			select {
			case <-answer.done:
			case <-t.Context().Done():
			}
		case <-t.Context().Done():
		}
		w.WriteHeader(http.StatusAccepted)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	api.address = strings.TrimPrefix(server.URL, "http://")
	return api
}

// start runs a function, which stops with the test.
func (api *runtimeAPI) start(t *testing.T, bootstrap string, env []string) *os.Process {
	t.Helper()
	output := &syncBuffer{}
	command := exec.Command(bootstrap)
	command.Env = append(append(os.Environ(), env...), "AWS_LAMBDA_RUNTIME_API="+api.address)
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("the function logged:\n%s", output)
		}
	})
	return command.Process
}

// invoke passes an event in and waits for the answer to begin.
func (api *runtimeAPI) invoke(t *testing.T, e event) streamedAnswer {
	t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	timeout := time.After(time.Minute)
	select {
	case api.events <- payload:
	case <-timeout:
		t.Fatal("the function does not ask for an event")
	}
	select {
	case answer := <-api.answers:
		return answer
	case <-timeout:
		t.Fatal("the function does not answer")
	}
	panic("unreachable")
}

// peakMemory is the most resident memory that a process has had, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	match := peakLine.FindSubmatch(status)
	if match == nil {
		t.Fatalf("no peak in %s", status)
	}
	kilobytes, err := strconv.ParseInt(string(match[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

var peakLine = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)
