package transfer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// cutting is a network whose connections break after some bytes, in either
// direction.
func cutting(after int64) *http.Transport {
	t := &http.Transport{MaxIdleConnsPerHost: 64}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &cutConn{TCPConn: conn.(*net.TCPConn)}
		c.left.Store(after/4 + rand.Int64N(after)) //nolint:gosec // when to break
		return c, nil
	}
	return t
}

type cutConn struct {
	*net.TCPConn
	left atomic.Int64
}

var errCut = errors.New("connection reset by peer")

func (c *cutConn) cut(n int) (int, error) {
	left := c.left.Load()
	if left <= 0 {
		_ = c.TCPConn.SetLinger(0)
		_ = c.TCPConn.Close()
		return 0, errCut
	}
	return int(min(int64(n), left)), nil
}

func (c *cutConn) Read(p []byte) (int, error) {
	most, err := c.cut(len(p))
	if err != nil {
		return 0, err
	}
	n, err := c.TCPConn.Read(p[:most])
	c.left.Add(-int64(n))
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	most, err := c.cut(len(p))
	if err != nil {
		return 0, err
	}
	n, err := c.TCPConn.Write(p[:most])
	c.left.Add(-int64(n))
	if err == nil && n < len(p) {
		err = errCut
	}
	return n, err
}

// ReadFrom keeps the bytes from going past Write.
func (c *cutConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// Over connections that break again and again everything goes there and comes
// back.
func TestBreakingConnections(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connections = 4
	f.transport = cutting(20 * mib)
	var want []string
	for i := range 6 {
		want = append(want, fmt.Sprintf("%d.parquet", i))
		f.write(want[i], parquet(t, i, (i%3)*12*mib))
	}
	f.mustUpload()
	if got := f.listed(); !slices.Equal(got, want) {
		t.Errorf("listed %q", got)
	}
	f.wantDownload()
}

// filled is a fixture whose dataset has files.
func filled(t *testing.T, sizes ...int) *fixture {
	t.Helper()
	f := newFixture(t)
	for i, size := range sizes {
		f.write(fmt.Sprintf("%d.parquet", i), parquet(t, i, size))
	}
	f.mustUpload()
	return f
}

func (f *fixture) download(to string, r transfer.DownloadRequest) (transfer.DownloadResult, error) {
	f.t.Helper()
	r.DatasetID, r.Folder = f.dataset, to
	return f.engine().Download(f.t.Context(), r, nil)
}

// inFolder is the names that a folder has.
func inFolder(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDownload(t *testing.T) {
	t.Parallel()
	f := filled(t, 0, 20*mib, mib)
	to := filepath.Join(t.TempDir(), "new", "folder")
	result, err := f.download(to, transfer.DownloadRequest{})
	if err != nil || result.Downloaded != 3 || result.Skipped != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	if got := inFolder(t, to); !slices.Equal(got, []string{"0.parquet", "1.parquet", "2.parquet", "_order.json"}) {
		t.Errorf("the folder has %q", got)
	}
	text, _ := os.ReadFile(filepath.Join(to, "_order.json"))
	var order []string
	if err := json.Unmarshal(text, &order); err != nil || !slices.Equal(order, f.listed()) {
		t.Errorf("the order is %s, %v", text, err)
	}
	for i, size := range []int{0, 20 * mib, mib} {
		got, err := os.ReadFile(filepath.Join(to, order[i]))
		if err != nil || !bytes.Equal(got, parquet(t, i, size)) {
			t.Errorf("%s came back with other bytes, %v", order[i], err)
		}
	}
	again, err := f.download(to, transfer.DownloadRequest{})
	if err != nil || again.Downloaded != 0 || again.Skipped != 3 || again.BytesGot != 0 {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	some := t.TempDir()
	if _, err := f.download(some, transfer.DownloadRequest{Names: []string{"2.parquet", "0.parquet"}}); err != nil {
		t.Error(err)
	}
	if got := inFolder(t, some); !slices.Equal(got, []string{"0.parquet", "2.parquet", "_order.json"}) {
		t.Errorf("the folder has %q", got)
	}
	if _, err := f.download(t.TempDir(), transfer.DownloadRequest{Names: []string{"3.parquet"}}); !fault.Is(err, fault.CodeFileNotFound) {
		t.Error(err)
	}
}

// What is in the way stays, unless it is to be replaced.
func TestDownloadReplacesNothing(t *testing.T) {
	t.Parallel()
	f := filled(t, 0, 0)
	to := t.TempDir()
	mine := filepath.Join(to, "1.parquet")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.download(to, transfer.DownloadRequest{}); !fault.Is(err, fault.CodeFileExists) {
		t.Errorf("got %v", err)
	}
	if got := inFolder(t, to); !slices.Equal(got, []string{"1.parquet"}) {
		t.Errorf("the folder has %q", got)
	}
	if text, _ := os.ReadFile(mine); string(text) != "mine" {
		t.Errorf("it is %q now", text)
	}
	if _, err := f.download(to, transfer.DownloadRequest{Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(mine); !bytes.Equal(text, parquet(t, 1, 0)) {
		t.Error("it was not replaced")
	}
}

// A link in the way is not followed out of the folder.
func TestDownloadFollowsNoLinks(t *testing.T) {
	t.Parallel()
	f := filled(t, 0)
	to, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(to, "0.parquet")); err != nil {
		t.Fatal(err)
	}
	for _, overwrite := range []bool{false, true} {
		if _, err := f.download(to, transfer.DownloadRequest{Overwrite: overwrite}); !fault.Is(err, fault.CodeFileExists) {
			t.Errorf("overwrite %v: %v", overwrite, err)
		}
	}
	if text, _ := os.ReadFile(outside); string(text) != "mine" {
		t.Errorf("outside is %q now", text)
	}
}

// A name that leads elsewhere is refused, whatever the server says.
func TestDownloadRefusesNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../evil.parquet", "/etc/evil", `..\evil`, "..", "CON", "a\u202eb", "_order.json"} {
		f := filled(t, 0)
		f.client = newClient(t, hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && strings.HasSuffix(r.URL.Path, "/list-dataset-files") {
				body, _ := io.ReadAll(resp.Body)
				encoded, _ := json.Marshal(name)
				body = bytes.Replace(body, []byte(`"0.parquet"`), encoded, 1)
				resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				resp.Header.Del("Content-Length")
			}
			return resp, err
		}))
		dir := filepath.Join(t.TempDir(), "to")
		_, err := f.download(dir, transfer.DownloadRequest{})
		if code := fault.CodeOf(err); code != fault.CodeInvalidFileName && code != fault.CodeFileExists {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := os.Stat(dir); err == nil && len(inFolder(t, dir)) > 0 {
			t.Errorf("%q left %q", name, inFolder(t, dir))
		}
	}
}

// A download that was stopped goes on, and fetches again what was under way at
// most.
func TestDownloadGoesOn(t *testing.T) {
	t.Parallel()
	f := filled(t, 30*mib, mib, 30*mib)
	f.connections = 4
	to := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	f.transport = stopAt(6, cancel, new(atomic.Int64))
	first, err := f.engine().Download(ctx, transfer.DownloadRequest{DatasetID: f.dataset, Folder: to}, nil)
	f.transport = nil
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for i, size := range []int{30 * mib, mib, 30 * mib} { // what is shown is whole
		got, err := os.ReadFile(filepath.Join(to, fmt.Sprintf("%d.parquet", i)))
		if err == nil && !bytes.Equal(got, parquet(t, i, size)) {
			t.Errorf("of file %d a part is shown", i)
		}
	}
	second, err := f.download(to, transfer.DownloadRequest{})
	if err != nil {
		t.Fatal(err)
	}
	total := int64(len(parquet(t, 0, 30*mib)) + len(parquet(t, 1, mib)) + len(parquet(t, 2, 30*mib)))
	if again := first.BytesGot + second.BytesGot - total; again > 4*8*mib || again < 0 {
		t.Errorf("%d bytes came, then %d of %d", first.BytesGot, second.BytesGot, total)
	}
	if got := inFolder(t, to); !slices.Equal(got, []string{"0.parquet", "1.parquet", "2.parquet", "_order.json"}) {
		t.Errorf("the folder has %q", got)
	}
	for i, size := range []int{30 * mib, mib, 30 * mib} {
		if got, _ := os.ReadFile(filepath.Join(to, fmt.Sprintf("%d.parquet", i))); !bytes.Equal(got, parquet(t, i, size)) {
			t.Errorf("file %d came back with other bytes", i)
		}
	}
	if left := f.unfinished(); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}

// A partial file that is damaged, as by a loss of power, is found out.
func TestDamagedPartialFileIsFoundOut(t *testing.T) {
	t.Parallel()
	f := filled(t, 40*mib)
	to := t.TempDir()
	var n atomic.Int32
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if n.Add(1) > 4 {
			return answer(r, 501, ""), nil
		}
		return next.RoundTrip(r)
	})
	if _, err := f.download(to, transfer.DownloadRequest{}); err == nil {
		t.Fatal("no error")
	}
	partial := filepath.Join(to, inFolder(t, to)[0])
	text, err := os.ReadFile(partial)
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	if err := os.WriteFile(partial, text, 0o644); err != nil {
		t.Fatal(err)
	}
	f.transport = nil
	if _, err := f.download(to, transfer.DownloadRequest{}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(to, "0.parquet")); !bytes.Equal(got, parquet(t, 0, 40*mib)) {
		t.Error("the file came back with other bytes")
	}
}

// Bytes that are damaged on the way are not put in place.
func TestDamagedDownloadIsNotShown(t *testing.T) {
	t.Parallel()
	f := filled(t, mib)
	var n atomic.Int32
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err == nil && n.Add(1) != 3 {
			resp.Body = &flip{ReadCloser: resp.Body}
		}
		return resp, err
	})
	to := t.TempDir()
	if _, err := f.download(to, transfer.DownloadRequest{}); !fault.Is(err, fault.CodeChecksumMismatch) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(to, "0.parquet")); err == nil {
		t.Error("it is shown")
	}
	if _, err := f.download(to, transfer.DownloadRequest{}); err != nil { // the third fetch is sound
		t.Error(err)
	}
}

// URLs that expire are asked for again, and a deleted file is said to be gone.
func TestDownloadWithExpiredURLs(t *testing.T) {
	t.Parallel()
	f := filled(t, 20*mib)
	var n atomic.Int32
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if n.Add(1) <= 3 {
			return answer(r, 403, "<Error><Code>AccessDenied</Code></Error>"), nil
		}
		return next.RoundTrip(r)
	})
	f.wantDownload()
}

// URLs are asked for by the hundred, and by themselves where that says nothing: when
// one of them was deleted, or is not good any more.
func TestDownloadsShareARequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const files = 130
	for i := range files {
		f.write(fmt.Sprintf("%d.parquet", i), parquet(t, i, 0))
	}
	f.mustUpload()
	var asked, listed atomic.Int32
	f.client = newClient(t, hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/download-from-dataset"):
			asked.Add(1)
		case strings.HasSuffix(r.URL.Path, "/list-dataset-files") && listed.Add(1) == 2:
			// A file goes when the names are known.
			resp, err := next.RoundTrip(r)
			if _, err := newClient(t, nil).DeleteFile(t.Context(), f.dataset, "7.parquet"); err != nil {
				t.Error(err)
			}
			return resp, err
		}
		return next.RoundTrip(r)
	}))
	if _, err := f.download(filepath.Join(t.TempDir(), "a"), transfer.DownloadRequest{}); err != nil || asked.Load() != 2 {
		t.Errorf("%d requests for %d files, %v", asked.Load(), files, err)
	}
	asked.Store(0)
	var refused sync.Map
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if _, again := refused.LoadOrStore(r.URL.Path, true); !again {
			return answer(r, 403, "<Error><Code>AccessDenied</Code></Error>"), nil
		}
		return next.RoundTrip(r)
	})
	if _, err := f.download(filepath.Join(t.TempDir(), "b"), transfer.DownloadRequest{}); !fault.Is(err, fault.CodeFileNotFound) || !strings.Contains(err.Error(), "7.parquet") {
		t.Errorf("with a deleted file: %v", err)
	}
	f.client = newClient(t, nil)
	if got, err := f.download(filepath.Join(t.TempDir(), "c"), transfer.DownloadRequest{}); err != nil || got.Downloaded != files-1 {
		t.Errorf("with URLs that are not good: %+v, %v", got, err)
	}
}

func TestCat(t *testing.T) {
	t.Parallel()
	f := filled(t, 0, 9*mib, 0)
	f.transport = cutting(6 * mib)
	var got bytes.Buffer
	if err := f.engine().Cat(t.Context(), f.dataset, nil, &got); err != nil {
		t.Fatal(err)
	}
	want := bytes.Join([][]byte{parquet(t, 0, 0), parquet(t, 1, 9*mib), parquet(t, 2, 0)}, nil)
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes, want %d, or they differ", got.Len(), len(want))
	}
	got.Reset()
	if err := f.engine().Cat(t.Context(), f.dataset, []string{"2.parquet", "0.parquet"}, &got); err != nil || !bytes.Equal(got.Bytes(), append(parquet(t, 0, 0), parquet(t, 2, 0)...)) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}
