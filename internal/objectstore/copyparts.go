package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/dataset"
)

// inParts copies an object that is too large for one request.
func (c *copying) inParts(ctx context.Context) error {
	id, parts, err := c.begin(ctx)
	if err != nil {
		return err
	}
	err = c.copyParts(ctx, id, parts)
	if err == nil {
		err = c.complete(ctx, id, parts)
	}
	if err != nil && !(c.goesOn && mayGoOn(err)) {
		err = errors.Join(err, c.abort(ctx, id))
	}
	return err
}

// mayGoOn reports whether another call can use the parts that are there.
func mayGoOn(err error) bool {
	status := statusOf(err)
	return status < 400 || status >= 500
}

// begin gives an open upload and its parts, of which those that have an ETag are
// copied already: by an earlier call, if the key stands for this version alone.
func (c *copying) begin(ctx context.Context) (id string, parts []types.CompletedPart, err error) {
	size := c.partSize()
	parts = make([]types.CompletedPart, (c.from.SizeBytes+size-1)/size)
	if c.goesOn {
		if id, err = c.resume(ctx, parts); err != nil || id != "" {
			return id, parts, err
		}
	}
	out, err := c.store.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket:            &c.store.bucket,
		Key:               &c.key,
		ContentType:       optional(c.contentType),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme,
		ChecksumType:      types.ChecksumTypeFullObject,
		Metadata:          c.metadata,
	})
	if err != nil {
		return "", nil, err
	}
	return aws.ToString(out.UploadId), parts, nil
}

// resume finds the upload of a call that was cut off, "" if there is none, and
// fills in the parts that it has copied. When two calls go on with the same one,
// the second to complete it finds the first one's object.
func (c *copying) resume(ctx context.Context, parts []types.CompletedPart) (id string, err error) {
	open, _, err := c.store.ListOpenParts(ctx, c.key, "", "", 1)
	if err != nil || len(open) == 0 || open[0].Key != c.key {
		return "", err
	}
	there, err := c.store.ListParts(ctx, c.key, open[0].ID, 0, maxParts)
	if err != nil {
		return "", err
	}
	for _, p := range there {
		if p.Number <= len(parts) && p.SizeBytes == c.rangeOf(p.Number-1).Length {
			parts[p.Number-1] = completed(p)
		}
	}
	return open[0].ID, nil
}

// partSize is the same for every copy of an object of this size, so that one
// call can go on with the parts of another.
func (c *copying) partSize() int64 {
	const mib = 1 << 20
	least := (c.from.SizeBytes + maxParts - 1) / maxParts
	return max(c.sizes.part, (least+mib-1)/mib*mib)
}

// rangeOf is the stretch of the object that is its part at an index.
func (c *copying) rangeOf(index int) dataset.Range {
	offset := int64(index) * c.partSize()
	return dataset.Range{Offset: offset, Length: min(c.partSize(), c.from.SizeBytes-offset)}
}

// copyParts copies the parts that are missing, some side by side, and notes in
// parts what completing needs.
func (c *copying) copyParts(ctx context.Context, id string, parts []types.CompletedPart) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copyConcurrency)
	for index := range parts {
		if parts[index].ETag != nil {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() (err error) {
			parts[index], err = c.copyPart(ctx, id, index)
			return err
		})
	}
	return group.Wait()
}

func (c *copying) copyPart(ctx context.Context, id string, index int) (types.CompletedPart, error) {
	number := aws.Int32(int32(index + 1)) //nolint:gosec // at most maxParts
	out, err := c.store.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
		Bucket:            &c.store.bucket,
		Key:               &c.key,
		UploadId:          &id,
		PartNumber:        number,
		CopySource:        c.source(),
		CopySourceIfMatch: &c.from.ETag,
		CopySourceRange:   aws.String(rangeHeader(c.rangeOf(index))),
	})
	if err != nil {
		return types.CompletedPart{}, fmt.Errorf("copying part %d: %w", index+1, err)
	}
	return types.CompletedPart{PartNumber: number, ETag: out.CopyPartResult.ETag, ChecksumCRC64NVME: out.CopyPartResult.ChecksumCRC64NVME}, nil
}

func (c *copying) complete(ctx context.Context, id string, parts []types.CompletedPart) error {
	_, err := c.store.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket:            &c.store.bucket,
		Key:               &c.key,
		UploadId:          &id,
		MultipartUpload:   &types.CompletedMultipartUpload{Parts: parts},
		ChecksumType:      types.ChecksumTypeFullObject,
		ChecksumCRC64NVME: optional(c.from.CRC64NVME),
		MpuObjectSize:     &c.from.SizeBytes,
		IfNoneMatch:       ifNew(),
	})
	return err
}

// abort throws the parts away, even when ctx has ended.
func (c *copying) abort(ctx context.Context, id string) error {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	_, err := c.store.client.AbortMultipartUpload(own, &s3.AbortMultipartUploadInput{Bucket: &c.store.bucket, Key: &c.key, UploadId: &id})
	if err == nil || statusOf(err) == http.StatusNotFound {
		return nil
	}
	return fmt.Errorf("aborting the copy: %w", err)
}
