package embeddeds3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

func TestMain(m *testing.M) { embeddeds3test.Main(m) }

// config is one that works, in this process.
func config(t *testing.T) embeddeds3.Config {
	t.Helper()
	return embeddeds3.Config{
		Dir: t.TempDir(), Address: "127.0.0.1:0", AccessKey: "access", SecretKey: "secret", Buckets: []string{"bucket"},
	}
}

// start starts a server in this process. Such tests are not parallel: the
// working directory changes for a moment.
func start(t *testing.T, cfg embeddeds3.Config) *embeddeds3.Server {
	t.Helper()
	s, err := embeddeds3.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func client(s *embeddeds3.Server, access, secret string) *s3.Client {
	return objectstore.NewClient(aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	}, s.Endpoint())
}

func store(s *embeddeds3.Server) *objectstore.Store {
	return objectstore.New(client(s, "access", "secret"), "bucket")
}

func read(t *testing.T, from dataset.Objects, key string) []byte {
	t.Helper()
	body, err := from.Get(t.Context(), key, dataset.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStartKeepsTheWorkingDirectory(t *testing.T) {
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, config(t))
	if _, err := store(s).Put(t.Context(), "a/b", strings.NewReader("x"), -1); err != nil {
		t.Fatal(err)
	}
	after, err := os.Getwd()
	if err != nil || after != before {
		t.Errorf("the working directory is %s (%v), was %s", after, err, before)
	}
	if _, err := os.Stat("server_test.go"); err != nil {
		t.Error(err)
	}
}

func TestStartPrintsNothing(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	objects := objectstore.New(s.Client, s.Bucket)
	if _, err := objects.Put(t.Context(), "a/b", strings.NewReader("x"), -1); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.Get(t.Context(), "missing", dataset.Range{}); !fault.Is(err, fault.CodeFileNotFound) {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if s.Log() != "" {
		t.Errorf("the store printed:\n%s", s.Log())
	}
}

func TestStartRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	running := config(t)
	start(t, running)
	for name, tc := range map[string]struct {
		change func(*embeddeds3.Config)
		code   fault.Code
		text   string
	}{
		"a relative folder": {func(c *embeddeds3.Config) { c.Dir = "data" }, fault.CodeInternal, `"data" is not an absolute path`},
		"no keys":           {func(c *embeddeds3.Config) { c.SecretKey = "" }, fault.CodeInternal, "a secret key are needed"},
		"all addresses":     {func(c *embeddeds3.Config) { c.Address = ":0" }, fault.CodeInternal, "not a loopback address"},
		"a public address":  {func(c *embeddeds3.Config) { c.Address = "0.0.0.0:0" }, fault.CodeInternal, "not a loopback address"},
		"a host name":       {func(c *embeddeds3.Config) { c.Address = "localhost:0" }, fault.CodeInternal, "not a loopback address"},
		"a bucket outside":  {func(c *embeddeds3.Config) { c.Buckets = []string{"../../up"} }, fault.CodeInternal, "cannot be the name"},
		"a taken port": {
			func(c *embeddeds3.Config) { c.Address = taken.Addr().String() }, fault.CodeUnavailable,
			"The address " + taken.Addr().String() + " is already in use.",
		},
		"a file as folder": {
			func(c *embeddeds3.Config) { c.Dir = filepath.Join(file, "data") }, fault.CodeUnavailable, "cannot be created.",
		},
		"a folder without room or right": {
			func(c *embeddeds3.Config) { c.Dir = "/proc/self/attr" }, fault.CodeUnavailable, "cannot be written to.",
		},
		"a folder in use": {
			func(c *embeddeds3.Config) { c.Dir = running.Dir }, fault.CodeUnavailable,
			"Another process is using the folder " + running.Dir + ".",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			tc.change(&cfg)
			s, err := embeddeds3.Start(t.Context(), cfg)
			if err == nil {
				_ = s.Close()
				t.Fatal("it started")
			}
			if fault.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error is %v, want code %s and %q", err, tc.code, tc.text)
			}
		})
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	first := embeddeds3test.Start(t)
	_, err := embeddeds3test.TryStart(t, embeddeds3test.InDir(first.Dir))
	if err == nil || !strings.Contains(err.Error(), "Another process is using the folder "+first.Dir) {
		t.Fatalf("the second store: %v", err)
	}
	first.Kill()
	if _, err := embeddeds3test.TryStart(t, embeddeds3test.InDir(first.Dir)); err != nil {
		t.Errorf("after the first was killed: %v", err)
	}
}

// Both ways of keeping metadata have to do the same, over a restart too.
func TestMetadataKinds(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB, two parts
	for _, kind := range []string{"attributes", "files"} {
		t.Run(kind, func(t *testing.T) {
			cfg := config(t)
			metadata := filepath.Join(cfg.Dir, "metadata")
			if kind == "files" {
				if err := os.Mkdir(metadata, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s := start(t, cfg)
			for key, content := range map[string][]byte{"x/small": []byte("hello"), "x/large": large} {
				if _, err := store(s).Put(t.Context(), key, bytes.NewReader(content), -1); err != nil {
					t.Fatal(err)
				}
				if _, err := store(s).Put(t.Context(), key, bytes.NewReader(content), -1); !fault.Is(err, fault.CodeConflict) {
					t.Errorf("a second Put of %s: %v", key, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			moved := filepath.Join(t.TempDir(), "moved")
			if err := os.Rename(cfg.Dir, moved); err != nil {
				t.Fatal(err)
			}
			cfg.Dir = moved
			s = start(t, cfg)
			head, err := client(s, "access", "secret").HeadObject(t.Context(), &s3.HeadObjectInput{
				Bucket: aws.String("bucket"), Key: aws.String("x/large"), ChecksumMode: "ENABLED",
			})
			if err != nil {
				t.Fatal(err)
			}
			if aws.ToString(head.ContentType) != "application/octet-stream" || aws.ToString(head.ChecksumCRC64NVME) == "" {
				t.Errorf("after a restart elsewhere the metadata is %+v", head)
			}
			if !bytes.Equal(read(t, store(s), "x/large"), large) || string(read(t, store(s), "x/small")) != "hello" {
				t.Error("after a restart elsewhere the bytes differ")
			}
			if err := store(s).Delete(t.Context(), "x/small"); err != nil {
				t.Error(err)
			}
			_, err = os.Stat(filepath.Join(moved, "metadata"))
			if used := err == nil; used != (kind == "files") {
				t.Errorf("metadata in files: %t", used)
			}
		})
	}
}

func TestOnlyTheKeyHolderIsServed(t *testing.T) {
	s := start(t, config(t))
	for name, c := range map[string]*s3.Client{
		"wrong secret": client(s, "access", "wrong"), "wrong key": client(s, "wrong", "secret"),
	} {
		_, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("bucket")})
		var api smithy.APIError
		if !errors.As(err, &api) || (api.ErrorCode() != "SignatureDoesNotMatch" && api.ErrorCode() != "InvalidAccessKeyId") {
			t.Errorf("%s: %v", name, err)
		}
	}
	response, err := http.Get(s.Endpoint() + "/bucket/key")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("anonymous: %s, want 403", response.Status)
	}
}

// What nobody here uses is not there to be misused.
func TestOtherOperationsAreNotImplemented(t *testing.T) {
	s := start(t, config(t))
	c := client(s, "access", "secret")
	bucket := aws.String("bucket")
	for name, call := range map[string]func() error{
		"CreateBucket": func() error {
			_, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("another")})
			return err
		},
		"DeleteBucket": func() error {
			_, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: bucket})
			return err
		},
		"PutBucketPolicy": func() error {
			_, err := c.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}`)})
			return err
		},
	} {
		var api smithy.APIError
		if err := call(); !errors.As(err, &api) || api.ErrorCode() != "NotImplemented" {
			t.Errorf("%s: %v, want NotImplemented", name, err)
		}
	}
	_, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("another")})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "NoSuchBucket" || strings.Contains(err.Error(), os.TempDir()) {
		t.Errorf("another bucket: %v, want NoSuchBucket without a path", err)
	}
	buckets, err := c.ListBuckets(t.Context(), &s3.ListBucketsInput{})
	if err != nil || len(buckets.Buckets) != 1 || *buckets.Buckets[0].Name != "bucket" {
		t.Errorf("ListBuckets = %+v, %v", buckets, err)
	}
}

// Keys cannot reach out of their bucket, nor to what the store keeps for itself.
func TestKeysStayInTheirBucket(t *testing.T) {
	cfg := config(t)
	cfg.Buckets = []string{"bucket", "other"}
	s := start(t, cfg)
	other := objectstore.New(client(s, "access", "secret"), "other")
	if _, err := other.Put(t.Context(), "secret", strings.NewReader("x"), -1); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../other/secret", "a/../../other/secret", "../../LOCK", "/../other/secret"} {
		if body, err := store(s).Get(t.Context(), key, dataset.Range{}); err == nil {
			_ = body.Close()
			t.Errorf("Get(%q) answered", key)
		}
		if _, err := store(s).Put(t.Context(), key, strings.NewReader("y"), -1); err == nil {
			t.Errorf("Put(%q) was accepted", key)
		}
	}
	if got := read(t, other, "secret"); string(got) != "x" {
		t.Errorf("the other bucket's object is now %q", got)
	}
}

func TestOnObjectCreated(t *testing.T) {
	cfg := config(t)
	var mu sync.Mutex
	var created []string
	cfg.OnObjectCreated = func(bucket, key string) {
		mu.Lock()
		defer mu.Unlock()
		created = append(created, bucket+"/"+key)
	}
	s := start(t, cfg)
	for key, size := range map[string]int{"small": 1, "large": 9 << 20} {
		if _, err := store(s).Put(t.Context(), key, bytes.NewReader(make([]byte, size)), -1); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if len(created) != 1 || created[0] != "bucket/"+key {
			t.Errorf("after a Put of %s: told of %q", key, created)
		}
		created = nil
		mu.Unlock()
	}
	_, err := client(s, "access", "secret").CopyObject(t.Context(), &s3.CopyObjectInput{
		Bucket: aws.String("bucket"), Key: aws.String("copy"), CopySource: aws.String("bucket/small"),
	})
	if err != nil || len(created) != 1 || created[0] != "bucket/copy" {
		t.Errorf("after a copy: told of %q, %v", created, err)
	}
}

func TestCloseFinishesWhatIsRunning(t *testing.T) {
	cfg := config(t)
	s := start(t, cfg)
	want := bytes.Repeat([]byte("x"), 12<<20) // more than the buffers of two sockets
	c := client(s, "access", "secret")
	if _, err := store(s).Put(t.Context(), "key", bytes.NewReader(want), -1); err != nil {
		t.Fatal(err)
	}
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	time.Sleep(50 * time.Millisecond)
	got, err := io.ReadAll(out.Body)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("a download that ran when the server closed gave %d bytes and %v", len(got), err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(s.Endpoint(), "http://")); err == nil {
		t.Error("it still listens")
	}
	start(t, cfg) // the folder is free again
}

func TestCloseRightAfterStart(t *testing.T) {
	cfg := config(t)
	for range 50 {
		s, err := embeddeds3.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseGivesUpInTime(t *testing.T) {
	cfg := config(t)
	cfg.CloseTimeout = 100 * time.Millisecond
	s := start(t, cfg)
	if _, err := store(s).Put(t.Context(), "key", bytes.NewReader(make([]byte, 12<<20)), -1); err != nil {
		t.Fatal(err)
	}
	body, err := store(s).Get(t.Context(), "key", dataset.Range{}) // never read
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	began := time.Now()
	if err := s.Close(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v, want a deadline exceeded", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Close took %s", took)
	}
}

// A completion that a crash interrupts hides the upload until the next start.
func TestInterruptedCompletionCanBeAborted(t *testing.T) {
	cfg := config(t)
	s := start(t, cfg)
	c := client(s, "access", "secret")
	bucket, key := aws.String("bucket"), aws.String("key")
	created, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	uploads, err := filepath.Glob(filepath.Join(cfg.Dir, "buckets", "bucket", ".sgwtmp", "multipart", "*", *created.UploadId))
	if err != nil || len(uploads) != 1 {
		t.Fatalf("the upload is at %v, %v", uploads, err)
	}
	if err := os.Rename(uploads[0], uploads[0]+".d41d8cd98f00b204e9800998ecf8427e-1.inprogress"); err != nil {
		t.Fatal(err)
	}
	c = client(start(t, cfg), "access", "secret")
	_, err = c.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: created.UploadId})
	if err != nil {
		t.Errorf("aborting it: %v", err)
	}
}
