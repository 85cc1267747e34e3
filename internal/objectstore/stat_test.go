package objectstore_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// Stat tells of an object what Put told when it stored it.
func TestStat(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	for _, size := range []int{0, 1000, 9 * mib} {
		key := fmt.Sprint("stat/", size)
		want, err := store.Put(t.Context(), key, bytes.NewReader(random(size)), -1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := store.Stat(t.Context(), key); err != nil || got != want || got.CRC64NVME == "" {
			t.Errorf("%d bytes: got %+v, %v; want %+v", size, got, err, want)
		}
	}
	if got, err := store.Stat(t.Context(), "stat/none"); !fault.Is(err, fault.CodeFileNotFound) {
		t.Errorf("no object: %+v, %v", got, err)
	}
	plain := &s3.PutObjectInput{Bucket: &s3store.Bucket, Key: aws.String("stat/plain"), Body: bytes.NewReader([]byte("ab"))}
	if _, err := s3store.Client.PutObject(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Stat(t.Context(), "stat/plain"); err != nil || got.SizeBytes != 2 {
		t.Errorf("an object that another program put: %+v, %v", got, err)
	}
}

func TestStatOfAnswersThatNoEmulatorGives(t *testing.T) {
	t.Parallel()
	status, sum := http.StatusOK, "AAAAAAAAAAA=-3"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead || r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" {
			t.Errorf("%s with %v", r.Method, r.Header)
		}
		w.Header().Set("X-Amz-Checksum-Crc64nvme", sum)
		w.Header().Set("Content-Length", "7")
		w.WriteHeader(status)
	}))
	defer server.Close()
	client := objectstore.NewClient(aws.Config{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1}, server.URL)
	store := objectstore.New(client, "bucket")
	if got, err := store.Stat(t.Context(), "key"); err != nil || got != (dataset.Stored{SizeBytes: 7}) {
		t.Errorf("a sum over sums: %+v, %v", got, err)
	}
	for s, code := range map[int]fault.Code{
		http.StatusNotFound: fault.CodeFileNotFound, http.StatusServiceUnavailable: fault.CodeUnavailable,
		http.StatusForbidden: fault.CodeInternal, http.StatusInternalServerError: fault.CodeInternal,
	} {
		status = s
		if _, err := store.Stat(t.Context(), "key"); !fault.Is(err, code) {
			t.Errorf("%d: %v, want %s", s, err, code)
		}
	}
}
