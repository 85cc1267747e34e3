package objectstore

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

var _ dataset.Parts = (*Store)(nil)

// CreateParts implements dataset.Parts. The checksum is one over the whole
// object: S3 makes it of the parts' own, which it computes where a part comes
// without one, as by a plain PUT to a presigned URL.
func (s *Store) CreateParts(ctx context.Context, key string) (id string, err error) {
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket:            &s.bucket,
		Key:               &key,
		ContentType:       aws.String(contentType),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme,
		ChecksumType:      types.ChecksumTypeFullObject,
	})
	if err != nil {
		return "", failure("beginning an object in parts", err)
	}
	return aws.ToString(out.UploadId), nil
}

// PresignPart implements dataset.Parts. expires is kept between a second and 15
// minutes. The length is signed, so the URL takes no other one; whoever uses it
// has to send a Content-Length.
func (s *Store) PresignPart(ctx context.Context, key, id string, number int, size int64, expires time.Duration) (string, error) {
	request, err := s.presign.PresignUploadPart(ctx, &s3.UploadPartInput{
		Bucket:        &s.bucket,
		Key:           &key,
		UploadId:      &id,
		PartNumber:    aws.Int32(int32(number)), //nolint:gosec // at most dataset.MaxParts
		ContentLength: &size,
	}, func(o *s3.PresignOptions) { o.Expires = min(max(expires, minExpiry), maxExpiry) })
	if err != nil {
		return "", fault.Internal("signing a part's URL", err)
	}
	return request.URL, nil
}

// PresignWhole implements dataset.Parts. expires is kept as by PresignPart, and the
// length is signed as there. So is the condition that nothing is under the key, which
// S3 only heeds as a header: one that is not sent makes the signature a wrong one.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (s *Store) PresignWhole(ctx context.Context, key string, size int64, expires time.Duration) (url string, headers map[string]string, err error) {
	request, err := s.presign.PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket:        &s.bucket,
		Key:           &key,
		ContentLength: &size,
		ContentType:   aws.String(contentType),
		IfNoneMatch:   aws.String("*"),
	}, func(o *s3.PresignOptions) { o.Expires = min(max(expires, minExpiry), maxExpiry) })
	if err != nil {
		return "", nil, fault.Internal("signing an object's URL", err)
	}
	headers = map[string]string{}
	for _, name := range []string{"Content-Type", "If-None-Match"} {
		headers[name] = request.SignedHeader.Get(name)
	}
	return request.URL, headers, nil
}

// partsPage is the most parts that S3 lists at a time.
const partsPage = 1000

// ListParts implements dataset.Parts.
func (s *Store) ListParts(ctx context.Context, key, id string, after, limit int) ([]dataset.Part, error) {
	var parts []dataset.Part
	for {
		out, err := s.client.ListParts(ctx, &s3.ListPartsInput{
			Bucket:           &s.bucket,
			Key:              &key,
			UploadId:         &id,
			PartNumberMarker: aws.String(strconv.Itoa(after)),
			MaxParts:         aws.Int32(int32(min(limit-len(parts), partsPage))),
		})
		if err != nil {
			return nil, partsFailure("listing the parts of an object", err)
		}
		for _, p := range out.Parts {
			after = int(aws.ToInt32(p.PartNumber))
			parts = append(parts, dataset.Part{
				Number: after, SizeBytes: aws.ToInt64(p.Size), ETag: aws.ToString(p.ETag), CRC64NVME: aws.ToString(p.ChecksumCRC64NVME),
			})
		}
		if !aws.ToBool(out.IsTruncated) || len(out.Parts) == 0 || len(parts) >= limit {
			return parts, nil
		}
	}
}

// CompleteParts implements dataset.Parts.
func (s *Store) CompleteParts(ctx context.Context, key, id string, parts []dataset.Part, want dataset.Stored) (dataset.Stored, error) {
	all := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		all[i] = completed(p)
	}
	out, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket:            &s.bucket,
		Key:               &key,
		UploadId:          &id,
		MultipartUpload:   &types.CompletedMultipartUpload{Parts: all},
		ChecksumType:      types.ChecksumTypeFullObject,
		ChecksumCRC64NVME: optional(want.CRC64NVME),
		MpuObjectSize:     &want.SizeBytes,
		IfNoneMatch:       aws.String("*"),
	})
	if err != nil {
		return dataset.Stored{}, partsFailure("completing an object in parts", err)
	}
	if sum := aws.ToString(out.ChecksumCRC64NVME); sum != "" {
		return dataset.Stored{SizeBytes: want.SizeBytes, CRC64NVME: sum}, nil
	}
	return s.Stat(ctx, key) // the answer to a repetition has no checksum
}

// completed is a part in the form in which completing names it.
func completed(p dataset.Part) types.CompletedPart {
	return types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(p.ETag), ChecksumCRC64NVME: optional(p.CRC64NVME)} //nolint:gosec // at most dataset.MaxParts
}

// optional is nil for an empty text.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// AbortParts implements dataset.Parts.
func (s *Store) AbortParts(ctx context.Context, key, id string) error {
	if id == "" {
		return nil
	}
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &key, UploadId: &id})
	if err == nil || statusOf(err) == http.StatusNotFound {
		return nil
	}
	return failure("aborting an object in parts", err)
}

// Joined implements dataset.Parts. Without the right to list the bucket, which
// the functions that complete uploads do not have, S3 answers 403 for an object
// that is not there.
func (s *Store) Joined(ctx context.Context, key string) (dataset.Stored, error) {
	stored, err := s.Stat(ctx, key)
	if statusOf(err) == http.StatusForbidden {
		return dataset.Stored{}, failure("describing an object", errors.Join(&types.NotFound{}, err))
	}
	return stored, err
}

// partsFailure is failure for what only uploads in parts are answered.
func partsFailure(doing string, err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return failure(doing, err)
	}
	switch api.ErrorCode() {
	case "NoSuchUpload":
		return fault.New(fault.CodeUploadNotFound, "The upload's parts are not in the store.", "They were completed or aborted. Ask get-upload.").Because(err)
	case "BadDigest":
		return fault.New(fault.CodeChecksumMismatch, "The file that arrived has another checksum than the one that was given.",
			"Some part was damaged or belongs to another file: send the parts again, then complete the upload.").Because(err)
	case "InvalidPart", "InvalidPartOrder":
		return fault.New(fault.CodeUploadIncomplete, "A part changed while the upload was being completed.",
			"Send the parts first, then complete the upload.").Because(err)
	}
	return failure(doing, err)
}
