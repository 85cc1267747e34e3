package embeddeds3_test

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
)

// An upload's id is the name of a folder to the file backend. Whatever a client
// sends in the place of one, it reaches no other folder: not with the upload key,
// whose requests name an object that it may store, and not with the owner's.
func TestUploadIDIsNoPath(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	bucket, key := aws.String(embeddeds3test.Inbox), aws.String("incoming/d/x")
	put(t, s, embeddeds3test.Bucket, "files/t/00/file", "data")
	put(t, s, embeddeds3test.Inbox, "rejected/d/file", "rejected")
	begun, err := s.Client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	part, err := s.Client.UploadPart(t.Context(), &s3.UploadPartInput{
		Bucket: bucket, Key: key, UploadId: begun.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x"),
	})
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, s)

	type call = func(ctx context.Context, c *s3.Client, id *string) error
	calls := map[string]call{
		"UploadPart": func(ctx context.Context, c *s3.Client, id *string) error {
			_, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: id, PartNumber: aws.Int32(1), Body: strings.NewReader("y")})
			return err
		},
		"ListParts": func(ctx context.Context, c *s3.Client, id *string) error {
			_, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: id})
			return err
		},
		"CompleteMultipartUpload": func(ctx context.Context, c *s3.Client, id *string) error {
			_, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
				Bucket: bucket, Key: key, UploadId: id,
				MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag}}},
			})
			return err
		},
		"AbortMultipartUpload": func(ctx context.Context, c *s3.Client, id *string) error {
			_, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: id})
			return err
		},
	}
	for _, id := range []string{
		".", "..", "../..", "../../../rejected", "../../../../" + embeddeds3test.Bucket, "../../../../" + embeddeds3test.Bucket + "/files/t/00",
		*begun.UploadId + "/.", "{" + (*begun.UploadId)[1:35] + "}",
	} {
		for who, client := range map[string]*s3.Client{"the owner": s.Client, "the upload key": uploader(s)} {
			for name, call := range calls {
				err := call(t.Context(), client, &id)
				if got := status(err); got != http.StatusNotFound && (got != http.StatusForbidden || who == "the owner") {
					t.Errorf("%s by %s with the id %q: %v", name, who, id, err)
				}
			}
		}
	}
	if after := contents(t, s); !maps.Equal(before, after) {
		t.Errorf("there were %v, and are %v", before, after)
	}
	if err := calls["CompleteMultipartUpload"](t.Context(), s.Client, begun.UploadId); err != nil {
		t.Errorf("completing the upload that nobody touched: %v", err)
	}
}
