package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

const (
	// maxWholeCopy is the largest object that S3 copies in one request.
	// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
	maxWholeCopy = 5 << 30

	// minCopyPart is large because no byte of a part passes through here; S3 copies
	// one in seconds, and a copy that was cut off goes on behind whole parts.
	minCopyPart = 256 << 20

	// copyConcurrency is how many parts of one object are copied at a time. They
	// cost this process nothing but a connection.
	copyConcurrency = 16

	// copyMark is the metadata under which a copy names the version that it was
	// made of. It tells a copy of an earlier call from anything else.
	copyMark = "parqueue-copy-of"
)

// copySizes are the sizes above, which only tests change.
type copySizes struct{ whole, part int64 }

// CopyIn implements dataset.Inbox. An object of more than 5 GiB is copied in
// parts, of which a call that was cut off leaves those that are done to the next.
func (i *Inbox) CopyIn(ctx context.Context, from dataset.InboxObject, toKey string) (dataset.Stored, error) {
	if from.SizeBytes > maxObjectSize {
		return dataset.Stored{}, errTooLarge()
	}
	c := i.copying(from, i.into.bucket, toKey)
	c.goesOn = true
	c.contentType = contentType
	c.metadata = map[string]string{copyMark: c.mark()}
	err := c.run(ctx)
	if err != nil && !mayHaveStored(err) {
		return dataset.Stored{}, failure("copying an object of the inbox", err)
	}
	stored, found, verifyErr := c.verify(ctx)
	switch {
	case found:
		return stored, nil
	case verifyErr != nil:
		return dataset.Stored{}, errors.Join(verifyErr, err)
	case err == nil:
		return dataset.Stored{}, fault.Internal("copying an object of the inbox", errors.New("the copy is not there"))
	default:
		return dataset.Stored{}, versionFailure("copying an object of the inbox", err)
	}
}

// Move implements dataset.Inbox: a copy, and then a deletion.
func (i *Inbox) Move(ctx context.Context, from dataset.InboxObject, toKey string) error {
	c := i.copying(from, i.bucket, toKey)
	if from.SizeBytes > c.sizes.whole { // a copy in parts keeps nothing of itself
		if err := c.keepMetadata(ctx); err != nil {
			return err
		}
	}
	if err := c.run(ctx); err != nil {
		if err := i.copiedBefore(ctx, from, toKey, err); err != nil {
			return err
		}
	}
	err := i.Delete(ctx, from)
	if errors.Is(err, dataset.ErrObjectReplaced) {
		return nil // it has left its old key already
	}
	return err
}

// copiedBefore finds out why an object could not be copied. It returns nil where
// the same bytes are under the new key: the copy of an earlier call, or of a try
// of this one whose answer was lost.
func (i *Inbox) copiedBefore(ctx context.Context, from dataset.InboxObject, toKey string, why error) error {
	const doing = "moving an object of the inbox"
	switch statusOf(why) {
	case http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed:
	default:
		return failure(doing, why)
	}
	now, err := i.Stat(ctx, from.Key)
	if err != nil {
		return errors.Join(err, why)
	}
	if now.ETag != from.ETag {
		return errReplaced(why)
	}
	there, err := i.Stat(ctx, toKey)
	switch {
	case fault.Is(err, fault.CodeFileNotFound):
		return versionFailure(doing, why)
	case err != nil:
		return errors.Join(err, why)
	case sameBytes(from, there):
		return nil
	}
	return fault.New(fault.CodeConflict, "Another object is where this one was to be moved.", "Nothing was replaced. Try again.").Because(why)
}

// sameBytes reports two objects that are known to have the same bytes.
func sameBytes(x, y dataset.InboxObject) bool {
	if x.CRC64NVME != "" && y.CRC64NVME != "" {
		return x.SizeBytes == y.SizeBytes && x.CRC64NVME == y.CRC64NVME
	}
	return x.SizeBytes == y.SizeBytes && x.ETag == y.ETag
}

// copying is one object on its way to another key.
type copying struct {
	store       *Store // of the bucket that it goes to
	fromBucket  string
	from        dataset.InboxObject
	key         string
	sizes       copySizes
	goesOn      bool              // the key stands for this version alone, so that parts of an earlier call fit
	contentType string            // with metadata; "" keeps that of the source
	metadata    map[string]string // nil keeps that of the source, where it is copied whole
}

func (i *Inbox) copying(from dataset.InboxObject, toBucket, toKey string) *copying {
	store := i.into
	if toBucket != store.bucket {
		store = New(i.client, toBucket)
	}
	return &copying{store: store, fromBucket: i.bucket, from: from, key: toKey, sizes: i.sizes}
}

// source is the object in the form that a header wants.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
func (c *copying) source() *string {
	path := url.QueryEscape(c.fromBucket + "/" + c.from.Key)
	return aws.String(strings.NewReplacer("+", "%20", "%2F", "/").Replace(path))
}

// mark names the version that is copied.
func (c *copying) mark() string {
	return fmt.Sprintf("%s %d", strings.Trim(c.from.ETag, `"`), c.from.SizeBytes)
}

// ifNew is the condition that nothing is under the key.
func ifNew() *string { return aws.String("*") }

// run copies the object. S3 says that a copy failed with the status 200 as well,
// once it has begun to answer; the SDK recognises that and repeats the request.
func (c *copying) run(ctx context.Context) error {
	if c.from.SizeBytes > c.sizes.whole {
		return c.inParts(ctx)
	}
	in := &s3.CopyObjectInput{
		Bucket:            &c.store.bucket,
		Key:               &c.key,
		CopySource:        c.source(),
		CopySourceIfMatch: &c.from.ETag,
		IfNoneMatch:       ifNew(),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, // computed by S3 where the source has another one
		TaggingDirective:  types.TaggingDirectiveReplace,    // none: to copy them takes rights of their own
	}
	if c.metadata != nil {
		in.MetadataDirective = types.MetadataDirectiveReplace
		in.ContentType, in.Metadata = optional(c.contentType), c.metadata
	}
	_, err := c.store.client.CopyObject(ctx, in)
	return err
}

// keepMetadata takes over what the source says of itself.
func (c *copying) keepMetadata(ctx context.Context) error {
	out, err := c.store.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.fromBucket, Key: &c.from.Key, IfMatch: &c.from.ETag})
	if err != nil {
		return versionFailure("asking about an object of the inbox", err)
	}
	c.contentType, c.metadata = aws.ToString(out.ContentType), out.Metadata
	return nil
}

// verify says what is under the key if it is a copy of this version, and fails
// if it is one that is not whole or not sound.
func (c *copying) verify(ctx context.Context) (stored dataset.Stored, found bool, err error) {
	out, err := c.store.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.store.bucket, Key: &c.key, ChecksumMode: types.ChecksumModeEnabled})
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusForbidden {
		return dataset.Stored{}, false, nil // without the right to list, S3 says 403 of what is not there
	}
	if err != nil {
		return dataset.Stored{}, false, failure("asking about a copy", err)
	}
	if out.Metadata[copyMark] != c.mark() {
		return dataset.Stored{}, false, fault.New(fault.CodeConflict, "Another object is where this one was to be copied.",
			"Nothing was replaced. Try again.")
	}
	stored = dataset.Stored{SizeBytes: aws.ToInt64(out.ContentLength), CRC64NVME: aws.ToString(out.ChecksumCRC64NVME)}
	if stored.SizeBytes != c.from.SizeBytes || stored.CRC64NVME == "" || sumOfSums(stored.CRC64NVME) ||
		c.from.CRC64NVME != "" && c.from.CRC64NVME != stored.CRC64NVME {
		return dataset.Stored{}, false, fault.Internal("verifying a copy", fmt.Errorf("%+v is not a copy of %+v", stored, c.from))
	}
	return stored, true, nil
}
