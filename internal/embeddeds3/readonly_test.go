package embeddeds3_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
)

// A store that only reads shows a folder that another one is using, and changes
// nothing in it.
func TestReadOnly(t *testing.T) {
	writer := embeddeds3test.Start(t)
	ctx := t.Context()
	put := func(s *embeddeds3test.Store, key string) error {
		_, err := s.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.Bucket, Key: aws.String(key), Body: bytes.NewReader([]byte("1234"))})
		return err
	}
	if err := put(writer, "a/b"); err != nil {
		t.Fatal(err)
	}
	begun, err := writer.Client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &writer.Bucket, Key: aws.String("a/c")})
	if err != nil {
		t.Fatal(err)
	}
	before := tree(t, writer.Dir)
	reader := embeddeds3test.Start(t, embeddeds3test.InDir(writer.Dir), embeddeds3test.ReadOnly())
	list, err := reader.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &reader.Bucket})
	if err != nil || len(list.Contents) != 1 || aws.ToInt64(list.Contents[0].Size) != 4 {
		t.Fatalf("listed %+v, %v", list, err)
	}
	head, err := reader.Client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &reader.Bucket, Key: aws.String("a/b"), ChecksumMode: "ENABLED"})
	if err != nil || aws.ToString(head.ChecksumCRC64NVME) == "" {
		t.Fatalf("described as %+v, %v", head, err)
	}
	uploads, err := reader.Client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &reader.Bucket})
	if err != nil || len(uploads.Uploads) != 1 || aws.ToString(uploads.Uploads[0].UploadId) != aws.ToString(begun.UploadId) {
		t.Fatalf("listed %+v, %v", uploads, err)
	}
	if err := put(reader, "a/d"); err == nil {
		t.Error("an object was stored")
	}
	if _, err := reader.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &reader.Bucket, Key: aws.String("a/b")}); err == nil {
		t.Error("an object was deleted")
	}
	objects := &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("a/b")}}}
	if out, err := reader.Client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &reader.Bucket, Delete: objects}); err == nil && len(out.Errors) == 0 {
		t.Error("objects were deleted")
	}
	if _, err := reader.Client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &reader.Bucket, Key: aws.String("a/c"), UploadId: begun.UploadId}); err == nil {
		t.Error("an upload was aborted")
	}
	if err := reader.Stop(); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, writer.Dir); !maps.Equal(before, after) {
		t.Errorf("the folder was\n%v and is\n%v", before, after)
	}
	if err := put(writer, "a/e"); err != nil {
		t.Fatal(err)
	}
}

// tree is when what in a folder was changed.
func tree(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	changed := map[string]time.Time{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			changed[path] = info.ModTime()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}
