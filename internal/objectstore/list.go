package objectstore

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

var _ dataset.Sweepable = (*Store)(nil)

// listPage is the most that S3 lists at a time.
const listPage = 1000

// List implements dataset.Sweepable.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]dataset.Listed, bool, error) {
	return listObjects(ctx, s.client, s.bucket, prefix, after, limit)
}

// listObjects is List for any bucket. It goes on from the last key and not by
// S3's token, so that it stays what it was for a caller that begins again.
func listObjects(ctx context.Context, client *s3.Client, bucket, prefix, after string, limit int) (objects []dataset.Listed, more bool, err error) {
	for len(objects) < limit {
		out, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket:       &bucket,
			Prefix:       optional(prefix),
			StartAfter:   optional(after),
			MaxKeys:      aws.Int32(int32(min(limit-len(objects), listPage))),
			EncodingType: types.EncodingTypeUrl, // a key may have characters that XML cannot carry
		})
		if err != nil {
			return nil, false, failure("listing objects", err)
		}
		for _, o := range out.Contents {
			if after, err = plainKey(o.Key, out.EncodingType); err != nil {
				return nil, false, fault.Internal("listing objects", err)
			}
			objects = append(objects, dataset.Listed{Key: after, SizeBytes: aws.ToInt64(o.Size), ModifiedAt: aws.ToTime(o.LastModified).UTC()})
		}
		if more = aws.ToBool(out.IsTruncated); !more || len(out.Contents) == 0 {
			return objects, false, nil
		}
	}
	return objects, more, nil
}

// plainKey decodes a key of a listing if the store has encoded it, which not
// every store does when it is asked to.
func plainKey(key *string, encoding types.EncodingType) (string, error) {
	if encoding != types.EncodingTypeUrl {
		return aws.ToString(key), nil
	}
	plain, err := url.QueryUnescape(aws.ToString(key))
	if err != nil {
		return "", fmt.Errorf("the key %q of a listing: %w", aws.ToString(key), err)
	}
	return plain, nil
}

// ListOpenParts implements dataset.Sweepable. Within a key S3 lists by the time
// that an upload was begun.
func (s *Store) ListOpenParts(ctx context.Context, prefix string, afterKey, afterID string, limit int) (open []dataset.OpenParts, more bool, err error) {
	for len(open) < limit {
		out, err := s.client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{
			Bucket:         &s.bucket,
			Prefix:         optional(prefix),
			KeyMarker:      optional(afterKey),
			UploadIdMarker: optional(afterID),
			MaxUploads:     aws.Int32(int32(min(limit-len(open), listPage))),
		})
		if err != nil {
			return nil, false, failure("listing open uploads", err)
		}
		for _, u := range out.Uploads {
			afterKey, afterID = aws.ToString(u.Key), aws.ToString(u.UploadId)
			open = append(open, dataset.OpenParts{Key: afterKey, ID: afterID, StartedAt: aws.ToTime(u.Initiated).UTC()})
		}
		if more = aws.ToBool(out.IsTruncated); !more || len(out.Uploads) == 0 {
			return open, false, nil
		}
	}
	return open, more, nil
}

// DeleteMany implements dataset.Sweepable. S3 answers it with 200 and an error
// for each object that it did not delete; those are tried once more before they
// count as left.
func (s *Store) DeleteMany(ctx context.Context, keys []string) error {
	if len(keys) > dataset.MaxDeleted {
		return fault.Internal("deleting objects", fmt.Errorf("%d keys are more than %d", len(keys), dataset.MaxDeleted))
	}
	left := slices.Clone(keys)
	var refused types.Error
	for try := 1; len(left) > 0; try++ {
		out, err := s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &s.bucket,
			Delete: &types.Delete{Objects: identifiers(left), Quiet: aws.Bool(true)},
		})
		if err != nil {
			return leftOver(len(left), failure("deleting objects", err))
		}
		left = left[:0]
		for _, e := range out.Errors {
			if aws.ToString(e.Code) != "NoSuchKey" {
				left, refused = append(left, aws.ToString(e.Key)), e
			}
		}
		if len(left) > 0 && try == 2 {
			return leftOver(len(left), failure("deleting objects", errorOf(refused)))
		}
	}
	return nil
}

func identifiers(keys []string) []types.ObjectIdentifier {
	ids := make([]types.ObjectIdentifier, len(keys))
	for i := range keys {
		ids[i].Key = &keys[i]
	}
	return ids
}

// leftOver says in err's chain how many objects it left.
func leftOver(n int, err error) error {
	return fmt.Errorf("%d objects are left: %w", n, err)
}
