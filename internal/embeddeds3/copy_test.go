package embeddeds3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
)

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestCopyObject(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	data, inbox := aws.String(embeddeds3test.Bucket), aws.String(embeddeds3test.Inbox)
	put1, err := s.Client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: inbox, Key: aws.String("incoming/a"), Body: strings.NewReader("one"), ContentType: aws.String("a/b"),
		Metadata: map[string]string{"who": "me"}, ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	})
	if err != nil {
		t.Fatal(err)
	}
	from := *inbox + "/incoming/a"
	for name, tc := range map[string]struct {
		in       s3.CopyObjectInput
		want     string // code of the error
		metadata map[string]string
		crc      bool
	}{
		"plain":             {s3.CopyObjectInput{}, "", map[string]string{"who": "me"}, false},
		"with a checksum":   {s3.CopyObjectInput{ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme}, "", map[string]string{"who": "me"}, true},
		"other metadata":    {s3.CopyObjectInput{MetadataDirective: types.MetadataDirectiveReplace, Metadata: map[string]string{"x": "y"}}, "", map[string]string{"x": "y"}, false},
		"if it matches":     {s3.CopyObjectInput{CopySourceIfMatch: put1.ETag}, "", map[string]string{"who": "me"}, false},
		"if it doesn't":     {s3.CopyObjectInput{CopySourceIfMatch: aws.String(`"other"`)}, "PreconditionFailed", nil, false},
		"if it is another":  {s3.CopyObjectInput{CopySourceIfNoneMatch: put1.ETag}, "PreconditionFailed", nil, false},
		"if nothing is":     {s3.CopyObjectInput{IfNoneMatch: aws.String("*")}, "", map[string]string{"who": "me"}, false},
		"if nothing was":    {s3.CopyObjectInput{IfNoneMatch: aws.String("*"), Key: aws.String("taken")}, "PreconditionFailed", nil, false},
		"of nothing":        {s3.CopyObjectInput{CopySource: aws.String(*inbox + "/incoming/none")}, "NoSuchKey", nil, false},
		"of no bucket":      {s3.CopyObjectInput{CopySource: aws.String("parqueue-none/x")}, "NoSuchBucket", nil, false},
		"of a folder":       {s3.CopyObjectInput{CopySource: aws.String(*inbox + "/incoming")}, "NoSuchKey", nil, false},
		"onto itself":       {s3.CopyObjectInput{Bucket: inbox, Key: aws.String("incoming/a")}, "InvalidRequest", nil, false},
		"out of the bucket": {s3.CopyObjectInput{CopySource: aws.String(*inbox + "/../" + *data + "/taken")}, "InvalidArgument", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			put(t, s, *data, "taken", "taken")
			in := tc.in
			if in.Key == nil {
				in.Key = aws.String("copies/" + name)
			}
			if in.Bucket == nil {
				in.Bucket = data
			}
			if in.CopySource == nil {
				in.CopySource = &from
			}
			out, err := s.Client.CopyObject(t.Context(), &in)
			if codeOf(err) != tc.want || (err == nil) != (tc.want == "") {
				t.Fatalf("error is %v, want %q", err, tc.want)
			}
			if err != nil {
				return
			}
			got, err := s.Client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, ChecksumMode: types.ChecksumModeEnabled})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(got.Body)
			_ = got.Body.Close()
			if err != nil || string(body) != "one" || fmt.Sprint(got.Metadata) != fmt.Sprint(tc.metadata) || *got.ETag != *out.CopyObjectResult.ETag {
				t.Errorf("the copy is %q, %v, %s (%v), answered was %s", body, got.Metadata, *got.ETag, err, *out.CopyObjectResult.ETag)
			}
			if (got.ChecksumCRC64NVME != nil) != tc.crc || (got.ChecksumSHA256 != nil) == tc.crc {
				t.Errorf("checksums: %v and %v", aws.ToString(got.ChecksumCRC64NVME), aws.ToString(got.ChecksumSHA256))
			}
		})
	}
}

func TestUploadPartCopy(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	data, inbox := aws.String(embeddeds3test.Bucket), aws.String(embeddeds3test.Inbox)
	content := bytes.Repeat([]byte("0123456789abcdef"), 12<<16) // 12 MiB
	put(t, s, *inbox, "incoming/a", string(content))
	key := aws.String("files/a")
	upload, err := s.Client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: data, Key: key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject,
	})
	if err != nil {
		t.Fatal(err)
	}
	in := s3.UploadPartCopyInput{Bucket: data, Key: key, UploadId: upload.UploadId, CopySource: aws.String(*inbox + "/incoming/a")}
	for name, tc := range map[string]struct {
		change func(*s3.UploadPartCopyInput)
		want   string
	}{
		"past the end": {func(in *s3.UploadPartCopyInput) { in.CopySourceRange = aws.String("bytes=0-12582912") }, "InvalidArgument"},
		"no range":     {func(in *s3.UploadPartCopyInput) { in.CopySourceRange = aws.String("0-1") }, "InvalidArgument"},
		"replaced":     {func(in *s3.UploadPartCopyInput) { in.CopySourceIfMatch = aws.String(`"x"`) }, "PreconditionFailed"},
		"replaced, a range": {func(in *s3.UploadPartCopyInput) {
			in.CopySourceIfMatch, in.CopySourceRange = aws.String(`"x"`), aws.String("bytes=0-1")
		}, "PreconditionFailed"},
		"gone":      {func(in *s3.UploadPartCopyInput) { in.CopySource = aws.String(*inbox + "/incoming/none") }, "NoSuchKey"},
		"no upload": {func(in *s3.UploadPartCopyInput) { in.UploadId = aws.String("00000000-0000-0000-0000-000000000000") }, "NoSuchUpload"},
	} {
		bad := in
		bad.PartNumber = aws.Int32(1)
		tc.change(&bad)
		if _, err := s.Client.UploadPartCopy(t.Context(), &bad); codeOf(err) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	var parts []types.CompletedPart
	for i, part := range []string{"bytes=6000000-11999999", "bytes=0-5999999", ""} {
		one := in
		one.PartNumber = aws.Int32(int32(i + 1))
		if part != "" {
			one.CopySourceRange = &part
		}
		out, err := s.Client.UploadPartCopy(t.Context(), &one)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: one.PartNumber, ETag: out.CopyPartResult.ETag, ChecksumCRC64NVME: out.CopyPartResult.ChecksumCRC64NVME})
	}
	_, err = s.Client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: data, Key: key, UploadId: upload.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: data, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	want := bytes.Join([][]byte{content[6000000:12000000], content[:6000000], content}, nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes and differs (%v)", len(got), err)
	}
}

// A removal under the condition of an ETag never removes the next version, a
// read never gives the ETag of one with the bytes of another, and an object that
// is stored in a folder that just became empty is stored.
func TestReplacingReadingAndRemoving(t *testing.T) {
	for _, kind := range []string{"attributes", "files"} {
		t.Run(kind, func(t *testing.T) {
			cfg := config(t)
			if kind == "files" {
				if err := os.Mkdir(filepath.Join(cfg.Dir, "metadata"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			c := client(start(t, cfg), "access", "secret")
			bucket, key := aws.String("bucket"), aws.String("incoming/d/x")
			const versions = 100
			var current sync.Map // of ETag to content
			contents := make([]string, versions)
			for i := range contents {
				contents[i] = strings.Repeat(fmt.Sprintf("%04d", i), 1000)
			}
			done := make(chan struct{})
			var others sync.WaitGroup
			var removed, read int
			others.Go(func() { // removes what it has seen
				for {
					select {
					case <-done:
						return
					default:
					}
					head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: key})
					if err != nil {
						continue
					}
					_, err = c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: key, IfMatch: head.ETag})
					if err == nil {
						if _, twice := current.LoadOrStore("removed "+aws.ToString(head.ETag), true); twice {
							t.Errorf("%s was removed twice", aws.ToString(head.ETag))
						}
						removed++
					} else if s := status(err); s != http.StatusPreconditionFailed && s != http.StatusNotFound {
						t.Errorf("removing: %v", err)
					}
				}
			})
			others.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
					if err != nil {
						continue
					}
					body, err := io.ReadAll(out.Body)
					_ = out.Body.Close()
					if before, seen := current.LoadOrStore(aws.ToString(out.ETag), string(body)); err != nil || len(body) != 4000 || seen && before != string(body) {
						t.Errorf("%s is read as %d bytes that are not its own: %v", aws.ToString(out.ETag), len(body), err)
					}
					read++
				}
			})
			etags := map[string]bool{}
			for _, content := range contents {
				out, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(content)})
				if err != nil {
					t.Errorf("storing: %v", err)
					continue
				}
				etags[*out.ETag] = true
				if before, seen := current.LoadOrStore(*out.ETag, content); seen && before != content {
					t.Errorf("%s was read as another one", *out.ETag)
				}
			}
			close(done)
			others.Wait()
			if removed == 0 || read == 0 || len(etags) != versions {
				t.Errorf("%d of %d removed, %d reads", removed, len(etags), read)
			}
		})
	}
}
