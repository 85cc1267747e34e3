package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"
	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// Limits of S3.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	maxParts      = 10_000
	maxObjectSize = 5 << 40
)

const (
	minPartSize = 8 << 20 // S3 takes parts from 5 MiB; 8 is where throughput levels off
	growEvery   = 1000    // parts of one size when the object's size is unknown
)

// partSize gives the size of the part after done parts of size bytes in all.
// With a bound that maxParts of minPartSize reach, 80 GB, it is that. Without, and
// with a larger one, which is only a caller's claim and must not make it hold more
// memory than its bytes have earned, it doubles every growEvery parts: 8 MiB for the first 8 GiB,
// 16 MiB up to 24 GiB, and so on, which reaches maxObjectSize with parts to spare
// and keeps a part below 1/500 of what was sent before it.
func partSize(done int, size, atMost int64) (int64, error) {
	switch {
	case size >= maxObjectSize || done >= maxParts:
		return 0, errTooLarge()
	case atMost < 0 || atMost > maxParts*minPartSize:
		return minPartSize << (done / growEvery), nil
	case atMost < minPartSize:
		return atMost, nil
	default:
		return minPartSize, nil
	}
}

func errTooLarge() error {
	return fault.New(fault.CodeRequestTooLarge, "The file is larger than 5 TiB, the most that can be stored as one.",
		"Split it into several files.")
}

// inParts stores an object that is more than one part. It owns first.
func (p *put) inParts(ctx context.Context, first part) (dataset.Stored, error) {
	own, cancel := outlasting(ctx)
	defer cancel()
	// Created under a context that outlasts the caller's, so that an upload that
	// S3 has created is always known here and can be aborted.
	created, err := p.store.client.CreateMultipartUpload(own, &s3.CreateMultipartUploadInput{
		Bucket:            &p.store.bucket,
		Key:               &p.key,
		ContentType:       aws.String(contentType),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme,
		ChecksumType:      types.ChecksumTypeFullObject,
		Metadata:          map[string]string{putMark: p.mark},
	})
	if err != nil {
		first.release()
		return dataset.Stored{}, failure("storing an object", err)
	}
	parts, err := p.send(ctx, created.UploadId, first)
	if err != nil {
		return dataset.Stored{}, p.abort(ctx, created.UploadId, err)
	}
	err = p.complete(own, created.UploadId, parts)
	if err != nil {
		// Aborting first makes the question whether the object is there final.
		err = p.abort(ctx, created.UploadId, err)
	}
	return p.settle(ctx, err)
}

// send uploads first and all parts that follow it in the body, side by side.
// Of several errors it returns the one that came first.
func (p *put) send(ctx context.Context, id *string, first part) ([]*types.CompletedPart, error) {
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group errgroup.Group
	group.SetLimit(p.store.concurrency)
	var sent []*types.CompletedPart
	for next := first; ; {
		done, body := &types.CompletedPart{PartNumber: aws.Int32(int32(len(sent) + 1))}, next
		sent = append(sent, done)
		group.Go(func() error {
			defer body.release()
			if err := p.sendPart(sending, id, body.bytes, done); err != nil {
				stop(err)
			}
			return nil
		})
		if p.atEnd {
			break
		}
		var err error
		if next, err = p.nextPart(sending); err != nil {
			stop(err)
			break
		}
	}
	_ = group.Wait() // errors went to stop
	if ctx.Err() != nil {
		return nil, fault.Internal("storing an object", context.Cause(ctx))
	}
	return sent, context.Cause(sending)
}

// sendPart uploads one part and notes what completing needs.
func (p *put) sendPart(ctx context.Context, id *string, body []byte, done *types.CompletedPart) error {
	done.ChecksumCRC64NVME = aws.String(sumText(crc64nvme.Checksum(body)))
	out, err := p.store.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket:            &p.store.bucket,
		Key:               &p.key,
		UploadId:          id,
		PartNumber:        done.PartNumber,
		Body:              bytes.NewReader(body),
		ContentLength:     aws.Int64(int64(len(body))),
		ChecksumCRC64NVME: done.ChecksumCRC64NVME,
	}, p.store.signing)
	if err != nil {
		return failure("storing a part of an object", err)
	}
	done.ETag = out.ETag
	return nil
}

// complete makes the parts an object, if they are what was read from the body.
func (p *put) complete(ctx context.Context, id *string, sent []*types.CompletedPart) error {
	parts := make([]types.CompletedPart, len(sent))
	for i, s := range sent {
		parts[i] = *s
	}
	_, err := p.store.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket:            &p.store.bucket,
		Key:               &p.key,
		UploadId:          id,
		MultipartUpload:   &types.CompletedMultipartUpload{Parts: parts},
		ChecksumType:      types.ChecksumTypeFullObject,
		ChecksumCRC64NVME: aws.String(sumText(p.crc)),
		MpuObjectSize:     aws.Int64(p.size),
		IfNoneMatch:       aws.String("*"),
	})
	return err
}

// abort throws the parts away and returns err, with the reason joined to it if
// that failed too.
func (p *put) abort(ctx context.Context, id *string, err error) error {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	_, abortErr := p.store.client.AbortMultipartUpload(own, &s3.AbortMultipartUploadInput{
		Bucket: &p.store.bucket, Key: &p.key, UploadId: id,
	})
	if abortErr == nil || statusOf(abortErr) == http.StatusNotFound {
		return err
	}
	return errors.Join(err, fmt.Errorf("aborting the upload: %w", abortErr))
}
