package embeddeds3

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3response"
)

// ListMultipartUploads lists the uploads that are neither completed nor aborted,
// by key and id. The gateway's own pages leave out the other uploads of a key
// that a page ends at, so it is asked for all of them.
func (s *store) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	path, end, err := s.begin(ctx, in.Bucket)
	if err != nil {
		return s3response.ListMultipartUploadsResult{}, err
	}
	defer end()
	at := *in
	at.Bucket, at.KeyMarker, at.UploadIdMarker, at.MaxUploads = path, nil, nil, aws.Int32(math.MaxInt32)
	out, err := s.posix.ListMultipartUploads(ctx, &at)
	if err != nil {
		return out, s.answer("listing uploads", err)
	}
	out.Bucket, out.MaxUploads = *in.Bucket, int(aws.ToInt32(in.MaxUploads))
	out.KeyMarker, out.UploadIDMarker = aws.ToString(in.KeyMarker), aws.ToString(in.UploadIdMarker)
	pageOfUploads(&out)
	return out, nil
}

// pageOfUploads leaves of all uploads those behind the markers, as many as were
// asked for.
func pageOfUploads(out *s3response.ListMultipartUploadsResult) {
	all := slices.DeleteFunc(out.Uploads, func(u s3response.Upload) bool {
		return u.Key < out.KeyMarker || u.Key == out.KeyMarker && (out.UploadIDMarker == "" || u.UploadID <= out.UploadIDMarker)
	})
	slices.SortFunc(all, func(a, b s3response.Upload) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.UploadID, b.UploadID))
	})
	if out.IsTruncated = len(all) > out.MaxUploads && out.MaxUploads > 0; out.IsTruncated {
		all = all[:out.MaxUploads]
		last := all[len(all)-1]
		out.NextKeyMarker, out.NextUploadIDMarker = last.Key, last.UploadID
	}
	out.Uploads = all
}
