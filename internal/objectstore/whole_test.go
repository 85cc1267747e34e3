package objectstore_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// putWhole sends bytes to a presigned URL and returns the status, 0 for none.
func putWhole(ctx context.Context, url string, headers map[string]string, body []byte) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil { // the store closed the connection without reading the body
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// An object that came as one is there with its checksum, and the URL that took it
// takes nothing more.
func TestAnObjectThatComesAsOne(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	store, key, content := objectstore.New(s.Client, s.Bucket), "files/acme/00/file-01", random(8<<20)
	url, headers, err := store.PresignWhole(t.Context(), key, int64(len(content)), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(headers, map[string]string{"Content-Type": "application/octet-stream", "If-None-Match": "*"}) {
		t.Fatalf("the headers are %v", headers)
	}
	without := func(name string) map[string]string {
		fewer := maps.Clone(headers)
		delete(fewer, name)
		return fewer
	}
	for what, bad := range map[string]int{
		"without the condition": putWhole(t.Context(), url, without("If-None-Match"), content),
		"without the type":      putWhole(t.Context(), url, without("Content-Type"), content),
		"shorter":               putWhole(t.Context(), url, headers, content[1:]),
		"longer":                putWhole(t.Context(), url, headers, append([]byte{0}, content...)),
	} {
		if bad == http.StatusOK {
			t.Errorf("%s it was taken", what)
		}
	}
	_, err = store.Joined(t.Context(), key)
	wantFault(t, err, fault.CodeFileNotFound)
	if status := putWhole(t.Context(), url, headers, content); status != http.StatusOK {
		t.Fatalf("putting it was answered %d", status)
	}
	want := dataset.Stored{SizeBytes: int64(len(content)), CRC64NVME: sum(content)}
	if got, err := store.Joined(t.Context(), key); err != nil || got != want {
		t.Fatalf("the object is %+v, %v; want %+v", got, err, want)
	}
	if status := putWhole(t.Context(), url, headers, random(len(content))); status != http.StatusPreconditionFailed {
		t.Errorf("putting another one was answered %d", status)
	}
	if got, err := store.Joined(t.Context(), key); err != nil || got != want {
		t.Errorf("the object became %+v, %v", got, err)
	}
	head, err := s.Client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &s.Bucket, Key: &key})
	if err != nil || aws.ToString(head.ContentType) != "application/octet-stream" {
		t.Errorf("its type is %v, %v", head, err)
	}
	if err := store.AbortParts(t.Context(), key, ""); err != nil {
		t.Errorf("aborting what has no parts: %v", err)
	}
}

// Of many that come at once one is taken.
func TestOneOfManyComes(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	store, key := objectstore.New(s.Client, s.Bucket), "files/acme/00/file-02"
	const size, writers = 50_000, 8
	url, headers, err := store.PresignWhole(t.Context(), key, size, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	statuses, contents := make([]int, writers), make([][]byte, writers)
	var wait sync.WaitGroup
	for i := range writers {
		contents[i] = random(size)
		wait.Go(func() { statuses[i] = putWhole(t.Context(), url, headers, contents[i]) })
	}
	wait.Wait()
	taken := slices.Index(statuses, http.StatusOK)
	if taken < 0 || slices.Contains(statuses[taken+1:], http.StatusOK) {
		t.Fatalf("they were answered %v", statuses)
	}
	if got, err := store.Joined(t.Context(), key); err != nil || got.CRC64NVME != sum(contents[taken]) {
		t.Errorf("the object is %+v, %v, and not the one that was taken", got, err)
	}
}
