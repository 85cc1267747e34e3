package embeddeds3

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
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

	posix      *posix.Posix
	root       string // the folder of the buckets
	attributes meta.MetadataStorer
	sidecar    string            // the folder of metadata, or "" when it is in extended attributes
	buckets    map[string]string // name to absolute path
	owner      string            // the access key that may do everything
	uploader   *UploadKey        // what may store objects as well; may be nil
	policy     []byte            // of the uploader's bucket; nil without one
	acl        []byte            // the same for every bucket: it is the owner's
	log        *slog.Logger
	created    func(bucket, key string) // may be nil
	running    inflight
	uploads    locks                         // parts share an upload's, so that one that arrives during an abort does not bring it back to life
	keys       locks                         // of "bucket/key": readers share it, what replaces or removes the object has it alone
	tree       sync.RWMutex                  // RLock: objects are being stored, in folders that may be empty yet; written by TryLock only
	syncFile   func(file, stop string) error // makeDurable; a field for tests
}

var _ backend.Backend = (*store)(nil)

// newStore makes the folders under cfg.Dir and the backend over them.
func newStore(cfg Config) (*store, error) {
	root := filepath.Join(cfg.Dir, "buckets")
	buckets := make(map[string]string, len(cfg.Buckets))
	for _, name := range cfg.Buckets {
		buckets[name] = filepath.Join(root, name)
		if cfg.ReadOnly {
			continue
		}
		// The gateway stages writes in these; without them its first writes take a
		// slower path.
		staging := filepath.Join(buckets[name], posix.MetaTmpMultipartDir)
		if err := os.MkdirAll(staging, 0o700); err != nil {
			return nil, fmt.Errorf("embedded S3: making the bucket %s: %w", name, err)
		}
	}
	attributes, sidecarDir, err := openMetadata(cfg, root)
	if err != nil {
		return nil, err
	}
	acl, err := json.Marshal(auth.ACL{Owner: cfg.AccessKey})
	if err != nil {
		return nil, fmt.Errorf("embedded S3: writing the access list: %w", err)
	}
	for name, dir := range buckets {
		if cfg.ReadOnly {
			break
		}
		if err := tidy(dir, attributes, time.Now()); err != nil {
			return nil, fmt.Errorf("embedded S3: tidying the bucket %s: %w", name, err)
		}
	}
	policy, err := cfg.UploadKey.policy()
	if err != nil {
		return nil, err
	}
	p, err := newPosix(root, attributes)
	if err != nil {
		return nil, err
	}
	return &store{
		owner: cfg.AccessKey, uploader: cfg.UploadKey, policy: policy,
		posix: p, root: root, attributes: attributes, sidecar: sidecarDir, buckets: buckets, acl: acl,
		log: cfg.Logger, created: cfg.OnObjectCreated, syncFile: makeDurable,
	}, nil
}

// openMetadata finds where the metadata of objects is, or goes.
func openMetadata(cfg Config, root string) (storer meta.MetadataStorer, dir string, err error) {
	sidecarDir := filepath.Join(cfg.Dir, "metadata")
	if cfg.ReadOnly {
		return metadataThere(sidecarDir)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, "", fmt.Errorf("embedded S3: making the folder of the buckets: %w", err)
	}
	return chooseMetadata(root, sidecarDir, cfg.Logger)
}

// String names the backend in the gateway's logs.
func (s *store) String() string { return "Parqueue object store" }

// Shutdown closes the file backend.
func (s *store) Shutdown() { s.posix.Shutdown() }

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

// begin translates a bucket and counts a request that uses it, which must be the
// owner's.
func (s *store) begin(ctx context.Context, bucket *string) (path *string, end func(), err error) {
	if err := s.requireOwner(ctx); err != nil {
		return nil, nil, err
	}
	return s.count(bucket)
}

// beginObject is begin for an operation on one object.
func (s *store) beginObject(ctx context.Context, bucket, key *string) (path *string, end func(), err error) {
	if err := cmp.Or(s.requireOwner(ctx), checkKey(aws.ToString(key))); err != nil {
		return nil, nil, err
	}
	return s.count(bucket)
}

// beginUpload is begin for the operations that the upload key may do as well.
func (s *store) beginUpload(ctx context.Context, bucket, key *string) (path *string, end func(), err error) {
	if err := cmp.Or(s.requireUploader(ctx, aws.ToString(bucket), aws.ToString(key)), checkKey(aws.ToString(key))); err != nil {
		return nil, nil, err
	}
	return s.count(bucket)
}

// beginParts is beginUpload for an operation on an upload in parts.
func (s *store) beginParts(ctx context.Context, bucket, key, id *string) (path *string, end func(), err error) {
	path, end, err = s.beginUpload(ctx, bucket, key)
	if err == nil {
		if err = checkUploadID(aws.ToString(id)); err != nil {
			end()
		}
	}
	return path, end, err
}

// count translates a bucket and counts a request that uses it.
func (s *store) count(bucket *string) (path *string, end func(), err error) {
	path, err = s.path(bucket)
	if err != nil {
		return nil, nil, err
	}
	return path, s.running.begin(), nil
}

// checkKey refuses keys that the file backend could take for another one: to it
// a//b, a/./b and c/../a/b are a/b.
func checkKey(key string) error {
	segments := strings.Split(key, "/")
	for _, segment := range segments {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsRune(segment, 0) {
			return errKey
		}
	}
	if segments[0] == posix.MetaTmpDir {
		return errKey
	}
	return nil
}

var errKey = s3err.APIError{ //nolint:gochecknoglobals // a constant
	Code: "InvalidArgument", HTTPStatusCode: http.StatusBadRequest,
	Description: "This store takes no key that has an empty segment, the segment . or .., or " + posix.MetaTmpDir + " as its first one.",
}

// checkUploadID refuses what is no id of an upload, which is a UUID in its usual
// form. The file backend takes every id for the name of a folder: to it
// ../../../files is an upload whose parts are all objects under files.
func checkUploadID(id string) error {
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return s3err.GetNoSuchUploadErr(strings.Clone(id)) // see locks.enter
	}
	return nil
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

// durable puts an object that was just linked on disk.
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
	return nil
}

// tell passes on that an object was stored, to whoever asked to know.
func (s *store) tell(bucket, key string) {
	if s.created != nil {
		s.created(strings.Clone(bucket), strings.Clone(key)) // see locks.enter
	}
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
func (s *store) ListBuckets(ctx context.Context, _ s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	var out s3response.ListAllMyBucketsResult
	if err := s.requireOwner(ctx); err != nil {
		return out, err
	}
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
func (s *store) HeadBucket(ctx context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	if err := s.requireOwner(ctx); err != nil {
		return nil, err
	}
	_, err := s.path(in.Bucket)
	return &s3.HeadBucketOutput{}, err
}

// GetBucketAcl is asked before every other operation on a bucket.
func (s *store) GetBucketAcl(_ context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	_, err := s.path(in.Bucket)
	return s.acl, err
}

// The gateway asks for these before it does other things. There are none.

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

// PutObject stores an object and returns when it is on disk. Nobody reads or
// removes it before that.
func (s *store) PutObject(ctx context.Context, in s3response.PutObjectInput) (_ s3response.PutObjectOutput, err error) {
	defer func(body io.Reader) { readRefused(body, err) }(in.Body)
	path, end, err := s.beginUpload(ctx, in.Bucket, in.Key)
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	defer end()
	bucket, key := *in.Bucket, *in.Key
	in.Bucket = path
	in.ContentEncoding = withoutChunked(in.ContentEncoding)
	in.Body = whole(in.Body, in.ContentLength)
	out, err := s.publish(ctx, bucket, in)
	if err != nil {
		return out, err
	}
	s.tell(bucket, key)
	return out, nil
}

// publish stores an object. Its key is locked from the time when all of the body
// is there, so that slow clients lock nobody out.
func (s *store) publish(ctx context.Context, bucket string, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	path, key := *in.Bucket, *in.Key
	s.tree.RLock()
	defer s.tree.RUnlock()
	release := func() {}
	defer func() { release() }()
	out, err := s.posix.PutObjectWithPostFunc(ctx, in, func(*os.File) error {
		release = s.keys.alone(bucket + "/" + key)
		return nil
	})
	if err != nil {
		return out, s.answerPut(path, err)
	}
	return out, s.durable(bucket, path, key)
}

// GetObject opens an object or a part of it.
func (s *store) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	path, end, err := s.beginObject(ctx, in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	at := *in
	at.Bucket = path
	// The backend looks at the metadata of what has the name, and then opens it.
	release := s.keys.shared(*in.Bucket + "/" + *in.Key)
	out, err := s.posix.GetObject(ctx, &at)
	release()
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
	path, end, err := s.beginObject(ctx, in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	defer end()
	defer s.keys.shared(*in.Bucket + "/" + *in.Key)()
	at := *in
	at.Bucket = path
	out, err := s.posix.HeadObject(ctx, &at)
	return out, s.answer("describing an object", err)
}

// GetObjectAttributes describes an object in more detail.
func (s *store) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	path, end, err := s.beginObject(ctx, in.Bucket, in.Key)
	if err != nil {
		return s3response.GetObjectAttributesResponse{}, err
	}
	defer end()
	defer s.keys.shared(*in.Bucket + "/" + *in.Key)()
	at := *in
	at.Bucket = path
	out, err := s.posix.GetObjectAttributes(ctx, &at)
	return out, s.answer("describing an object", err)
}

// ListObjects lists a bucket, the old way.
func (s *store) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	path, end, err := s.begin(ctx, in.Bucket)
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
	path, end, err := s.begin(ctx, in.Bucket)
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
	path, end, err := s.beginUpload(ctx, in.Bucket, in.Key)
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
func (s *store) UploadPart(ctx context.Context, in *s3.UploadPartInput) (_ *s3.UploadPartOutput, err error) {
	defer func() { readRefused(in.Body, err) }()
	path, end, err := s.beginParts(ctx, in.Bucket, in.Key, in.UploadId)
	if err != nil {
		return nil, err
	}
	defer end()
	defer s.uploads.shared(*in.UploadId)()
	at := *in
	at.Bucket, at.Body = path, whole(in.Body, in.ContentLength)
	out, err := s.posix.UploadPart(ctx, &at)
	return out, s.answer("storing a part", err)
}

// CompleteMultipartUpload makes the parts an object and returns when it is on
// disk.
func (s *store) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	path, end, err := s.beginParts(ctx, in.Bucket, in.Key, in.UploadId)
	if err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	defer end()
	defer s.uploads.alone(*in.UploadId)()
	at := *in
	at.Bucket = path
	out, version, err := s.join(ctx, *in.Bucket, &at)
	out.Bucket = in.Bucket
	if err != nil {
		return out, version, err
	}
	s.tell(*in.Bucket, *in.Key)
	return out, version, nil
}

// join is publish for an object in parts.
func (s *store) join(ctx context.Context, bucket string, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	defer s.keys.alone(bucket + "/" + *in.Key)()
	s.tree.RLock()
	defer s.tree.RUnlock()
	if in.MultipartUpload == nil {
		return s3response.CompleteMultipartUploadResult{}, "", s3err.GetAPIError(s3err.ErrInvalidRequest)
	}
	joined := partsOnDisk{left: len(in.MultipartUpload.Parts), sync: (*os.File).Sync}
	out, version, err := s.posix.CompleteMultipartUploadWithCopy(ctx, in, joined.copy)
	if err != nil {
		return out, version, s.answer("completing an upload", cmp.Or(joined.err, err))
	}
	return out, version, s.durable(bucket, *in.Bucket, *in.Key)
}

// AbortMultipartUpload throws the parts away, once those on their way have arrived.
func (s *store) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	path, end, err := s.beginParts(ctx, in.Bucket, in.Key, in.UploadId)
	if err != nil {
		return err
	}
	defer end()
	defer s.uploads.alone(*in.UploadId)()
	at := *in
	at.Bucket = path
	return s.answer("aborting an upload", s.posix.AbortMultipartUpload(ctx, &at))
}

// ListParts lists the parts of an upload that arrived.
func (s *store) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	path, end, err := s.beginObject(ctx, in.Bucket, in.Key)
	if err != nil {
		return s3response.ListPartsResult{}, err
	}
	defer end()
	if err := checkUploadID(aws.ToString(in.UploadId)); err != nil {
		return s3response.ListPartsResult{}, err
	}
	at := *in
	at.Bucket = path
	out, err := s.posix.ListParts(ctx, &at)
	out.Bucket = *in.Bucket
	return out, s.answer("listing parts", err)
}
