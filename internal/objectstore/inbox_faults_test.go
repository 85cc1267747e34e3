package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

func isCopied(r *http.Request) bool   { return r.Header.Get("X-Amz-Copy-Source") != "" }
func isCopy(r *http.Request) bool     { return isCopied(r) && isPut(r) }
func isPartCopy(r *http.Request) bool { return isCopied(r) && isPart(r) }
func isDelete(r *http.Request) bool {
	return r.Method == http.MethodDelete && !r.URL.Query().Has("uploadId")
}
func isVerify(r *http.Request) bool {
	return r.Method == http.MethodHead && strings.HasPrefix(r.URL.Path, "/"+embeddeds3test.Bucket+"/")
}

// cuttingAnswer gives half of the answer's body and then breaks the connection.
func cuttingAnswer(r *http.Request, pass send) (*http.Response, error) {
	response, err := pass(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), failing{}))
	return response, nil
}

// changingHeader gives the answer with another value of a header, or without it.
func changingHeader(name, value string) func(*http.Request, send) (*http.Response, error) {
	return func(r *http.Request, pass send) (*http.Response, error) {
		response, err := pass(r)
		if err == nil {
			response.Header.Del(name)
			if value != "" {
				response.Header.Set(name, value)
			}
		}
		return response, err
	}
}

func TestCopyInThroughABadNetwork(t *testing.T) {
	t.Parallel()
	const small, large = 1000, 11 * mib // of which the large one is copied in parts
	s3store := embeddeds3test.Start(t)
	clean, store := inboxOf(s3store)
	for _, tc := range []struct {
		name string
		size int
		net  *network
		want fault.Code // "" when CopyIn must succeed
	}{
		{"copy not applied, 200 with an error once", small, &network{hits: isCopy, times: 1, do: answering(200, "InternalError")}, ""},
		{"copy not applied, always 200 with an error", small, &network{hits: isCopy, times: -1, do: answering(200, "InternalError")}, fault.CodeInternal},
		{"copy not applied, always 200 with slow down", small, &network{hits: isCopy, times: -1, do: answering(200, "SlowDown")}, fault.CodeUnavailable},
		{"copy applied, 200 with an error once", small, &network{hits: isCopy, times: 1, do: answeringAfter(200, "InternalError")}, ""},
		{"copy applied, always 200 with an error", small, &network{hits: isCopy, times: -1, do: answeringAfter(200, "InternalError")}, ""},
		{"copy applied, answers cut off", small, &network{hits: isCopy, times: -1, do: cuttingAnswer}, ""},
		{"copy applied, answers lost", small, &network{hits: isCopy, times: -1, do: losingAnswer}, ""},
		{"copy applied, always 500", small, &network{hits: isCopy, times: -1, do: answeringAfter(500, "InternalError")}, ""},
		{"copy not applied, always 500", small, &network{hits: isCopy, times: -1, do: answering(500, "InternalError")}, fault.CodeInternal},
		{"slow down twice", small, &network{hits: isCopy, times: 2, do: answering(503, "SlowDown")}, ""},
		{"slow down always", small, &network{hits: isCopy, times: -1, do: answering(503, "SlowDown")}, fault.CodeUnavailable},
		{"forbidden", small, &network{hits: isCopy, times: -1, do: answering(403, "AccessDenied")}, fault.CodeInternal},
		{"full", small, &network{hits: isCopy, times: -1, do: answering(507, "InsufficientStorage")}, fault.CodeStorageFull},
		{"another copies at the same time", small, &network{hits: isCopy, times: -1, do: answering(409, "ConditionalRequestConflict")}, fault.CodeConflict},

		{"verifying fails once", small, &network{hits: isVerify, times: 1, do: answering(500, "")}, ""},
		{"verifying always fails", small, &network{hits: isVerify, times: -1, do: answering(503, "")}, fault.CodeUnavailable},
		{"the copy is forbidden to see", small, &network{hits: isVerify, times: -1, do: answering(403, "")}, fault.CodeInternal},
		{"the copy is shorter", small, &network{hits: isVerify, times: -1, do: changingHeader("Content-Length", "999")}, fault.CodeInternal},
		{"the copy has no checksum", small, &network{hits: isVerify, times: -1, do: changingHeader("X-Amz-Checksum-Crc64nvme", "")}, fault.CodeInternal},
		{"the copy has another checksum", small, &network{hits: isVerify, times: -1, do: changingHeader("X-Amz-Checksum-Crc64nvme", "AAAAAAAAAAA=")}, fault.CodeInternal},
		{"the copy is of something else", small, &network{hits: isVerify, times: -1, do: changingHeader("X-Amz-Meta-Parqueue-Copy-Of", "x")}, fault.CodeConflict},

		{"create answered 500 once", large, &network{hits: isCreate, times: 1, do: answering(500, "InternalError")}, ""},
		{"a part not applied, 200 with an error once", large, &network{hits: isPartCopy, times: 1, do: answering(200, "InternalError")}, ""},
		{"a part applied, answer lost", large, &network{hits: isPartCopy, times: 1, do: losingAnswer}, ""},
		{"a part applied, answer cut off", large, &network{hits: isPartCopy, times: 1, do: cuttingAnswer}, ""},
		{"parts always 200 with an error", large, &network{hits: isPartCopy, times: -1, do: answering(200, "InternalError")}, fault.CodeInternal},
		{"parts slow down always", large, &network{hits: isPartCopy, times: -1, do: answering(503, "SlowDown")}, fault.CodeUnavailable},
		{"a part is full", large, &network{hits: isPartCopy, times: -1, do: answering(507, "InsufficientStorage")}, fault.CodeStorageFull},
		{"complete not applied, 200 with an error once", large, &network{hits: isComplete, times: 1, do: answering(200, "InternalError")}, ""},
		{"complete not applied, always 200 with an error", large, &network{hits: isComplete, times: -1, do: answering(200, "InternalError")}, fault.CodeInternal},
		{"complete applied, always 200 with an error", large, &network{hits: isComplete, times: -1, do: answeringAfter(200, "InternalError")}, ""},
		{"complete applied, answers lost", large, &network{hits: isComplete, times: -1, do: losingAnswer}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			body := random(tc.size)
			drop(t, s3store, "incoming/d/"+tc.name, body)
			o := stat(t, clean, "incoming/d/"+tc.name)
			to := "files/" + tc.name
			bad := objectstore.NewInbox(embeddeds3test.Inbox, through(s3store, tc.net)).CopyInParts(5*mib, 5*mib)
			want := dataset.Stored{SizeBytes: int64(tc.size), CRC64NVME: sum(body)}
			got, err := bad.CopyIn(t.Context(), o, to)
			if fault.CodeOf(err) != tc.want || err == nil && got != want {
				t.Errorf("CopyIn = %+v, %v, want %q", got, err, tc.want)
			}
			// Whatever became of it, a later call finishes the job and leaves nothing else.
			good := objectstore.NewInbox(embeddeds3test.Inbox, store).CopyInParts(5*mib, 5*mib)
			if got, err := good.CopyIn(t.Context(), o, to); err != nil || got != want {
				t.Errorf("CopyIn after that = %+v, %v", got, err)
			}
			if got := get(t, store, to, dataset.Range{}); !bytes.Equal(got, body) {
				t.Error("the bytes differ")
			}
			if !strings.HasPrefix(tc.name, "complete applied") { // there the upload was completed twice
				requireNoParts(t, store, to)
			}
		})
	}
}

// Where the object has no CRC-64/NVME, its copy must have one all the same.
func TestCopyInWantsAChecksum(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	clean, _ := inboxOf(s3store)
	drop(t, s3store, "incoming/d/a", random(1000), func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 })
	o := stat(t, clean, "incoming/d/a")
	for _, sum := range []string{"", "AAAAAAAAAAA=-2"} {
		in := objectstore.NewInbox(embeddeds3test.Inbox, through(s3store, &network{hits: isVerify, times: -1, do: changingHeader("X-Amz-Checksum-Crc64nvme", sum)}))
		if got, err := in.CopyIn(t.Context(), o, "files/a"); !fault.Is(err, fault.CodeInternal) {
			t.Errorf("with the checksum %q: %+v, %v", sum, got, err)
		}
	}
}

// A copy that is cut off goes on behind the parts that it has made.
func TestCopyInGoesOn(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	clean, store := inboxOf(s3store)
	const size = 31 * mib // seven parts
	body := random(size)
	drop(t, s3store, "incoming/d/a", body)
	o := stat(t, clean, "incoming/d/a")
	ctx, cutOff := context.WithCancel(t.Context())
	var copied atomic.Int32
	counting := func(r *http.Request, pass send) (*http.Response, error) {
		response, err := pass(r)
		if copied.Add(1) == 3 {
			cutOff()
		}
		return response, err
	}
	in := objectstore.NewInbox(embeddeds3test.Inbox, through(s3store, &network{hits: isPartCopy, times: -1, do: counting}))
	in.CopyInParts(5*mib, 5*mib)
	if _, err := in.CopyIn(ctx, o, "files/a"); !errors.Is(err, context.Canceled) {
		t.Fatalf("CopyIn that was cut off: %v", err)
	}
	open, _, err := store.ListOpenParts(t.Context(), "files/a", "", "", 10)
	if err != nil || len(open) != 1 {
		t.Fatalf("open: %+v, %v", open, err)
	}
	made, err := store.ListParts(t.Context(), "files/a", open[0].ID, 0, 100)
	if err != nil || len(made) < 2 {
		t.Fatalf("%d parts were made, %v", len(made), err)
	}
	copied.Store(100)
	got, err := in.CopyIn(t.Context(), o, "files/a")
	if want := (dataset.Stored{SizeBytes: size, CRC64NVME: sum(body)}); err != nil || got != want {
		t.Fatalf("CopyIn = %+v, %v", got, err)
	}
	// Parts that were on their way when it was cut off may have arrived since.
	if again := int(copied.Load()) - 100; again > 7-len(made) {
		t.Errorf("%d of 7 parts were there and %d copied", len(made), again)
	}
	if got := get(t, store, "files/a", dataset.Range{}); !bytes.Equal(got, body) {
		t.Error("the bytes differ")
	}
	requireNoParts(t, store, "files/a")
}

// Several copies of one version at a time all succeed, and leave one object.
func TestCopyInSideBySide(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	whole, store := inboxOf(s3store)
	parts := objectstore.NewInbox(embeddeds3test.Inbox, store).CopyInParts(5*mib, 5*mib)
	for name, in := range map[string]*objectstore.Inbox{"whole": whole, "parts": parts} {
		body := random(6 * mib)
		drop(t, s3store, "incoming/d/"+name, body)
		o := stat(t, in, "incoming/d/"+name)
		results := make(chan error)
		for range 4 {
			go func() {
				got, err := in.CopyIn(t.Context(), o, "files/"+name)
				if err == nil && got.CRC64NVME != sum(body) {
					err = fmt.Errorf("answered %+v", got)
				}
				results <- err
			}()
		}
		for range 4 {
			if err := <-results; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := get(t, store, "files/"+name, dataset.Range{}); !bytes.Equal(got, body) {
			t.Errorf("%s: the bytes differ", name)
		}
	}
}

// A move that fails between its two steps can be repeated, and loses nothing.
func TestMoveThroughABadNetwork(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	clean, _ := inboxOf(s3store)
	for name, tc := range map[string]struct {
		net  *network
		want fault.Code
	}{
		"deletion always unavailable":   {&network{hits: isDelete, times: -1, do: answering(503, "SlowDown")}, fault.CodeUnavailable},
		"deletion applied, answer lost": {&network{hits: isDelete, times: 1, do: losingAnswer}, ""},
		"deletion overtaken":            {&network{hits: isDelete, times: 1, do: answering(412, "PreconditionFailed")}, ""},
		"copy always with an error":     {&network{hits: isCopy, times: -1, do: answering(200, "InternalError")}, fault.CodeInternal},
		"copy cut off once":             {&network{hits: isCopy, times: 1, do: cuttingAnswer}, ""},
	} {
		body := random(2000)
		drop(t, s3store, "incoming/d/"+name, body)
		o := stat(t, clean, "incoming/d/"+name)
		bad := objectstore.NewInbox(embeddeds3test.Inbox, through(s3store, tc.net))
		if err := bad.Move(t.Context(), o, "rejected/d/"+name); fault.CodeOf(err) != tc.want {
			t.Errorf("%s: Move = %v, want %q", name, err, tc.want)
		}
		if err := clean.Move(t.Context(), o, "rejected/d/"+name); err != nil && !fault.Is(err, fault.CodeFileNotFound) {
			t.Errorf("%s: Move after that: %v", name, err)
		}
		if moved := stat(t, clean, "rejected/d/"+name); moved.CRC64NVME != sum(body) {
			t.Errorf("%s: moved was %+v", name, moved)
		}
	}
}

func TestDeleteManyThroughABadNetwork(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	clean := objectstore.New(s3store.Client, s3store.Bucket)
	isDeletes := func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("delete") }
	// refusing says of the second key that it was not deleted, and keeps it.
	refusing := func(code string) func(*http.Request, send) (*http.Response, error) {
		return func(r *http.Request, _ send) (*http.Response, error) {
			if err := clean.Delete(r.Context(), "files/1"); err != nil {
				return nil, err
			}
			response := answer(r, 200, "")
			body := `<DeleteResult><Error><Key>files/2</Key><Code>` + code + `</Code><Message>injected</Message></Error></DeleteResult>`
			response.Body, response.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			return response, nil
		}
	}
	for name, tc := range map[string]struct {
		net  *network
		want fault.Code
		left string
	}{
		"refused once":         {&network{hits: isDeletes, times: 1, do: refusing("InternalError")}, "", ""},
		"always refused":       {&network{hits: isDeletes, times: -1, do: refusing("InternalError")}, fault.CodeInternal, "1 objects are left"},
		"always slowed down":   {&network{hits: isDeletes, times: -1, do: refusing("SlowDown")}, fault.CodeUnavailable, "1 objects are left"},
		"not there":            {&network{hits: isDeletes, times: -1, do: refusing("NoSuchKey")}, "", ""},
		"answered 500 once":    {&network{hits: isDeletes, times: 1, do: answering(500, "InternalError")}, "", ""},
		"always 503":           {&network{hits: isDeletes, times: -1, do: answering(503, "SlowDown")}, fault.CodeUnavailable, "2 objects are left"},
		"applied, cut off":     {&network{hits: isDeletes, times: 1, do: cuttingAnswer}, "", ""},
		"always cut off":       {&network{hits: isDeletes, times: -1, do: cuttingAnswer}, fault.CodeInternal, "2 objects are left"},
		"200 with an error":    {&network{hits: isDeletes, times: 1, do: answering(200, "InternalError")}, "", ""},
		"200 with errors":      {&network{hits: isDeletes, times: -1, do: answering(200, "InternalError")}, fault.CodeInternal, "2 objects are left"},
		"applied, answer lost": {&network{hits: isDeletes, times: 1, do: losingAnswer}, "", ""},
	} {
		err := through(s3store, tc.net).DeleteMany(t.Context(), []string{"files/1", "files/2"})
		if fault.CodeOf(err) != tc.want || err != nil && !strings.Contains(err.Error(), tc.left) {
			t.Errorf("%s: %v, want %q and %q", name, err, tc.want, tc.left)
		}
	}
}

func TestListThroughABadNetwork(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	clean := objectstore.New(s3store.Client, s3store.Bucket)
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("files/%d", i))
		if _, err := clean.Put(t.Context(), want[i], strings.NewReader("x"), -1); err != nil {
			t.Fatal(err)
		}
	}
	isList := func(r *http.Request) bool { return r.URL.Query().Get("list-type") == "2" }
	for name, do := range map[string]func(*http.Request, send) (*http.Response, error){
		"500": answering(500, "InternalError"), "cut off": cuttingAnswer, "lost": losingAnswer, "200 with an error": answering(200, "InternalError"),
	} {
		if got := keysOf(t, through(s3store, &network{hits: isList, times: 1, do: do}), "", "", 2); !slices.Equal(got, want) {
			t.Errorf("%s once: %q", name, got)
		}
		// A listing that is not whole is never taken for one that is.
		if got, more, err := through(s3store, &network{hits: isList, times: -1, do: do}).List(t.Context(), "", "", 10); err == nil {
			t.Errorf("%s always: %v, %t", name, got, more)
		}
	}
	// As S3 answers when it is asked to encode keys.
	encoding := func(r *http.Request, _ send) (*http.Response, error) {
		if r.URL.Query().Get("encoding-type") != "url" {
			return nil, errors.New("it was not asked to encode")
		}
		response := answer(r, 200, "")
		body := `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>` +
			`<Contents><Key>a/b+c%2Bd%25%01%C3%BC</Key><Size>1</Size></Contents></ListBucketResult>`
		response.Body, response.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		return response, nil
	}
	got, more, err := through(s3store, &network{hits: isList, times: -1, do: encoding}).List(t.Context(), "", "", 10)
	if err != nil || more || len(got) != 1 || got[0].Key != "a/b c+d%\x01ü" {
		t.Errorf("encoded: %+v, %t, %v", got, more, err)
	}
}
