package objectstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// Inbox is the bucket that users put files into, and how they get from there
// into the bucket of a Store. It is safe for concurrent use.
type Inbox struct {
	client  *s3.Client
	bucket  string
	into    *Store // whose bucket CopyIn copies to; its client is the inbox's too
	signing func(*s3.Options)
	sizes   copySizes
}

var _ dataset.Inbox = (*Inbox)(nil)

// NewInbox returns the inbox in a bucket, which must exist in the same region
// as the bucket of into.
func NewInbox(bucket string, into *Store) *Inbox {
	return &Inbox{client: into.client, bucket: bucket, into: into, signing: into.signing, sizes: copySizes{whole: maxWholeCopy, part: minCopyPart}}
}

// Stat implements dataset.Inbox.
func (i *Inbox) Stat(ctx context.Context, key string) (dataset.InboxObject, error) {
	out, err := i.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &i.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return dataset.InboxObject{}, failure("asking about an object of the inbox", err)
	}
	o := dataset.InboxObject{
		Key: key, SizeBytes: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag), ModifiedAt: aws.ToTime(out.LastModified).UTC(),
	}
	if sum := aws.ToString(out.ChecksumCRC64NVME); !sumOfSums(sum) {
		o.CRC64NVME = sum
	}
	return o, nil
}

// List implements dataset.Inbox.
func (i *Inbox) List(ctx context.Context, prefix, after string, limit int) ([]dataset.Listed, bool, error) {
	return listObjects(ctx, i.client, i.bucket, prefix, after, limit)
}

// Open implements dataset.Inbox. Nothing checks the bytes on their way: they
// are for looking at, not for keeping.
func (i *Inbox) Open(ctx context.Context, from dataset.InboxObject, part dataset.Range) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &i.bucket, Key: &from.Key, IfMatch: &from.ETag}
	if part != (dataset.Range{}) {
		in.Range = aws.String(rangeHeader(part))
	}
	out, err := i.client.GetObject(ctx, in)
	if err != nil {
		return nil, versionFailure("reading an object of the inbox", err)
	}
	return out.Body, nil
}

// ReadSmall implements dataset.Inbox.
func (i *Inbox) ReadSmall(ctx context.Context, from dataset.InboxObject, atMost int64) ([]byte, error) {
	if from.SizeBytes > atMost {
		return nil, fault.Newf(fault.CodeRequestTooLarge, "Make it smaller and put it there again.",
			"The object %s has %d bytes; at most %d are read.", from.Key, from.SizeBytes, atMost)
	}
	body, err := i.Open(ctx, from, dataset.Range{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	document := make([]byte, from.SizeBytes)
	if _, err := io.ReadFull(body, document); err != nil {
		return nil, fault.Internal("reading an object of the inbox", err)
	}
	return document, nil
}

// PutSmall implements dataset.Inbox.
func (i *Inbox) PutSmall(ctx context.Context, key string, document []byte) error {
	return failureOf(i.putDocument(ctx, &s3.PutObjectInput{Key: &key}, document), failure)
}

// PutNew implements dataset.Inbox.
func (i *Inbox) PutNew(ctx context.Context, key string, document []byte) error {
	return failureOf(i.putDocument(ctx, &s3.PutObjectInput{Key: &key, IfNoneMatch: ifNew()}, document), failure)
}

// Replace implements dataset.Inbox.
func (i *Inbox) Replace(ctx context.Context, from dataset.InboxObject, document []byte) error {
	return failureOf(i.putDocument(ctx, &s3.PutObjectInput{Key: &from.Key, IfMatch: &from.ETag}, document), versionFailure)
}

// failureOf names what became of a document.
func failureOf(err error, name func(doing string, err error) error) error {
	if err == nil {
		return nil
	}
	return name("storing a document in the inbox", err)
}

func (i *Inbox) putDocument(ctx context.Context, in *s3.PutObjectInput, document []byte) error {
	in.Bucket = &i.bucket
	in.Body, in.ContentLength = bytes.NewReader(document), aws.Int64(int64(len(document)))
	in.ContentType = aws.String("application/json")
	in.ChecksumCRC64NVME = aws.String(sumText(crc64nvme.Checksum(document)))
	_, err := i.client.PutObject(ctx, in, i.signing)
	return err
}

// Delete implements dataset.Inbox. S3 compares the ETag and deletes in one
// step; no store is asked to delete without that condition. Since the same bytes
// have the same ETag, and S3 compares nothing else, an object that was put again is
// told by its time just before.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
func (i *Inbox) Delete(ctx context.Context, from dataset.InboxObject) error {
	const doing = "deleting an object of the inbox"
	now, err := i.Stat(ctx, from.Key)
	switch {
	case fault.Is(err, fault.CodeFileNotFound):
		return nil
	case err != nil:
		return err
	case !now.ModifiedAt.Equal(from.ModifiedAt):
		return errReplaced(errors.New(doing))
	}
	_, err = i.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &i.bucket, Key: &from.Key, IfMatch: &from.ETag})
	if err == nil || statusOf(err) == http.StatusNotFound {
		return nil
	}
	return versionFailure(doing, err)
}

// versionFailure is failure for an operation on one version of an object.
func versionFailure(doing string, err error) error {
	if statusOf(err) != http.StatusPreconditionFailed {
		return failure(doing, err)
	}
	return errReplaced(err)
}

func errReplaced(why error) error {
	return fault.New(fault.CodeConflict, "The object in the inbox was replaced by another one meanwhile.",
		"Nothing was done. The new object is taken in its turn.").Because(errors.Join(dataset.ErrObjectReplaced, why))
}
