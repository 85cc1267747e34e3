package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

const mib = 1 << 20

// random makes bytes that differ everywhere, so that a part in the wrong place shows.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// unseekable hides everything of a reader but Read, as the body of a request does.
func unseekable(r io.Reader) io.Reader { return struct{ io.Reader }{r} }

func get(t *testing.T, s dataset.Objects, key string, part dataset.Range) []byte {
	t.Helper()
	body, err := s.Get(t.Context(), key, part)
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

// requireEmpty fails if the store holds an object or an unfinished upload under
// a prefix.
func requireEmpty(t *testing.T, s *embeddeds3test.Store, prefix string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	objects, err := s.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.Bucket, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects.Contents {
		t.Errorf("left behind: object %s of %d bytes", *o.Key, *o.Size)
	}
	uploads, err := s.Client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &s.Bucket, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads.Uploads {
		t.Errorf("left behind: upload %s of %s", *u.UploadId, *u.Key)
	}
}

func TestPutThenGet(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	all := random(24*mib + 1)
	for _, tc := range []struct {
		size   int
		atMost int64
		sum    string // from an independent implementation, or ""
	}{
		{size: 0, atMost: -1, sum: "AAAAAAAAAAA="},
		{size: 0, atMost: 0},
		{size: 0, atMost: 5},
		{size: 1, atMost: -1},
		{size: 1, atMost: 1},
		{size: 1, atMost: 1000},
		{size: 8*mib - 1, atMost: -1},
		{size: 8*mib - 1, atMost: 8*mib - 1},
		{size: 8 * mib, atMost: -1},
		{size: 8 * mib, atMost: 8 * mib},
		{size: 8*mib + 1, atMost: -1},
		{size: 8*mib + 1, atMost: 8*mib + 1},
		{size: 16 * mib, atMost: -1},
		{size: 24*mib + 1, atMost: -1},
		{size: 24*mib + 1, atMost: 1 << 40},
	} {
		t.Run(fmt.Sprintf("%d of at most %d", tc.size, tc.atMost), func(t *testing.T) {
			key := fmt.Sprintf("sizes/%d/%d", tc.size, tc.atMost)
			want := all[:tc.size]
			stored, err := store.Put(t.Context(), key, unseekable(bytes.NewReader(want)), tc.atMost)
			if err != nil {
				t.Fatal(err)
			}
			if stored.SizeBytes != int64(tc.size) || stored.CRC64NVME != sum(want) {
				t.Errorf("Put = %+v, want size %d and CRC %s", stored, tc.size, sum(want))
			}
			if tc.sum != "" && stored.CRC64NVME != tc.sum {
				t.Errorf("CRC is %s, want %s", stored.CRC64NVME, tc.sum)
			}
			if got := get(t, store, key, dataset.Range{}); !bytes.Equal(got, want) {
				t.Errorf("Get gave %d bytes that differ from the %d that were put", len(got), len(want))
			}
			head, err := s3store.Client.HeadObject(t.Context(), &s3.HeadObjectInput{
				Bucket: &s3store.Bucket, Key: &key, ChecksumMode: "ENABLED",
			})
			if err != nil {
				t.Fatal(err)
			}
			if head.ChecksumCRC64NVME == nil || *head.ChecksumCRC64NVME != stored.CRC64NVME {
				t.Errorf("the store keeps the CRC %v, want %s", head.ChecksumCRC64NVME, stored.CRC64NVME)
			}
			if *head.ContentType != "application/octet-stream" || (head.ContentEncoding != nil && *head.ContentEncoding != "") {
				t.Errorf("the object has type %v and encoding %v", head.ContentType, head.ContentEncoding)
			}
		})
	}
}

// endless repeats a pattern without holding more than one of it.
type endless struct{ left, at int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range p[:n] {
		p[i] = byte(e.at >> 3)
		e.at++
	}
	e.left -= n
	return n, nil
}

func TestPutHoldsFewPartsInMemory(t *testing.T) {
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	const size, allowed = 300 * mib, 96 * mib // 4 parts of 8 MiB, twice that before the garbage collector runs, and some room
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	watching, stop := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for watching.Err() == nil {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak.Store(max(peak.Load(), now.HeapInuse))
			time.Sleep(2 * time.Millisecond)
		}
	}()
	stored, err := store.Put(t.Context(), "large", &endless{left: size}, -1)
	stop()
	<-watched
	if err != nil {
		t.Fatal(err)
	}
	if stored.SizeBytes != size {
		t.Errorf("stored %d bytes, want %d", stored.SizeBytes, size)
	}
	used := int64(peak.Load()) - int64(before.HeapInuse)
	t.Logf("peak of the heap: %d MiB above the start", used/mib)
	if used > allowed {
		t.Errorf("Put used %d MiB of heap, want at most %d", used/mib, allowed/mib)
	}
}

func TestPutsShareTheMemoryLimit(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	// Room for one part: any two Puts that wait for each other never end.
	store := objectstore.New(s3store.Client, s3store.Bucket, objectstore.WithMemoryLimit(8*mib))
	want := random(17 * mib)
	done := make(chan error)
	for i := range 4 {
		go func() {
			_, err := store.Put(t.Context(), fmt.Sprintf("shared/%d", i), unseekable(bytes.NewReader(want)), -1)
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := get(t, store, "shared/3", dataset.Range{}); !bytes.Equal(got, want) {
		t.Error("the bytes differ")
	}
}

func TestPutOfABodyThatFails(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	broken := errors.New("the client went away")
	for _, after := range []int{0, 1, 8 * mib, 8*mib + 1, 20 * mib} {
		body := io.MultiReader(bytes.NewReader(random(after)), iotest.ErrReader(broken))
		_, err := store.Put(t.Context(), "broken", body, -1)
		if err != broken { //nolint:errorlint // as it is, the interface says
			t.Errorf("after %d bytes: error is %v, want the body's own", after, err)
		}
		requireEmpty(t, s3store, "")
	}
}

func TestPutThatIsCancelled(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	for _, after := range []int{1, 8*mib + 1, 20 * mib, 30 * mib} {
		ctx, cancel := context.WithCancel(t.Context())
		body := io.MultiReader(bytes.NewReader(random(after)), cancelling{cancel}, bytes.NewReader(random(10*mib)))
		_, err := store.Put(ctx, "cancelled", body, -1)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after %d bytes: error is %v, want context.Canceled", after, err)
		}
		requireEmpty(t, s3store, "")
	}
}

// cancelling is an empty reader that cancels a context.
type cancelling struct{ cancel func() }

func (c cancelling) Read([]byte) (int, error) {
	c.cancel()
	return 0, io.EOF
}

func TestPutOfABodyLongerThanItsBound(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	for _, bound := range []int64{0, 10, 9 * mib} {
		_, err := store.Put(t.Context(), "long", unseekable(bytes.NewReader(random(20*mib))), bound)
		if !fault.Is(err, fault.CodeInternal) {
			t.Errorf("bound %d: error is %v, want %s", bound, err, fault.CodeInternal)
		}
		requireEmpty(t, s3store, "")
	}
}

func TestPutToATakenKey(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	first := random(100)
	if _, err := store.Put(t.Context(), "key", bytes.NewReader(first), -1); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{5, 100, 9 * mib} {
		_, err := store.Put(t.Context(), "key", bytes.NewReader(random(size)), -1)
		if !fault.Is(err, fault.CodeConflict) {
			t.Errorf("second Put of %d bytes: error is %v, want %s", size, err, fault.CodeConflict)
		}
		if got := get(t, store, "key", dataset.Range{}); !bytes.Equal(got, first) {
			t.Errorf("after a second Put of %d bytes the first one's are gone", size)
		}
	}
	uploads, err := s3store.Client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &s3store.Bucket})
	if err != nil || len(uploads.Uploads) != 0 {
		t.Errorf("uploads left behind: %v, %v", uploads, err)
	}
}

func TestPutRace(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	type outcome struct {
		by  int
		err error
	}
	outcomes := make(chan outcome)
	const racers = 8
	for i := range racers {
		go func() {
			body := bytes.Repeat([]byte{byte(i)}, 1000)
			if i%2 == 1 {
				body = bytes.Repeat([]byte{byte(i)}, 9*mib)
			}
			_, err := store.Put(t.Context(), "raced", bytes.NewReader(body), -1)
			outcomes <- outcome{i, err}
		}()
	}
	winner := -1
	for range racers {
		switch o := <-outcomes; {
		case o.err == nil && winner >= 0:
			t.Errorf("both %d and %d won", winner, o.by)
		case o.err == nil:
			winner = o.by
		case !fault.Is(o.err, fault.CodeConflict):
			t.Errorf("racer %d: %v", o.by, o.err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	if got := get(t, store, "raced", dataset.Range{Length: 1}); got[0] != byte(winner) {
		t.Errorf("the object is of %d, the winner was %d", got[0], winner)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	if _, err := store.Put(t.Context(), "a/b/c", bytes.NewReader(nil), -1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Delete(t.Context(), "a/b/c"); err != nil {
			t.Error(err)
		}
	}
	if _, err := store.Get(t.Context(), "a/b/c", dataset.Range{}); !fault.Is(err, fault.CodeFileNotFound) {
		t.Errorf("Get of a deleted object: %v, want %s", err, fault.CodeFileNotFound)
	}
	requireEmpty(t, s3store, "")
}
