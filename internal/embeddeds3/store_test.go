package embeddeds3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

func newTestStore(t *testing.T) *store {
	t.Helper()
	return storeIn(t, t.TempDir())
}

func storeIn(t *testing.T, dir string) *store {
	t.Helper()
	s, err := newStore(Config{
		Dir: dir, AccessKey: "access", Buckets: []string{"bucket"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

// asOwner is the context of a request that the gateway has found to be the
// owner's.
func asOwner(t testing.TB) context.Context {
	return context.WithValue(t.Context(), "account", auth.Account{Access: "access"}) //nolint:staticcheck // the gateway's name for it
}

func putInput(key, content string) s3response.PutObjectInput {
	return s3response.PutObjectInput{
		Bucket: aws.String("bucket"), Key: &key, Body: strings.NewReader(content),
		ContentLength: aws.Int64(int64(len(content))), ContentEncoding: aws.String("aws-chunked"),
	}
}

// An object is acknowledged only when it is on disk.
func TestPutObjectSyncs(t *testing.T) {
	s := newTestStore(t)
	var synced string
	s.syncFile = func(file, stop string) error {
		if _, err := os.Stat(file); err != nil {
			t.Errorf("synced before it was there: %v", err)
		}
		synced = file
		return makeDurable(file, stop)
	}
	if _, err := s.PutObject(asOwner(t), putInput("a/b", "x")); err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(s.buckets["bucket"], "a/b"); synced != want {
		t.Errorf("synced %q, want %q", synced, want)
	}
	for _, tc := range []struct {
		cause error
		want  s3err.ErrorCode
	}{
		{syscall.EIO, s3err.ErrInternalError},
		{fmt.Errorf("syncing: %w", syscall.ENOSPC), s3err.ErrNoSpaceLeftOnDevice},
		{fmt.Errorf("syncing: %w", syscall.EDQUOT), s3err.ErrNoSpaceLeftOnDevice},
		{os.ErrNotExist, s3err.ErrSlowDown},
	} {
		s.syncFile = func(string, string) error { return tc.cause }
		_, err := s.PutObject(asOwner(t), putInput("c/"+tc.cause.Error(), "x"))
		if !errors.Is(err, s3err.GetAPIError(tc.want)) {
			t.Errorf("a sync that fails with %v gives %v", tc.cause, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	var log strings.Builder
	s := &store{log: slog.New(slog.NewTextHandler(&log, nil))}
	full := s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
	for _, tc := range []struct {
		err, want error
		logged    bool
	}{
		{nil, nil, false},
		{syscall.ENOSPC, full, false},
		{fmt.Errorf("write: %w", &os.PathError{Err: syscall.EDQUOT}), full, false},
		{s3err.GetAPIError(s3err.ErrQuotaExceeded), full, false},
		{s3err.GetAPIError(s3err.ErrNoSuchKey), s3err.GetAPIError(s3err.ErrNoSuchKey), false},
		{errors.New("/secret/path: broken"), s3err.GetAPIError(s3err.ErrInternalError), true},
	} {
		log.Reset()
		if got := s.answer("testing", tc.err); !errors.Is(got, tc.want) {
			t.Errorf("answer(%v) = %v, want %v", tc.err, got, tc.want)
		}
		if logged := log.Len() > 0; logged != tc.logged {
			t.Errorf("answer(%v) logged %q", tc.err, log.String())
		}
	}
	if full.HTTPStatusCode != 507 || full.Code != "InsufficientStorage" {
		t.Errorf("a full disk is %d %s", full.HTTPStatusCode, full.Code)
	}
}

func TestWithoutChunked(t *testing.T) {
	for given, want := range map[string]string{
		"": "", "gzip": "gzip", "aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip, AWS-Chunked": "gzip", "gzip,br": "gzip,br",
	} {
		if got := withoutChunked(&given); *got != want {
			t.Errorf("withoutChunked(%q) = %q, want %q", given, *got, want)
		}
	}
	if withoutChunked(nil) != nil {
		t.Error("withoutChunked(nil) is something")
	}
}

// The list of parts is what would make completing an upload of some thousand
// parts fail on ext4.
func TestPartListIsNotKept(t *testing.T) {
	side, err := meta.NewSideCar(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]int64, 10_000)
	for n := range ends {
		ends[n] = int64(n+1) * 5 << 30
	}
	list, err := backend.MarshalMpUploadMetadata(backend.MpUploadMetadata{UploadID: "id", Parts: ends}, false)
	if err != nil {
		t.Fatal(err)
	}
	storer := withoutPartList{side}
	for attribute, value := range map[string][]byte{partListAttribute: list, "etag": []byte("x")} {
		if err := storer.StoreAttribute(nil, "b", "o", attribute, value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := side.RetrieveAttribute(nil, "b", "o", "etag"); err != nil {
		t.Error(err)
	}
	if _, err := side.RetrieveAttribute(nil, "b", "o", partListAttribute); !errors.Is(err, meta.ErrNoSuchKey) {
		t.Errorf("the list of parts: %v, want none", err)
	}
	if note, err := side.RetrieveAttribute(nil, "b", "o", joinedAttribute); err != nil || string(note) != "id 53687091200000" {
		t.Errorf("of the upload is kept %q, %v", note, err)
	}
}

func TestInflight(t *testing.T) {
	var f inflight
	if err := f.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, second := f.begin(), f.begin()
	first()
	first() // counts once
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.wait(done); !errors.Is(err, context.Canceled) {
		t.Errorf("wait with one running: %v", err)
	}
	go second()
	if err := f.wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLocksAreForgotten(t *testing.T) {
	var u locks
	a, b := u.shared("x"), u.shared("x")
	a()
	b()
	u.alone("x")()
	if len(u.named) != 0 {
		t.Errorf("%d locks are kept", len(u.named))
	}
}

// A part that is on its way when its upload is aborted must not bring it back.
func TestAbortWaitsForParts(t *testing.T) {
	s := newTestStore(t)
	bucket, key := aws.String("bucket"), aws.String("key")
	upload, err := s.CreateMultipartUpload(asOwner(t), s3response.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	body, content := io.Pipe()
	stored, aborted := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := s.UploadPart(asOwner(t), &s3.UploadPartInput{
			Bucket: bucket, Key: key, UploadId: &upload.UploadId, PartNumber: aws.Int32(1), ContentLength: aws.Int64(1), Body: body,
		})
		stored <- err
	}()
	if _, err := content.Write([]byte("x")); err != nil { // returns once the part is being read
		t.Fatal(err)
	}
	go func() {
		aborted <- s.AbortMultipartUpload(asOwner(t), &s3.AbortMultipartUploadInput{
			Bucket: bucket, Key: key, UploadId: &upload.UploadId,
		})
	}()
	time.Sleep(50 * time.Millisecond)
	select {
	case err := <-aborted:
		t.Fatalf("it was aborted (%v) while a part arrived", err)
	default:
	}
	if err := errors.Join(content.Close(), <-stored, <-aborted); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(s.buckets["bucket"], posix.MetaTmpMultipartDir, "*", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What the parts are joined to is on disk before they are removed, and when that
// fails they stay.
func TestJoinedPartsAreOnDisk(t *testing.T) {
	part, err := os.CreateTemp(t.TempDir(), "part")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.CreateTemp(t.TempDir(), "whole")
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if _, err := part.WriteString("bytes"); err != nil {
		t.Fatal(err)
	}
	synced := 0
	joined := partsOnDisk{left: 2, sync: func(*os.File) error { synced++; return syscall.EIO }}
	for n, want := range []error{nil, syscall.EIO} {
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if again, err := joined.copy(part, whole); !again || !errors.Is(err, want) {
			t.Errorf("part %d: %v, %v", n+1, again, err)
		}
		if synced != n {
			t.Errorf("after part %d it was synced %d times", n+1, synced)
		}
	}
	if !errors.Is(joined.err, syscall.EIO) {
		t.Errorf("the reason is %v", joined.err)
	}
	if _, err := io.Copy(whole, part); err == nil {
		t.Error("the gateway's own copy succeeds after that")
	}
}

// The gateway reports a disk without room for a name as a directory that is in
// the way.
func TestAnswerPutAsksTheDisk(t *testing.T) {
	s := newTestStore(t)
	inTheWay := s3err.GetAPIError(s3err.ErrExistingObjectIsDirectory)
	if err := s.answerPut(s.buckets["bucket"], inTheWay); !errors.Is(err, inTheWay) {
		t.Errorf("on a sound disk: %v, want what the gateway said", err)
	}
	if err := s.answerPut(filepath.Join(t.TempDir(), "gone"), inTheWay); !errors.Is(err, s3err.GetAPIError(s3err.ErrInternalError)) {
		t.Errorf("where nothing can be written: %v, want InternalError", err)
	}
	left, err := filepath.Glob(filepath.Join(s.buckets["bucket"], posix.MetaTmpDir, "probe*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// BenchmarkSync says what it costs that acknowledged objects are on disk.
func BenchmarkSync(b *testing.B) {
	for _, size := range []int{64 << 10, 8 << 20} {
		for name, sync := range map[string]func(string, string) error{
			"synced": makeDurable, "unsynced": func(string, string) error { return nil },
		} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, name), func(b *testing.B) {
				s, err := newStore(Config{
					Dir: b.TempDir(), AccessKey: "access", Buckets: []string{"bucket"}, Logger: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Shutdown()
				s.syncFile = sync
				content := strings.Repeat("x", size)
				b.SetBytes(int64(size))
				for i := 0; b.Loop(); i++ {
					if _, err := s.PutObject(asOwner(b), putInput(fmt.Sprintf("t/d/%d", i), content)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
