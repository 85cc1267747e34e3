package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// Files that travel in parallel come out in natural order. test/e2e does the same
// with a thousand of them.
func TestFilesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var want []string
	for i := range 120 {
		name := fmt.Sprintf("part-%d.parquet", i)
		f.write(name, parquet(t, i, 0))
		want = append(want, name)
	}
	var files atomic.Int32
	result, err := f.uploadAs(t.Context(), transfer.UploadRequest{}, func(e transfer.Event) {
		if e.Type == transfer.EventFile {
			files.Add(1)
		}
	})
	if err != nil || result.Uploaded != 120 || *result.First != 0 || *result.Last != 119 {
		t.Fatalf("%+v, %v", result, err)
	}
	if got := f.listed(); !slices.Equal(got, want) {
		t.Errorf("the order is %q…", got[:20])
	}
	if files.Load() != 120 {
		t.Errorf("%d files were told of", files.Load())
	}
	if left := f.unfinished(); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
	again := f.mustUpload()
	if again.Uploaded != 0 || again.Skipped != 120 || again.BytesSent != 0 {
		t.Errorf("the second time: %+v", again)
	}
}

// Whatever the store answers now and then, the file arrives.
func TestUploadThroughBadAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var want []string
	for i := range 12 {
		want = append(want, fmt.Sprintf("%d.parquet", i))
		f.write(want[i], parquet(t, i, 100_000))
	}
	f.write("9.parquet", parquet(t, 9, 30*mib))
	var n atomic.Int32
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		switch n.Add(1) % 8 {
		case 1:
			return answer(r, 503, "<Error><Code>SlowDown</Code></Error>"), nil
		case 2:
			return answer(r, 429, ""), nil
		case 3:
			return answer(r, 500, "<Error><Code>InternalError</Code></Error>"), nil
		case 4:
			return answer(r, 400, "<Error><Code>RequestTimeout</Code></Error>"), nil
		case 5: // the store has the part, and its answer is lost
			resp, err := next.RoundTrip(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			return nil, errors.New("connection reset by peer")
		}
		return next.RoundTrip(r)
	})
	f.mustUpload()
	if got := f.listed(); !slices.Equal(got, want) {
		t.Errorf("listed %q", got)
	}
	f.transport = nil
	f.wantDownload()
}

// A URL that is not taken any more is asked for again.
func TestUploadWithExpiredURLs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("a.parquet", parquet(t, 1, 40*mib))
	var mu sync.Mutex
	refused := map[string]int{}
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		part := r.URL.Query().Get("partNumber")
		mu.Lock()
		refused[part]++
		first := refused[part] == 1
		mu.Unlock()
		if first {
			return answer(r, 403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"), nil
		}
		return next.RoundTrip(r)
	})
	f.mustUpload()
	if len(refused) != 6 {
		t.Errorf("the parts were %v", refused)
	}
}

// flip damages what is sent.
type flip struct {
	io.ReadCloser
	done bool
}

func (f *flip) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if n > 0 && !f.done {
		f.done = true
		p = p[:n]
		p[n/2] ^= 1
	}
	return n, err
}

// A bit that flips on the way is found, and the file sent again.
func TestDamageOnTheWayIsFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ size, damaged, puts int32 }{
		"in parts": {20 * mib, 2, 6},
		"as one":   {mib, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.write("a.parquet", parquet(t, 1, int(tc.size)))
			var parts atomic.Int32
			f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if parts.Add(1) == tc.damaged {
					r = r.Clone(r.Context())
					r.Body = &flip{ReadCloser: r.Body}
				}
				return next.RoundTrip(r)
			})
			f.mustUpload()
			if parts.Load() != tc.puts {
				t.Errorf("%d parts were sent, want each twice: %d", parts.Load(), tc.puts)
			}
			f.transport = nil
			f.wantDownload()
		})
	}
}

// A part that is there is not sent again because nobody heard so.
func TestLostAnswersOfTheStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("in-parts.parquet", parquet(t, 1, 20*mib))
	f.write("one.parquet", parquet(t, 2, mib))
	var mu sync.Mutex
	lost := map[string]bool{}
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		part := r.URL.Path + r.URL.Query().Get("partNumber")
		mu.Lock()
		again := lost[part]
		lost[part] = true
		mu.Unlock()
		resp, err := next.RoundTrip(r)
		if again || err != nil {
			return resp, err
		}
		_ = resp.Body.Close()
		if r.URL.Query().Get("partNumber") == "1" { // one who stands between did not hear it either
			return answer(r, http.StatusBadGateway, ""), nil
		}
		return nil, errors.New("connection reset by peer")
	})
	result := f.mustUpload()
	if more := result.BytesSent - result.Bytes; len(lost) != 4 || more < 0 || more > 8*mib {
		t.Errorf("%d bytes were sent for %d, in %d parts", result.BytesSent, result.Bytes, len(lost))
	}
	f.transport = nil
	f.wantDownload()
}

// What goes as one is refused the second time, and that is known to mean that it is
// there.
func TestASinglePutThatIsThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("one.parquet", parquet(t, 2, mib))
	var statuses []int
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err != nil {
			return resp, err
		}
		if statuses = append(statuses, resp.StatusCode); len(statuses) == 1 {
			_ = resp.Body.Close()
			return answer(r, http.StatusServiceUnavailable, "<Error><Code>SlowDown</Code></Error>"), nil
		}
		return resp, err
	})
	f.mustUpload()
	if !slices.Equal(statuses, []int{http.StatusOK, http.StatusPreconditionFailed}) {
		t.Errorf("the store answered %v", statuses)
	}
	f.transport = nil
	f.wantDownload()
}

// Damage that goes on is an error, and nothing of it is in the dataset.
func TestDamageThatGoesOnIsAnError(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("a.parquet", parquet(t, 1, 0))
	f.write("b.parquet", parquet(t, 2, mib))
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.ContentLength > 100_000 {
			r = r.Clone(r.Context())
			r.Body = &flip{ReadCloser: r.Body}
		}
		return next.RoundTrip(r)
	})
	_, err := f.upload()
	if !fault.Is(err, fault.CodeChecksumMismatch) || !strings.Contains(err.Error(), "b.parquet") {
		t.Errorf("got %v", err)
	}
	if got := f.listed(); len(got) > 1 || len(got) == 1 && got[0] != "a.parquet" {
		t.Errorf("listed %q", got)
	}
}

// stopAt is a network over which a transfer is stopped when so many requests have
// been answered. It counts the bytes of parts that were taken.
func stopAt(requests int32, stop func(), arrived *atomic.Int64) hook {
	var n atomic.Int32
	return func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if n.Add(1) > requests {
			stop()
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		resp, err := next.RoundTrip(r)
		if err == nil && r.Method == http.MethodPut && resp.StatusCode == http.StatusOK {
			arrived.Add(r.ContentLength)
		}
		return resp, err
	}
}

// An upload that was stopped goes on, and sends again what was under way at most.
func TestUploadGoesOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connections = 4
	total := int64(0)
	for i := range 4 {
		content := parquet(t, i, 25*mib)
		f.write(fmt.Sprintf("%d.parquet", i), content)
		total += int64(len(content))
	}
	var arrived atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	f.transport = stopAt(9, cancel, &arrived)
	first, err := f.uploadAs(ctx, transfer.UploadRequest{}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%+v, %v", first, err)
	}
	left := f.unfinished()
	if len(left) != 1 || left[0].Running || left[0].Files != 4 {
		t.Fatalf("remembered %+v", left)
	}
	f.transport = nil
	second := f.mustUpload()
	if again := arrived.Load() + second.BytesSent - total; again > 4*8*mib {
		t.Errorf("%d of %d bytes had arrived, and %d were sent then: %d again", arrived.Load(), total, second.BytesSent, again)
	}
	if second.TransferID != left[0].ID {
		t.Errorf("transfer %s went on as %s", left[0].ID, second.TransferID)
	}
	if got := f.listed(); !slices.Equal(got, []string{"0.parquet", "1.parquet", "2.parquet", "3.parquet"}) {
		t.Errorf("listed %q", got)
	}
	if left := f.unfinished(); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
	f.wantDownload()
}

// What arrived before is not sent again, part for part.
func TestArrivedPartsAreNotSentAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("a.parquet", parquet(t, 1, 40*mib))
	var others sync.WaitGroup
	others.Add(5)
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.URL.Query().Get("partNumber") == "4" {
			others.Wait()
			return answer(r, 501, ""), nil // for good
		}
		defer others.Done()
		return next.RoundTrip(r)
	})
	if _, err := f.upload(); !fault.Is(err, fault.CodeUnavailable) {
		t.Fatal(err)
	}
	var sent []string
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		sent = append(sent, r.URL.Query().Get("partNumber"))
		return next.RoundTrip(r)
	})
	result := f.mustUpload()
	if !slices.Equal(sent, []string{"4"}) || result.BytesSent != 8*mib {
		t.Errorf("sent the parts %q, %d bytes", sent, result.BytesSent)
	}
	f.transport = nil
	f.wantDownload()
}

// The parts were joined, and the answer was lost with the process: the file is
// there, and only has to be found.
func TestLostAnswerOfACompletion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("a.parquet", parquet(t, 1, 20*mib))
	ctx, cancel := context.WithCancel(t.Context())
	f.client = newClient(t, hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
		if strings.HasSuffix(r.URL.Path, "/complete-upload") {
			cancel()
		}
		return resp, err
	}))
	if _, err := f.uploadAs(ctx, transfer.UploadRequest{}, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	f.client = newClient(t, nil)
	if result := f.mustUpload(); result.Uploaded != 1 || result.BytesSent != 0 {
		t.Errorf("%+v", result)
	}
}

// A file that changes on the way is not appended, nor is what comes behind it.
func TestFileThatChangesIsNotAppended(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"written":  func(path string) error { return os.WriteFile(path, parquet(t, 9, 2*mib), 0o644) },
		"replaced": func(path string) error { return replace(path, parquet(t, 9, 2*mib)) },
		"cut":      func(path string) error { return os.Truncate(path, 1000) },
		"removed":  os.Remove,
		"touched":  func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.write("a.parquet", parquet(t, 1, 0))
			path := f.write("b.parquet", parquet(t, 2, 2*mib))
			f.write("c.parquet", parquet(t, 3, 0))
			var once sync.Once
			f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if r.ContentLength > mib {
					once.Do(func() {
						if err := change(path); err != nil {
							t.Error(err)
						}
					})
				}
				return next.RoundTrip(r)
			})
			_, err := f.upload()
			if !fault.Is(err, fault.CodeFileChanged) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v", err)
			}
			if got := f.listed(); slices.Contains(got, "b.parquet") || slices.Contains(got, "c.parquet") {
				t.Fatalf("listed %q", got)
			}
			for u, err := range f.client.Uploads(t.Context(), f.dataset, client.UploadOpen) {
				if err != nil || u.FileName == "b.parquet" {
					t.Errorf("its upload is open: %+v, %v", u, err)
				}
			}
			f.transport = nil
			f.write("b.parquet", parquet(t, 7, mib))
			f.mustUpload()
			if got := f.listed(); !slices.Equal(got, []string{"a.parquet", "b.parquet", "c.parquet"}) {
				t.Errorf("listed %q", got)
			}
			f.wantDownload()
		})
	}
}

// replace puts another file under a name, as editors and writers do. Its size and
// time may be the same.
func replace(path string, content []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", content, 0o644); err != nil {
		return err
	}
	return errors.Join(os.Truncate(path+".new", info.Size()), os.Chtimes(path+".new", info.ModTime(), info.ModTime()), os.Rename(path+".new", path))
}

// Somebody else takes a name while the upload runs: the files before it are in the
// dataset, and the error says which one it is.
func TestNameTakenMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("a.parquet", parquet(t, 1, 0))
	f.write("b.parquet", parquet(t, 2, 2*mib))
	other := newFixture(t)
	other.dataset = f.dataset
	other.write("b.parquet", parquet(t, 3, 0))
	var once sync.Once
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.ContentLength > mib {
			once.Do(func() { other.mustUpload() })
		}
		return next.RoundTrip(r)
	})
	_, err := f.upload()
	if !fault.Is(err, fault.CodeFileExists) {
		t.Fatalf("got %v", err)
	}
	var known *fault.Error
	if errors.As(err, &known); known.Details["file_name"] != "b.parquet" {
		t.Errorf("the error names %v", known.Details)
	}
	if _, err := f.upload(); !fault.Is(err, fault.CodeFileExists) {
		t.Errorf("the second time: %v", err)
	}
}

// A key that is revoked on the way ends the upload at once.
func TestRefusalOnTheWayEndsTheUpload(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 50 {
		f.write(fmt.Sprintf("%d.parquet", i), parquet(t, i, 0))
	}
	var calls atomic.Int32
	f.client = newClient(t, hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if calls.Add(1) > 20 {
			return answer(r, 401, `{"code":"unauthorized","error":"The key is not valid."}`), nil
		}
		return next.RoundTrip(r)
	}))
	if _, err := f.upload(); !fault.Is(err, fault.CodeUnauthorized) {
		t.Fatalf("got %v", err)
	}
	if n := calls.Load(); n > 20+200 {
		t.Errorf("%d calls", n)
	}
	f.client = newClient(t, nil)
	f.mustUpload()
	if got := f.listed(); len(got) != 50 || got[10] != "10.parquet" {
		t.Errorf("listed %q", got)
	}
}

// Two processes don't work on one upload.
func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("a.parquet", parquet(t, 1, 0))
	reached, goOn := make(chan struct{}), make(chan struct{})
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		close(reached)
		<-goOn
		return next.RoundTrip(r)
	})
	done := make(chan error, 1)
	go func() {
		_, err := f.upload()
		done <- err
	}()
	<-reached
	second := *f
	second.transport = nil
	if _, err := second.upload(); !fault.Is(err, fault.CodeConflict) {
		t.Errorf("the second process: %v", err)
	}
	if all := f.unfinished(); len(all) != 1 || !all[0].Running {
		t.Errorf("listed %+v", all)
	}
	if err := f.engine().Cancel(t.Context(), f.unfinished()[0].ID); !fault.Is(err, fault.CodeConflict) {
		t.Errorf("cancelled while it runs: %v", err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A cancelled upload leaves nothing behind, here or there.
func TestCancel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("a.parquet", parquet(t, 1, 20*mib))
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.URL.Query().Get("partNumber") == "2" {
			return answer(r, 501, ""), nil
		}
		return next.RoundTrip(r)
	})
	if _, err := f.upload(); err == nil {
		t.Fatal("no error")
	}
	left := f.unfinished()
	if len(left) != 1 {
		t.Fatalf("remembered %+v", left)
	}
	if err := f.engine().Cancel(t.Context(), left[0].ID); err != nil {
		t.Fatal(err)
	}
	for u, err := range f.client.Uploads(t.Context(), f.dataset, "") {
		if err != nil || u.State != client.UploadAborted {
			t.Errorf("%+v, %v", u, err)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(f.state, "transfers", "*.jsonl")); len(files) != 0 || len(f.unfinished()) != 0 {
		t.Errorf("left %q", files)
	}
	if err := f.engine().Cancel(t.Context(), left[0].ID); !fault.Is(err, fault.CodeFileNotFound) {
		t.Errorf("cancelled again: %v", err)
	}
	f.transport = nil
	f.mustUpload()
}

// What is cancelled is what is left: the files that are in the dataset are not asked
// about one by one.
func TestCancelAsksForWhatIsLeft(t *testing.T) {
	t.Parallel()
	const files = 60
	f := newFixture(t)
	var aborted atomic.Int32
	f.client = newClient(t, hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/abort-upload") {
			aborted.Add(1)
		}
		return next.RoundTrip(r)
	}))
	f.dataset, f.connections = f.newDataset(), 4
	for i := range files {
		f.write(fmt.Sprintf("%d.parquet", i), parquet(t, i, 0))
	}
	var sent atomic.Int32
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if sent.Add(1) <= files/2 {
			return next.RoundTrip(r)
		}
		for len(f.listed()) == 0 && r.Context().Err() == nil { // until some are appended
			time.Sleep(10 * time.Millisecond)
		}
		return answer(r, 501, ""), nil
	})
	if _, err := f.upload(); err == nil {
		t.Fatal("no error")
	}
	appended := len(f.listed())
	if err := f.engine().Cancel(t.Context(), f.unfinished()[0].ID); err != nil {
		t.Fatal(err)
	}
	if asked := int(aborted.Load()); asked == 0 || asked > files-appended {
		t.Errorf("%d uploads were given up, and %d of %d files are in the dataset", asked, appended, files)
	}
}

// Progress ends where the transfer does, and never says more than is there.
func TestProgressIsHonest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("a.parquet", parquet(t, 1, 20*mib))
	f.write("b.parquet", parquet(t, 2, mib))
	var n atomic.Int32
	f.transport = hook(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if n.Add(1) <= 2 { // sent in vain
			_, _ = io.CopyN(io.Discard, r.Body, mib/2)
			_ = r.Body.Close()
			return nil, errors.New("connection reset by peer")
		}
		return next.RoundTrip(r)
	})
	var events []transfer.Event
	result, err := f.uploadAs(t.Context(), transfer.UploadRequest{}, func(e transfer.Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	last := events[len(events)-1]
	if events[0].Type != transfer.EventStart || last.Type != transfer.EventEnd || last.FilesDone != 2 || last.BytesDone != result.Bytes || last.Bytes != result.Bytes {
		t.Errorf("ended with %+v, of %+v", last, result)
	}
	if last.BytesMoved <= result.Bytes || last.BytesMoved != result.BytesSent {
		t.Errorf("%d bytes moved, %d were sent for %d", last.BytesMoved, result.BytesSent, result.Bytes)
	}
	for _, e := range events {
		if e.BytesDone > e.Bytes || e.BytesDone < 0 || e.FilesDone > e.Files {
			t.Errorf("said %+v", e)
		}
	}
}

// A bound of the rate is one.
func TestRateIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write("a.parquet", parquet(t, 1, 3*mib))
	e, err := transfer.New(f.client, transfer.Options{StateDir: f.state, BytesPerSecond: 2 * mib})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := e.PlanUpload(t.Context(), transfer.UploadRequest{DatasetID: f.dataset, Paths: []string{f.dir}})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := e.Upload(t.Context(), plan, nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 1300*time.Millisecond { // the limit's own promise, not a measurement
		t.Errorf("3 MiB at 2 MiB/s took %v", took)
	}
}

// wantDownload downloads the dataset and compares it with the folder.
func (f *fixture) wantDownload() {
	f.t.Helper()
	to := f.t.TempDir()
	if _, err := f.engine().Download(f.t.Context(), transfer.DownloadRequest{DatasetID: f.dataset, Folder: to}, nil); err != nil {
		f.t.Fatal(err)
	}
	for _, name := range f.listed() {
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			f.t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(f.dir, name))
		if err != nil {
			f.t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			f.t.Errorf("%s came back with other bytes", name)
		}
	}
}
