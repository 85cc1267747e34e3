package transfer_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/server/servertest"
	"github.com/parqueue/parqueue/internal/testtool"
	"github.com/parqueue/parqueue/internal/transfer"
)

// shared is the one server of all tests: the whole product, in this process.
var shared struct{ url, key string }

func TestMain(m *testing.M) {
	os.Exit(servertest.Run(m, func(url, key string) { shared.url, shared.key = url, key }))
}

// quick is a retry that a test has time for.
func quick() client.Retry {
	return client.Retry{First: time.Millisecond, Most: 20 * time.Millisecond, Patience: 20 * time.Second}
}

// newClient is a client of the server, over a transport.
func newClient(t testing.TB, transport http.RoundTripper) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: shared.url, Key: shared.key, Retry: quick(), Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fixture is one person's machine: a folder of files, and what transfers
// remember.
type fixture struct {
	t         testing.TB
	client    *client.Client
	dir       string // of the files
	state     string
	dataset   string
	transport http.RoundTripper // of the bytes; nil for the usual one

	connections int
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, client: newClient(t, nil), dir: t.TempDir(), state: t.TempDir()}
	f.dataset = f.newDataset()
	return f
}

func (f *fixture) newDataset() string {
	f.t.Helper()
	d, err := f.client.CreateDataset(f.t.Context(), "", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return d.ID
}

func (f *fixture) engine() *transfer.Engine {
	f.t.Helper()
	e, err := transfer.New(f.client, transfer.Options{StateDir: f.state, Retry: quick(), Transport: f.transport, Connections: f.connections, Stall: 5 * time.Second})
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

// upload uploads the fixture's folder.
func (f *fixture) upload() (transfer.UploadResult, error) {
	return f.uploadAs(f.t.Context(), transfer.UploadRequest{}, nil)
}

func (f *fixture) uploadAs(ctx context.Context, r transfer.UploadRequest, tell transfer.Observer) (transfer.UploadResult, error) {
	f.t.Helper()
	r.DatasetID = f.dataset
	if r.Paths == nil {
		r.Paths = []string{f.dir}
	}
	e := f.engine()
	plan, err := e.PlanUpload(ctx, r)
	if err != nil {
		return transfer.UploadResult{}, err
	}
	return e.Upload(ctx, plan, tell)
}

// mustUpload is upload for what has to succeed.
func (f *fixture) mustUpload() transfer.UploadResult {
	f.t.Helper()
	result, err := f.upload()
	if err != nil {
		f.t.Fatal(err)
	}
	return result
}

// listed is the names of the dataset's files in order.
func (f *fixture) listed() []string {
	f.t.Helper()
	names := []string{}
	for file, err := range f.client.Files(f.t.Context(), f.dataset) {
		if err != nil {
			f.t.Fatal(err)
		}
		names = append(names, file.Name)
	}
	return names
}

// unfinished is the transfers that are remembered.
func (f *fixture) unfinished() []transfer.Transfer {
	f.t.Helper()
	all, err := transfer.Transfers(f.state)
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// write puts a file into the folder.
func (f *fixture) write(name string, content []byte) string {
	f.t.Helper()
	path := filepath.Join(f.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// writer reads a file that a real writer made.
func writer(t testing.TB, kind, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(testtool.Root(), "internal", "footer", "testdata", kind, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// parquet is a valid file of about a size that differs from every other
// number's: bytes before the footer belong to no column.
func parquet(t testing.TB, number, size int) []byte {
	t.Helper()
	whole := writer(t, "same", "pyarrow_none.parquet")
	at := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	padding := bytes.Repeat([]byte("Parquet, in order.\n"), max(0, size-len(whole))/19)
	for i := 0; i+8 <= len(padding); i += 4 << 10 {
		binary.LittleEndian.PutUint64(padding[i:], uint64(number)<<32|uint64(i)) // no two blocks are the same
	}
	return bytes.Join([][]byte{whole[:at], fmt.Appendf(nil, "%016d", number), padding, whole[at:]}, nil)
}

const mib = 1 << 20

// hook is a transport that does something to requests.
type hook func(*http.Request, http.RoundTripper) (*http.Response, error)

func (h hook) RoundTrip(r *http.Request) (*http.Response, error) { return h(r, plain) }

// plain carries the bytes of tests that put something before it.
var plain = &http.Transport{MaxIdleConnsPerHost: 64}

// answer makes a response that no store gave.
func answer(r *http.Request, status int, text string) *http.Response {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text))}
}
