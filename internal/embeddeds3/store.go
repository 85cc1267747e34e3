package embeddeds3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// store is what the gateway serves: its own file backend behind a list of the
// operations that a store of immutable objects needs. All others are answered
// with 501 NotImplemented by the embedded BackendUnsupported, so that nothing
// is reachable that nobody tested.
//
// The gateway knows buckets by name and the file backend by absolute path (see
// newPosix); every method translates.
type store struct {
	backend.BackendUnsupported

	posix    *posix.Posix
	root     string            // the folder of the buckets
	sidecar  string            // the folder of metadata, or "" when it is in extended attributes
	buckets  map[string]string // name to absolute path
	acl      []byte            // the same for every bucket: owned by the one account there is
	log      *slog.Logger
	created  func(bucket, key string) // may be nil
	running  inflight
	uploads  uploadLocks
	syncFile func(file, stop string) error // makeDurable; a field for tests
}

var _ backend.Backend = (*store)(nil)

// newStore makes the folders under cfg.Dir and the backend over them.
func newStore(cfg Config) (*store, error) {
	root := filepath.Join(cfg.Dir, "buckets")
	buckets := make(map[string]string, len(cfg.Buckets))
	for _, name := range cfg.Buckets {
		buckets[name] = filepath.Join(root, name)
		// The gateway stages writes in these; without them its first writes take a
		// slower path.
		staging := filepath.Join(buckets[name], posix.MetaTmpMultipartDir)
		if err := os.MkdirAll(staging, 0o700); err != nil {
			return nil, fmt.Errorf("embedded S3: making the bucket %s: %w", name, err)
		}
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("embedded S3: making the folder of the buckets: %w", err)
	}
	attributes, sidecarDir, err := chooseMetadata(root, filepath.Join(cfg.Dir, "metadata"), cfg.Logger)
	if err != nil {
		return nil, err
	}
	acl, err := json.Marshal(auth.ACL{Owner: cfg.AccessKey})
	if err != nil {
		return nil, fmt.Errorf("embedded S3: writing the access list: %w", err)
	}
	for name, dir := range buckets {
		if err := tidy(filepath.Join(dir, posix.MetaTmpDir), time.Now()); err != nil {
			return nil, fmt.Errorf("embedded S3: tidying the bucket %s: %w", name, err)
		}
	}
	p, err := newPosix(root, attributes)
	if err != nil {
		return nil, err
	}
	return &store{
		posix: p, root: root, sidecar: sidecarDir, buckets: buckets, acl: acl,
		log: cfg.Logger, created: cfg.OnObjectCreated, syncFile: makeDurable,
	}, nil
}

// String names the backend in the gateway's logs.
func (s *store) String() string { return "Parqueue object store" }

// Shutdown closes the file backend.
func (s *store) Shutdown() { s.posix.Shutdown() }

// NormalizeObjectKey is for bucket policies, of which there are none.
func (s *store) NormalizeObjectKey(_, object string) string { return object }

// path translates the name of a bucket.
func (s *store) path(bucket *string) (*string, error) {
	if bucket == nil {
		return nil, s3err.GetAPIError(s3err.ErrInvalidRequest)
	}
	p, ok := s.buckets[*bucket]
	if !ok {
		return nil, s3err.GetBucketErr(s3err.ErrNoSuchBucket, *bucket)
	}
	return &p, nil
}

// begin translates a bucket and counts a request that uses it.
func (s *store) begin(bucket *string) (path *string, end func(), err error) {
	path, err = s.path(bucket)
	if err != nil {
		return nil, nil, err
	}
	return path, s.running.begin(), nil
}

// answer makes an error one that S3 clients know. What they don't know is
// logged here and answered as InternalError.
func (s *store) answer(doing string, err error) error {
	if err == nil {
		return nil
	}
	if isFull(err) {
		return s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
	}
	var known s3err.S3Error
	if errors.As(err, &known) {
		return known
	}
	s.log.Error("embedded S3: "+doing, "error", err)
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// isFull recognises every way in which the gateway says that there is no room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		errors.Is(err, s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)) ||
		errors.Is(err, s3err.GetAPIError(s3err.ErrQuotaExceeded))
}

// answerPut is answer for PutObject, in which the gateway reports every
// failure to make or link a file as a directory that is in the way. Keys here
// never are directories, so it asks the file system what it was.
func (s *store) answerPut(bucketPath string, err error) error {
	if !errors.Is(err, s3err.GetAPIError(s3err.ErrExistingObjectIsDirectory)) {
		return s.answer("storing an object", err)
	}
	f, probe := os.CreateTemp(filepath.Join(bucketPath, posix.MetaTmpDir), "probe")
	if probe == nil {
		_, probe = f.Write(make([]byte, 8<<10))
		probe = errors.Join(probe, f.Close(), os.Remove(f.Name()))
	}
	if probe != nil {
		return s.answer("storing an object", probe)
	}
	return err
}

// durable puts an object that was just linked on disk, then tells whoever
// asked to know.
func (s *store) durable(bucket, bucketPath, key string) error {
	err := s.syncFile(filepath.Join(bucketPath, filepath.FromSlash(key)), s.root)
	if err == nil && s.sidecar != "" {
		err = makeFolderDurable(filepath.Join(s.sidecar, bucket, filepath.FromSlash(key), "meta"), s.sidecar)
	}
	if isMissing(err) {
		// The gateway answers the repetition of a request to complete an upload with
		// success while the first is still at work. The caller has to come back.
		return s3err.GetAPIError(s3err.ErrSlowDown)
	}
	if err != nil {
		return s.answer("syncing an object", err)
	}
	if s.created != nil {
		s.created(strings.Clone(bucket), strings.Clone(key)) // see uploadLocks.enter
	}
	return nil
}

// withoutChunked removes the name of the transfer's framing, which the gateway
// would keep as if it were an encoding of the object.
func withoutChunked(encoding *string) *string {
	if encoding == nil {
		return nil
	}
	kept := slices.DeleteFunc(strings.Split(*encoding, ","), func(e string) bool {
		return strings.EqualFold(strings.TrimSpace(e), "aws-chunked")
	})
	joined := strings.TrimSpace(strings.Join(kept, ","))
	return &joined
}

// ListBuckets lists the buckets of the configuration.
func (s *store) ListBuckets(context.Context, s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	var out s3response.ListAllMyBucketsResult
	for name, path := range s.buckets {
		info, err := os.Stat(path)
		if err != nil {
			return out, s.answer("listing buckets", err)
		}
		out.Buckets.Bucket = append(out.Buckets.Bucket,
			s3response.ListAllMyBucketsEntry{Name: name, CreationDate: info.ModTime()})
	}
	slices.SortFunc(out.Buckets.Bucket, func(a, b s3response.ListAllMyBucketsEntry) int {
		return strings.Compare(a.Name, b.Name)
	})
	return out, nil
}

// HeadBucket says whether a bucket exists.
func (s *store) HeadBucket(_ context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	_, err := s.path(in.Bucket)
	return &s3.HeadBucketOutput{}, err
}

// GetBucketAcl is asked before every other operation on a bucket.
func (s *store) GetBucketAcl(_ context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	_, err := s.path(in.Bucket)
	return s.acl, err
}

// The gateway asks for these before it does other things. There are none.

func (s *store) GetBucketPolicy(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchBucketPolicy)
}

func (s *store) GetBucketCors(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchCORSConfiguration)
}

func (s *store) GetBucketVersioning(context.Context, string) (s3response.GetBucketVersioningOutput, error) {
	return s3response.GetBucketVersioningOutput{}, nil
}

func (s *store) GetObjectLockConfiguration(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotFound)
}

func (s *store) GetObjectRetention(context.Context, string, string, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchObjectLockConfiguration)
}

func (s *store) GetObjectLegalHold(context.Context, string, string, string) (*bool, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchObjectLockConfiguration)
}

// PutObject stores an object and returns when it is on disk.
func (s *store) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	defer end()
	bucket := *in.Bucket
	in.Bucket = path
	in.ContentEncoding = withoutChunked(in.ContentEncoding)
	out, err := s.posix.PutObject(ctx, in)
	if err != nil {
		return out, s.answerPut(*path, err)
	}
	return out, s.durable(bucket, *path, *in.Key)
}

// GetObject opens an object or a part of it.
func (s *store) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return nil, err
	}
	at := *in
	at.Bucket = path
	out, err := s.posix.GetObject(ctx, &at)
	if err != nil || out == nil || out.Body == nil {
		end()
		return out, s.answer("reading an object", err)
	}
	// The gateway sends the body after this returns.
	out.Body = countedBody{out.Body, end}
	return out, nil
}

// countedBody ends the counting of a request when its body has been sent.
type countedBody struct {
	io.ReadCloser
	end func()
}

func (b countedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// HeadObject describes an object.
func (s *store) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return nil, err
	}
	defer end()
	at := *in
	at.Bucket = path
	out, err := s.posix.HeadObject(ctx, &at)
	return out, s.answer("describing an object", err)
}

// GetObjectAttributes describes an object in more detail.
func (s *store) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return s3response.GetObjectAttributesResponse{}, err
	}
	defer end()
	at := *in
	at.Bucket = path
	out, err := s.posix.GetObjectAttributes(ctx, &at)
	return out, s.answer("describing an object", err)
}

// DeleteObject removes an object; one that isn't there is no error. Unlike a
// write, a removal may be undone by a loss of power.
func (s *store) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return nil, err
	}
	defer end()
	at := *in
	at.Bucket = path
	out, err := s.posix.DeleteObject(ctx, &at)
	return out, s.answer("deleting an object", err)
}

// DeleteObjects removes several objects.
func (s *store) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return s3response.DeleteResult{}, err
	}
	defer end()
	at := *in
	at.Bucket = path
	out, err := s.posix.DeleteObjects(ctx, &at)
	return out, s.answer("deleting objects", err)
}

// ListObjects lists a bucket, the old way.
func (s *store) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return s3response.ListObjectsResult{}, err
	}
	defer end()
	at := *in
	at.Bucket = path
	out, err := s.posix.ListObjects(ctx, &at)
	out.Name = in.Bucket
	return out, s.answer("listing objects", err)
}

// ListObjectsV2 lists a bucket.
func (s *store) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	defer end()
	at := *in
	at.Bucket = path
	out, err := s.posix.ListObjectsV2(ctx, &at)
	out.Name = in.Bucket
	return out, s.answer("listing objects", err)
}

// CreateMultipartUpload begins an upload in parts.
func (s *store) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return s3response.InitiateMultipartUploadResult{}, err
	}
	defer end()
	bucket := *in.Bucket
	in.Bucket = path
	in.ContentEncoding = withoutChunked(in.ContentEncoding)
	out, err := s.posix.CreateMultipartUpload(ctx, in)
	out.Bucket = bucket
	return out, s.answer("creating an upload", err)
}

// UploadPart stores a part. It survives the process; a loss of power may take
// it until its upload is completed, and completing then fails.
func (s *store) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return nil, err
	}
	defer end()
	defer s.uploads.shared(*in.UploadId)()
	at := *in
	at.Bucket = path
	out, err := s.posix.UploadPart(ctx, &at)
	return out, s.answer("storing a part", err)
}

// CompleteMultipartUpload makes the parts an object and returns when it is on
// disk.
func (s *store) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	defer end()
	defer s.uploads.alone(*in.UploadId)()
	at := *in
	at.Bucket = path
	out, version, err := s.posix.CompleteMultipartUpload(ctx, &at)
	out.Bucket = in.Bucket
	if err != nil {
		return out, version, s.answer("completing an upload", err)
	}
	return out, version, s.durable(*in.Bucket, *path, *in.Key)
}

// AbortMultipartUpload throws the parts away, once those on their way have arrived.
func (s *store) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return err
	}
	defer end()
	defer s.uploads.alone(*in.UploadId)()
	at := *in
	at.Bucket = path
	return s.answer("aborting an upload", s.posix.AbortMultipartUpload(ctx, &at))
}

// ListMultipartUploads lists the uploads that are neither completed nor aborted.
func (s *store) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return s3response.ListMultipartUploadsResult{}, err
	}
	defer end()
	at := *in
	at.Bucket = path
	out, err := s.posix.ListMultipartUploads(ctx, &at)
	out.Bucket = *in.Bucket
	return out, s.answer("listing uploads", err)
}

// ListParts lists the parts of an upload that arrived.
func (s *store) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	path, end, err := s.begin(in.Bucket)
	if err != nil {
		return s3response.ListPartsResult{}, err
	}
	defer end()
	at := *in
	at.Bucket = path
	out, err := s.posix.ListParts(ctx, &at)
	out.Bucket = *in.Bucket
	return out, s.answer("listing parts", err)
}
