package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/testtool"
)

// TestDelivery downloads a file in every way, as a whole and in parts.
func TestDelivery(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	content := padded(t, 0, 1<<20)
	c.mustUpload(t, id, "été 1.parquet", content)
	size := len(content)
	ask := func(how string, header map[string]string) answer {
		t.Helper()
		body := `{"dataset_id": "` + id + `", "file_name": "été 1.parquet", "delivery": "` + how + `"}`
		return c.must(t, request{path: "/download-from-dataset", contentType: "application/json", body: strings.NewReader(body), header: header})
	}

	whole := ask("auto", nil)
	tag := whole.header.Get("ETag")
	if whole.status != http.StatusOK || !bytes.Equal(whole.body, content) || tag != `"`+crc64nvme(content)+`"` || whole.header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("%d, %d bytes, %v", whole.status, len(whole.body), whole.header)
	}
	for _, part := range []struct {
		header       map[string]string
		status       int
		contentRange string
		body         []byte
	}{
		{map[string]string{"Range": "bytes=-8"}, 206, "bytes " + itoa(size-8) + "-" + itoa(size-1) + "/" + itoa(size), content[size-8:]},
		{map[string]string{"Range": "bytes=1000-", "If-Range": tag}, 206, "bytes 1000-" + itoa(size-1) + "/" + itoa(size), content[1000:]},
		{map[string]string{"Range": "bytes=1000-", "If-Range": `"another"`}, 200, "", content},
		{map[string]string{"Range": "bytes=0-1,3-4"}, 200, "", content},
	} {
		got := ask("stream", part.header)
		if got.status != part.status || got.header.Get("Content-Range") != part.contentRange || !bytes.Equal(got.body, part.body) {
			t.Errorf("%v: %d, Content-Range %q, %d bytes", part.header, got.status, got.header.Get("Content-Range"), len(got.body))
		}
	}
	behind := ask("auto", map[string]string{"Range": "bytes=" + itoa(size) + "-"})
	behind.refused(t, http.StatusRequestedRangeNotSatisfiable, "range_not_satisfiable", itoa(size))
	if got := behind.header.Get("Content-Range"); got != "bytes */"+itoa(size) {
		t.Errorf("Content-Range %q", got)
	}
	ask("carrier pigeon", nil).refused(t, http.StatusBadRequest, "invalid_request", "stream", "redirect")

	var at struct {
		URL              string    `json:"url"`
		ExpiresAt        time.Time `json:"expires_at"`
		SizeBytes        int       `json:"size_bytes"`
		ChecksumCRC64NVM string    `json:"checksum_crc64nvme"`
	}
	ask("url", nil).decode(t, http.StatusOK, &at)
	if left := time.Until(at.ExpiresAt); at.SizeBytes != size || at.ChecksumCRC64NVM != crc64nvme(content) || left < time.Minute || left > 15*time.Minute {
		t.Errorf("answered %+v", at)
	}
	redirected := ask("redirect", map[string]string{"Range": "bytes=5-"})
	if redirected.status != http.StatusSeeOther {
		t.Fatalf("redirect answered %d %s", redirected.status, redirected.body)
	}
	for _, address := range []string{at.URL, redirected.header.Get("Location")} {
		resp := get(t, address, "bytes=5-")
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusPartialContent || !bytes.Equal(body, content[5:]) {
			t.Errorf("the URL gives %s, %d bytes, %v", resp.Status, len(body), err)
		}
		if got := resp.Header.Get("Content-Disposition"); !strings.HasPrefix(got, `attachment; filename="_t_ 1.parquet"; filename*=UTF-8''%C3%A9`) {
			t.Errorf("Content-Disposition %q", got)
		}
		if got := resp.Header.Get("Content-Type"); got != "application/octet-stream" {
			t.Errorf("Content-Type %q", got)
		}
	}
}

// get fetches a range of a URL.
func get(t *testing.T, address, byteRange string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Range", byteRange)
	resp, err := httpClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestCurlFollows has curl follow the redirect, and go on with a download that
// broke off, as docs/downloads.md shows it.
func TestCurlFollows(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	content := padded(t, 0, 1<<20)
	c.mustUpload(t, id, "a.parquet", content)
	curl := func(args ...string) answer {
		t.Helper()
		return runCurl(t, "", append([]string{"-H", "Authorization: Key " + srv.key, srv.url + "/download-from-dataset"}, args...)...)
	}
	fields := func(how string) string {
		return `{"dataset_id": "` + id + `", "file_name": "a.parquet", "delivery": "` + how + `"}`
	}
	if got := curl("-L", "-d", fields("redirect")); got.status != http.StatusOK || !bytes.Equal(got.body, content) {
		t.Errorf("curl -L: %d, %d bytes", got.status, len(got.body))
	}
	if got := curl("-L", "-H", "Range: bytes=5-", "-d", fields("redirect")); got.status != http.StatusPartialContent || !bytes.Equal(got.body, content[5:]) {
		t.Errorf("curl -L with a range: %d, %d bytes", got.status, len(got.body))
	}
	half := len(content) / 2
	tag := curl("-d", fields("stream"), "-H", "Range: bytes=0-0").header.Get("ETag")
	if tag == "" {
		t.Fatal("no ETag")
	}
	got := curl("-d", fields("stream"), "-H", "Range: bytes="+itoa(half)+"-", "-H", "If-Range: "+tag)
	if got.status != http.StatusPartialContent || !bytes.Equal(append(content[:half:half], got.body...), content) {
		t.Errorf("going on: %d, %d bytes", got.status, len(got.body))
	}
}

// TestLibrariesFollow has the unmodified client libraries download a file that is
// answered with a redirect, as large files are in AWS: a proxy asks for one.
func TestLibrariesFollow(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	target, err := url.Parse(srv.url)
	if err != nil {
		t.Fatal(err)
	}
	var redirected atomic.Int32
	redirecting := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if !strings.Contains(r.In.URL.Path, "/download-from-") {
				return
			}
			body, err := io.ReadAll(r.In.Body)
			if err != nil {
				t.Error(err)
			}
			body = bytes.Replace(body, []byte("{"), []byte(`{"delivery": "redirect", `), 1)
			r.Out.Body, r.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		},
		ModifyResponse: func(answer *http.Response) error {
			if answer.StatusCode == http.StatusSeeOther {
				redirected.Add(1)
			}
			return nil
		},
	})
	defer redirecting.Close()
	for number, l := range libraries()[:2] {
		work := t.TempDir()
		out := filepath.Join(work, "out")
		content := map[string][]byte{"a.parquet": parquet(t, number)}
		write(t, work, content)
		write(t, out, nil)
		stdout, stderr, err := command(t, work, offline(work), testtool.Python(t, l.venv), script("python", "redirected.py"),
			l.module, redirecting.URL+l.prefix, srv.key, filepath.Join(work, "a.parquet"), out)
		if err != nil {
			t.Fatalf("%s: %v\n%s\n%s", l, err, stdout, stderr)
		}
		sameFiles(t, out, content)
		if got := int(redirected.Load()); got != number+1 {
			t.Errorf("%s: %d redirects, want %d", l, got, number+1)
		}
	}
}
