package objectstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

func TestGetRanges(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	for _, size := range []int{100, 9 * mib} {
		all := random(size)
		key := fmt.Sprint("ranges/", size)
		if _, err := store.Put(t.Context(), key, bytes.NewReader(all), -1); err != nil {
			t.Fatal(err)
		}
		for _, r := range []dataset.Range{
			{},
			{Length: 1},
			{Offset: 1},
			{Offset: 5, Length: 20},
			{Offset: int64(size) - 8},
			{Offset: int64(size) - 8, Length: 8},
			{Offset: int64(size) - 8, Length: 100},
			{Length: int64(size)},
		} {
			want := all[r.Offset:]
			if r.Length > 0 {
				want = want[:min(int(r.Length), len(want))]
			}
			if got := get(t, store, key, r); !bytes.Equal(got, want) {
				t.Errorf("size %d, %+v: got %d bytes, want %d, or they differ", size, r, len(got), len(want))
			}
		}
		if _, err := store.Get(t.Context(), key, dataset.Range{Offset: int64(size)}); err == nil {
			t.Errorf("size %d: a range past the end gave no error", size)
		}
		if _, err := store.Get(t.Context(), key, dataset.Range{Offset: -1}); err == nil {
			t.Errorf("size %d: a negative offset gave no error", size)
		}
		readAt(t, store, key, all)
	}
}

func readAt(t *testing.T, store dataset.Objects, key string, all []byte) {
	t.Helper()
	at := dataset.NewReaderAt(t.Context(), store, key)
	got := make([]byte, 50)
	if n, err := at.ReadAt(got, 10); n != 50 || err != nil || !bytes.Equal(got, all[10:60]) {
		t.Errorf("ReadAt = %d, %v", n, err)
	}
	n, err := at.ReadAt(got, int64(len(all))-20)
	if n != 20 || err != io.EOF || !bytes.Equal(got[:n], all[len(all)-20:]) { //nolint:errorlint // io.ReaderAt
		t.Errorf("ReadAt over the end = %d, %v", n, err)
	}
	if n, err := at.ReadAt(nil, 0); n != 0 || err != nil {
		t.Errorf("ReadAt of nothing = %d, %v", n, err)
	}
}

// A byte that changes on the disk must not reach a reader unnoticed, and who
// copies the object must not end with as many bytes as it has.
func TestGetNoticesDamage(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	for _, size := range []int{1000, 9 * mib} {
		key := fmt.Sprint("damaged/", size)
		if _, err := store.Put(t.Context(), key, bytes.NewReader(random(size)), -1); err != nil {
			t.Fatal(err)
		}
		flipByte(t, filepath.Join(s3store.Dir, "buckets", s3store.Bucket, key), int64(size/2))
		body, err := store.Get(t.Context(), key, dataset.Range{})
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, body)
		if !fault.Is(err, fault.CodeInternal) || n != int64(size)-1 {
			t.Errorf("reading %d damaged bytes gave %d and %v, want all but one and %s", size, n, err, fault.CodeInternal)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func flipByte(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	b[0] ^= 1
	_, writeErr := f.WriteAt(b[:], at)
	if err := errors.Join(err, writeErr, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestPresignGet(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	want := random(1000)
	for _, key := range []string{"p/one", "p/two"} {
		if _, err := store.Put(t.Context(), key, bytes.NewReader(want), -1); err != nil {
			t.Fatal(err)
		}
	}
	url, err := store.PresignGet(t.Context(), "p/one", "données\r\nX-Evil: 1.parquet", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	response, body := fetch(t, url, "")
	if response.StatusCode != http.StatusOK || !bytes.Equal(body, want) {
		t.Fatalf("GET of the URL: %s, %d bytes", response.Status, len(body))
	}
	if got := response.Header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("Content-Type is %q", got)
	}
	const disposition = `attachment; filename="donn_es__X-Evil: 1.parquet"; filename*=UTF-8''donn%C3%A9es%0D%0AX-Evil%3A%201.parquet`
	if got := response.Header.Get("Content-Disposition"); got != disposition {
		t.Errorf("Content-Disposition is\n%s, want\n%s", got, disposition)
	}
	if got := response.Header.Get("X-Evil"); got != "" {
		t.Error("a file name added a header")
	}
	if response, body := fetch(t, url, "bytes=10-19"); response.StatusCode != http.StatusPartialContent || !bytes.Equal(body, want[10:20]) {
		t.Errorf("GET of a range: %s, %d bytes", response.Status, len(body))
	}
}

func TestPresignGetForged(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	for _, key := range []string{"p/one", "p/two"} {
		if _, err := store.Put(t.Context(), key, bytes.NewReader(random(10)), -1); err != nil {
			t.Fatal(err)
		}
	}
	url, err := store.PresignGet(t.Context(), "p/one", "a.parquet", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"another object":    {"p/one", "p/two"},
		"a longer life":     {"X-Amz-Expires=900", "X-Amz-Expires=901"},
		"another name":      {"a.parquet", "b.parquet"},
		"another signer":    {s3store.AccessKey, "another"},
		"a new parameter":   {"?", "?response-cache-control=public&"},
		"another type":      {"octet-stream", "javascript"},
		"another signature": {"X-Amz-Signature=", "X-Amz-Signature=0"},
	} {
		forged := string(bytes.Replace([]byte(url), []byte(change[0]), []byte(change[1]), 1))
		if forged == url {
			t.Errorf("%s: %q is not in the URL %s", name, change[0], url)
		}
		if response, _ := fetch(t, forged, ""); response.StatusCode < 400 || response.StatusCode >= 500 {
			t.Errorf("%s: %s, want a refusal", name, response.Status)
		}
	}
	short, err := store.PresignGet(t.Context(), "p/one", "a.parquet", -time.Hour) // raised to a second
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2100 * time.Millisecond)
	if response, _ := fetch(t, short, ""); response.StatusCode != http.StatusForbidden {
		t.Errorf("an expired URL: %s, want 403", response.Status)
	}
}

func fetch(t *testing.T, url, byteRange string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if byteRange != "" {
		request.Header.Set("Range", byteRange)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}
