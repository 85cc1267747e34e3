package embeddeds3

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// The gateway's own removal is not used: it compares the ETag of an object and
// then removes the one that has taken its place, and it removes a folder in which
// another object is just being stored.

// DeleteObject removes an object; one that isn't there is no error, unless the
// request names an ETag that it must have. Unlike a write, a removal may be
// undone by a loss of power.
func (s *store) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	path, end, err := s.beginObject(ctx, in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	defer end()
	defer s.keys.alone(*in.Bucket + "/" + *in.Key)()
	at := *in
	at.Bucket = path
	if err := s.mayDelete(ctx, &at); err != nil {
		return nil, s.answer("deleting an object", err)
	}
	return &s3.DeleteObjectOutput{}, s.answer("deleting an object", s.remove(*path, *in.Key))
}

// mayDelete evaluates the conditions of a removal.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
func (s *store) mayDelete(ctx context.Context, in *s3.DeleteObjectInput) error {
	if in.IfMatch == nil && in.IfMatchLastModifiedTime == nil && in.IfMatchSize == nil {
		return nil
	}
	head, err := s.posix.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key})
	if err != nil {
		return err
	}
	if aws.ToString(in.IfMatch) == "*" {
		in.IfMatch = nil
	}
	return backend.EvaluateObjectDeletePreconditions(aws.ToString(head.ETag), aws.ToTime(head.LastModified), aws.ToInt64(head.ContentLength),
		backend.ObjectDeletePreconditions{IfMatch: in.IfMatch, IfMatchLastModTime: in.IfMatchLastModifiedTime, IfMatchSize: in.IfMatchSize})
}

// remove removes an object's file, its metadata, and the folders that held
// nothing else. Its caller has locked the key.
func (s *store) remove(path, key string) error {
	file := filepath.Join(path, filepath.FromSlash(key))
	switch info, err := os.Lstat(file); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular(): // a folder of objects, which is none itself
		return nil
	}
	if err := errors.Join(os.Remove(file), s.attributes.DeleteAttributes(path, key)); err != nil {
		return err
	}
	// Somebody who is storing something may have made a folder for it. Then empty
	// ones are left, which does no harm.
	if s.tree.TryLock() {
		defer s.tree.Unlock()
		for dir := filepath.Dir(file); dir != path && os.Remove(dir) == nil; {
			dir = filepath.Dir(dir)
		}
	}
	return nil
}

// DeleteObjects removes several objects, each as DeleteObject does, and says
// which it did not remove.
func (s *store) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	var out s3response.DeleteResult
	for _, o := range in.Delete.Objects {
		one := &s3.DeleteObjectInput{
			Bucket: in.Bucket, Key: o.Key, IfMatchLastModifiedTime: o.LastModifiedTime, IfMatchSize: o.Size,
		}
		if o.ETag != nil {
			one.IfMatch = aws.String(strings.Trim(*o.ETag, `"`))
		}
		if _, err := s.DeleteObject(ctx, one); err != nil {
			out.Error = append(out.Error, s3err.ObjectDeleteError(o.Key, o.VersionId, err))
			continue
		}
		out.Deleted = append(out.Deleted, types.DeletedObject{Key: o.Key})
	}
	return out, nil
}
