package embeddeds3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// The gateway's own copies are not used: they take paths where this store has
// names, the checksum of a whole source for that of a part of it, and no
// condition on the destination. What is here reads a source and stores it with
// the operations that clients use.

// CopyObject stores an object under another key and returns when it is on disk.
func (s *store) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	from, err := s.openSource(ctx, in.CopySource, nil, backend.PreConditions{
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch,
		IfModSince: in.CopySourceIfModifiedSince, IfUnmodeSince: in.CopySourceIfUnmodifiedSince,
	})
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	defer from.Body.Close()
	replacing := in.MetadataDirective == types.MetadataDirectiveReplace
	if !replacing && from.bucket == *in.Bucket && from.key == *in.Key {
		return s3response.CopyObjectOutput{}, s3err.GetAPIError(s3err.ErrInvalidCopyDest)
	}
	put := s3response.PutObjectInput{
		Bucket: in.Bucket, Key: in.Key, Body: from.Body, ContentLength: from.ContentLength,
		ChecksumAlgorithm: in.ChecksumAlgorithm, IfMatch: header(ctx, "If-Match"), IfNoneMatch: header(ctx, "If-None-Match"),
	}
	if put.ChecksumAlgorithm == "" {
		put.ChecksumAlgorithm = from.algorithm()
	}
	if replacing {
		put.ContentType, put.Metadata = in.ContentType, in.Metadata
		put.CacheControl, put.Expires = in.CacheControl, in.Expires
		put.ContentEncoding, put.ContentLanguage, put.ContentDisposition = in.ContentEncoding, in.ContentLanguage, in.ContentDisposition
	} else {
		put.ContentType, put.Metadata = from.ContentType, from.Metadata
		put.CacheControl, put.Expires = from.CacheControl, from.ExpiresString
		put.ContentEncoding, put.ContentLanguage, put.ContentDisposition = from.ContentEncoding, from.ContentLanguage, from.ContentDisposition
	}
	out, err := s.PutObject(ctx, put)
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	modified := s.modified(*in.Bucket, *in.Key)
	return s3response.CopyObjectOutput{CopyObjectResult: &s3response.CopyObjectResult{
		ETag: &out.ETag, LastModified: &modified, ChecksumType: out.ChecksumType,
		ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumCRC64NVME: out.ChecksumCRC64NVME,
		ChecksumSHA1: out.ChecksumSHA1, ChecksumSHA256: out.ChecksumSHA256,
	}}, nil
}

// UploadPartCopy stores a part of an upload that is a stretch of an object. It
// is as durable as UploadPart.
func (s *store) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	from, err := s.openSource(ctx, in.CopySource, in.CopySourceRange, backend.PreConditions{
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch,
		IfModSince: in.CopySourceIfModifiedSince, IfUnmodeSince: in.CopySourceIfUnmodifiedSince,
	})
	if err != nil {
		return s3response.CopyPartResult{}, err
	}
	defer from.Body.Close()
	out, err := s.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: in.Bucket, Key: in.Key, UploadId: in.UploadId, PartNumber: in.PartNumber,
		Body: from.Body, ContentLength: from.ContentLength,
	})
	if err != nil {
		return s3response.CopyPartResult{}, err
	}
	return s3response.CopyPartResult{
		ETag: out.ETag, LastModified: time.Now(),
		ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumCRC64NVME: out.ChecksumCRC64NVME,
		ChecksumSHA1: out.ChecksumSHA1, ChecksumSHA256: out.ChecksumSHA256,
	}, nil
}

// source is an object that is being copied.
type source struct {
	*s3.GetObjectOutput
	bucket, key string
}

// openSource opens what the header of a copy names, or a range of it. The
// caller closes its body.
func (s *store) openSource(ctx context.Context, name, part *string, conditions backend.PreConditions) (source, error) {
	bucket, key, version, err := backend.ParseCopySource(aws.ToString(name))
	if err != nil {
		return source{}, err
	}
	if version != "" {
		return source{}, s3err.GetInvalidArgumentErr(s3err.InvalidArgVersionId, version)
	}
	if aws.ToString(part) != "" {
		if part, conditions, err = s.partOf(ctx, bucket, key, *part, conditions); err != nil {
			return source{}, err
		}
	}
	out, err := s.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &bucket, Key: &key, Range: aws.String(aws.ToString(part)), ChecksumMode: types.ChecksumModeEnabled,
		IfMatch: conditions.IfMatch, IfNoneMatch: conditions.IfNoneMatch,
		IfModifiedSince: conditions.IfModSince, IfUnmodifiedSince: conditions.IfUnmodeSince,
	})
	if err != nil {
		return source{}, ofCopy(err)
	}
	return source{out, bucket, key}, nil
}

// partOf checks a range against the object that it is of, and makes it one that
// is good for this version alone.
func (s *store) partOf(ctx context.Context, bucket, key, part string, conditions backend.PreConditions) (*string, backend.PreConditions, error) {
	head, err := s.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &bucket, Key: &key, IfMatch: conditions.IfMatch, IfNoneMatch: conditions.IfNoneMatch,
		IfModifiedSince: conditions.IfModSince, IfUnmodifiedSince: conditions.IfUnmodeSince,
	})
	if err != nil {
		return nil, conditions, ofCopy(err)
	}
	size := aws.ToInt64(head.ContentLength)
	offset, length, err := backend.ParseCopySourceRange(size, part)
	if err != nil {
		return nil, conditions, err
	}
	length = min(length, size-offset) // the gateway counts one too many where the range has no end
	exact := fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
	etag := strings.Trim(aws.ToString(head.ETag), `"`)
	return &exact, backend.PreConditions{IfMatch: &etag}, nil
}

// ofCopy makes the answer to a conditional read that of a conditional copy.
func ofCopy(err error) error {
	var known s3err.S3Error
	if errors.As(err, &known) && known.StatusCode() == http.StatusNotModified {
		return s3err.GetPreconditionFailedErr(s3err.ConditionIfNoneMatch)
	}
	return err
}

// algorithm is that of the checksum that the source has, which its copy gets too.
func (f source) algorithm() types.ChecksumAlgorithm {
	switch {
	case f.ChecksumType == types.ChecksumTypeComposite:
		return types.ChecksumAlgorithmCrc64nvme // the copy has no parts
	case f.ChecksumCRC32 != nil:
		return types.ChecksumAlgorithmCrc32
	case f.ChecksumCRC32C != nil:
		return types.ChecksumAlgorithmCrc32c
	case f.ChecksumSHA1 != nil:
		return types.ChecksumAlgorithmSha1
	case f.ChecksumSHA256 != nil:
		return types.ChecksumAlgorithmSha256
	}
	return types.ChecksumAlgorithmCrc64nvme
}

// header gives a header of the request that the gateway doesn't pass on, nil if
// it has none.
func header(ctx context.Context, name string) *string {
	request, ok := ctx.(*fasthttp.RequestCtx)
	if !ok {
		return nil
	}
	if value := string(request.Request.Header.Peek(name)); value != "" {
		return aws.String(strings.Trim(value, `"`))
	}
	return nil
}

// modified is when an object was stored; now, if it has gone since.
func (s *store) modified(bucket, key string) time.Time {
	info, err := os.Stat(filepath.Join(s.buckets[bucket], filepath.FromSlash(key)))
	if err != nil {
		return time.Now()
	}
	return info.ModTime()
}
