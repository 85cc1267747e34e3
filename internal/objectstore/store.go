// Package objectstore keeps the bytes of files in S3, or in anything that
// speaks its protocol: it implements dataset.Objects on aws-sdk-go-v2.
//
// Every object is written once, under a condition that nothing is there yet,
// and with a CRC-64/NVME over all of it that the store checks before it takes
// the object and that Get checks on the way back. Objects up to a part's size
// are one request, larger ones a multipart upload.
//
// IAM actions on the bucket's objects: s3:PutObject (also creates, fills and
// completes multipart uploads), s3:AbortMultipartUpload, s3:GetObject and
// s3:DeleteObject (also removes what a cancelled Put had stored). A function
// that only hands out presigned URLs needs s3:GetObject alone. s3:ListBucket on
// the bucket itself is needed by Stat alone, where an object may be missing:
// without it S3 says of such an object that it is forbidden. Of the methods of
// dataset.Parts, CreateParts, PresignPart and CompleteParts need s3:PutObject,
// ListParts needs s3:ListMultipartUploadParts, AbortParts s3:AbortMultipartUpload,
// and Joined s3:GetObject. Of those of dataset.Sweepable, List needs s3:ListBucket
// on the bucket, ListOpenParts s3:ListBucketMultipartUploads on it, DeleteMany
// s3:DeleteObject. A Mark needs s3:GetObject and s3:PutObject on its one object, and
// s3:ListBucket on the bucket. A multipart upload whose creation was repeated by the SDK
// leaves an empty one behind: the bucket needs the lifecycle rule that aborts
// incomplete uploads, a day after the time of an upload in parts is over.
//
// Of an Inbox, on the objects of its bucket: Stat, Open, ReadSmall and CopyIn need
// s3:GetObject, PutSmall s3:PutObject, Delete s3:DeleteObject and, because of its
// condition, s3:GetObject, and Move all three; List and whatever asks about an object first
// s3:ListBucket on the bucket. CopyIn needs s3:PutObject and s3:GetObject on the objects of the other
// bucket and, for objects of more than 5 GiB, s3:ListMultipartUploadParts and
// s3:AbortMultipartUpload on them and s3:ListBucketMultipartUploads on that
// bucket; Move needs s3:AbortMultipartUpload for those. Buckets encrypted with
// a key of KMS need kms:Decrypt and kms:GenerateDataKey for it.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
package objectstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/minio/crc64nvme"
	"golang.org/x/sync/semaphore"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// NewClient makes a client of S3 itself (endpoint "") or of another store at
// an endpoint, which gets the bucket in the path instead of in the host name.
// It leaves checksums to this package, which has computed them already.
func NewClient(cfg aws.Config, endpoint string) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
			o.UsePathStyle = true
		}
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	})
}

// Store is one bucket.
type Store struct {
	client      *s3.Client
	presign     *s3.PresignClient
	bucket      string
	concurrency int
	memory      *semaphore.Weighted // bytes of all parts that are held in memory
	memoryLimit int64
	buffers     sync.Pool // *[]byte of minPartSize
	hashBodies  bool      // sign a SHA-256 of every body: nothing else protects it on the way
}

var _ dataset.Objects = (*Store)(nil)

// Option changes how a Store works.
type Option func(*Store)

// WithConcurrency sets how many parts of one object travel at a time; 3 unless
// told.
func WithConcurrency(parts int) Option {
	return func(s *Store) { s.concurrency = max(1, parts) }
}

// WithMemoryLimit bounds the bytes of parts that all Puts together hold in
// memory; 256 MiB unless told. Puts wait for one another when it is reached. A
// single part may exceed it, alone: see partSize for how large parts get.
func WithMemoryLimit(bytes int64) Option {
	return func(s *Store) { s.memoryLimit = max(minPartSize, bytes) }
}

// New returns the store of a bucket, which must exist. Clients made by
// NewClient work best: others may compute checksums a second time.
func New(client *s3.Client, bucket string, opts ...Option) *Store {
	s := &Store{
		client:      client,
		presign:     s3.NewPresignClient(client),
		bucket:      bucket,
		concurrency: 3,
		memoryLimit: 256 << 20,
		hashBodies:  travelsInClear(client.Options().BaseEndpoint),
	}
	s.buffers.New = func() any {
		b := make([]byte, minPartSize)
		return &b
	}
	for _, o := range opts {
		o(s)
	}
	s.memory = semaphore.NewWeighted(s.memoryLimit)
	return s
}

// travelsInClear reports whether requests cross a network without TLS. There a
// body needs a cryptographic hash under the signature, which costs more than
// everything else in a Put; under TLS, and inside one machine, the CRC that S3
// verifies is enough.
func travelsInClear(endpoint *string) bool {
	if endpoint == nil {
		return false
	}
	u, err := url.Parse(*endpoint)
	if err != nil || u.Scheme != "http" {
		return false
	}
	at, err := netip.ParseAddr(u.Hostname())
	return err != nil || !at.IsLoopback()
}

// Get opens an object or a part of it. A whole object is checked against its
// CRC while it is read: the last Read fails where the bytes are not those that
// were stored. The bytes of a part cannot be checked this way.
func (s *Store) Get(ctx context.Context, key string, part dataset.Range) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: &key}
	if part.Offset < 0 || part.Length < 0 {
		return nil, fault.Internal("reading an object", fmt.Errorf("range %+v is negative", part))
	}
	whole := part == dataset.Range{}
	if !whole {
		in.Range = aws.String(rangeHeader(part))
	}
	out, err := s.client.GetObject(ctx, in, func(o *s3.Options) {
		if whole {
			// Set as a header, not in the input: the SDK would then check the sum
			// itself, with a CRC that is seventeen times slower.
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Checksum-Mode", "ENABLED"))
		}
	})
	if err != nil {
		return nil, failure("reading an object", err)
	}
	sum := aws.ToString(out.ChecksumCRC64NVME)
	if !whole || sum == "" || sumOfSums(sum) {
		return out.Body, nil
	}
	return &checkedBody{ReadCloser: out.Body, key: key, want: sum, crc: crc64nvme.New()}, nil
}

func rangeHeader(part dataset.Range) string {
	if part.Length == 0 {
		return fmt.Sprintf("bytes=%d-", part.Offset)
	}
	return fmt.Sprintf("bytes=%d-%d", part.Offset, part.Offset+part.Length-1)
}

// checkedBody fails at the end of a body whose CRC is not the expected one. It
// keeps the last byte back until it knows: whoever copies a damaged object gets
// less than its length, and not a whole copy with an error behind it.
type checkedBody struct {
	io.ReadCloser
	key  string
	want string
	crc  hash.Hash64

	kept []byte // the last byte read, or none
	err  error  // what every Read from now on ends in, once kept is given out
}

func (b *checkedBody) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for n == 0 && b.err == nil {
		n = b.readOn(p)
	}
	if b.err == nil || n == len(p) {
		return n, nil
	}
	if errors.Is(b.err, io.EOF) {
		n += copy(p[n:], b.kept)
		b.kept = nil
	}
	return n, b.err
}

// readOn reads behind the byte that is kept, and keeps the last one instead.
func (b *checkedBody) readOn(p []byte) int {
	n, err := b.ReadCloser.Read(p)
	b.crc.Write(p[:n]) // never fails
	if b.err = err; errors.Is(err, io.EOF) {
		b.err = b.verdict()
	}
	if n == 0 {
		return 0
	}
	last := p[n-1]
	copy(p[len(b.kept):n], p[:n-1])
	n = n - 1 + copy(p, b.kept)
	b.kept = append(b.kept[:0], last)
	return n
}

// verdict is io.EOF for a body that is what was stored.
func (b *checkedBody) verdict() error {
	if got := sumText(b.crc.Sum64()); got != b.want {
		return fault.Internal("reading an object",
			fmt.Errorf("%s is damaged: its CRC-64/NVME is %s, stored was %s", b.key, got, b.want))
	}
	return io.EOF
}

// sumText writes a CRC the way S3 does.
func sumText(crc uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc))
}

// Stat tells what S3 has under a key.
func (s *Store) Stat(ctx context.Context, key string) (dataset.Stored, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return dataset.Stored{}, failure("asking about an object", err)
	}
	stored := dataset.Stored{SizeBytes: aws.ToInt64(out.ContentLength)}
	if sum := aws.ToString(out.ChecksumCRC64NVME); !sumOfSums(sum) {
		stored.CRC64NVME = sum
	}
	return stored, nil
}

// sumOfSums reports a checksum over the checksums of parts, which S3 marks with
// a "-".
func sumOfSums(sum string) bool { return strings.Contains(sum, "-") }

// Delete removes an object. It may be repeated.
func (s *Store) Delete(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return failure("deleting an object", err)
	}
	return nil
}
