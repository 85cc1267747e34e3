package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/crc64nvme"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// markKey is where the mark is; nothing else is under marks/.
const markKey = "marks/sweep"

// maxMark bounds what is read of it. Marks have some 40 bytes.
const maxMark = 1 << 10

// Mark keeps the sweeper's mark in the bucket of a Store, beside its objects: it
// implements sweep.Witness. It is safe for concurrent use.
type Mark struct{ store *Store }

// NewMark returns the mark in the bucket of a store.
func NewMark(s *Store) Mark { return Mark{s} }

// Mark implements sweep.Witness.
// Errors: CodeUnavailable.
func (m Mark) Mark(ctx context.Context) (string, error) {
	body, err := m.store.Get(ctx, markKey, dataset.Range{})
	if fault.Is(err, fault.CodeFileNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(body, maxMark+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return "", fmt.Errorf("reading the sweeper's mark: %w", err)
	}
	if len(text) > maxMark {
		return "", fault.Internal("reading the sweeper's mark", fmt.Errorf("%s has more than %d bytes", markKey, maxMark))
	}
	return string(text), nil
}

// SetMark implements sweep.Witness.
// Errors: CodeUnavailable, CodeStorageFull.
func (m Mark) SetMark(ctx context.Context, mark string) error {
	_, err := m.store.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &m.store.bucket, Key: aws.String(markKey), Body: strings.NewReader(mark), ContentLength: aws.Int64(int64(len(mark))),
		ContentType: aws.String("text/plain"), ChecksumCRC64NVME: aws.String(sumText(crc64nvme.Checksum([]byte(mark)))),
	}, m.store.signing)
	if err != nil {
		return failure("setting the sweeper's mark", err)
	}
	return nil
}
