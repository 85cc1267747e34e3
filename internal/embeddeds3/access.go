package embeddeds3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
)

// UploadKey is a key that may store objects under a prefix of one bucket, whole
// or in parts, in place of others there and of its own, and may give parts up
// again. It may do nothing else: not read, list or remove anything, not even what
// it has stored. On S3 its policy would allow s3:PutObject and
// s3:AbortMultipartUpload on that prefix.
type UploadKey struct {
	AccessKey, SecretKey string
	Bucket               string // one of the server's
	Prefix               string // of keys; it ends with a slash
}

// check refuses a key that could do more than it should, or nothing.
func (k *UploadKey) check(c *Config) error {
	switch {
	case k == nil:
		return nil
	case k.AccessKey == "" || k.SecretKey == "" || k.AccessKey == c.AccessKey:
		return errors.New("embedded S3: the upload key needs an access key of its own and a secret key")
	case !slices.Contains(c.Buckets, k.Bucket):
		return fmt.Errorf("embedded S3: the upload key's bucket %q is not one of the server's", k.Bucket)
	case !strings.HasSuffix(k.Prefix, "/") || checkKey(k.Prefix+"x") != nil || strings.ContainsAny(k.Prefix, "*?"):
		return fmt.Errorf("embedded S3: the upload key's prefix %q is not a path that ends with a slash", k.Prefix)
	}
	return nil
}

// policy says to the gateway what the key may do.
func (k *UploadKey) policy() ([]byte, error) {
	if k == nil {
		return nil, nil
	}
	type statement struct {
		Effect    string
		Principal map[string]string
		Action    []string
		Resource  string
	}
	text, err := json.Marshal(map[string]any{
		"Version": "2012-10-17",
		"Statement": []statement{{
			Effect:    "Allow",
			Principal: map[string]string{"AWS": k.AccessKey},
			Action:    []string{string(auth.PutObjectAction), string(auth.AbortMultipartUploadAction)},
			Resource:  "arn:aws:s3:::" + k.Bucket + "/" + k.Prefix + "*",
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("embedded S3: writing the upload key's policy: %w", err)
	}
	return text, nil
}

// accounts knows the upload key alone. The owner's key the gateway checks
// itself.
type accounts struct {
	auth.IAMService // of a gateway that has the one account
	uploader        *UploadKey
}

// GetUserAccount answers in the words that become InvalidAccessKeyId where there
// is no such key.
func (a accounts) GetUserAccount(access string) (auth.Account, error) {
	if a.uploader == nil || access != a.uploader.AccessKey {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return auth.Account{Access: a.uploader.AccessKey, Secret: a.uploader.SecretKey, Role: auth.RoleUser}, nil
}

// The gateway checks by the policy below whether a key may do what it asks for.
// The store checks again whether it may do what it is about to do: a handler of
// the gateway that forgets to ask, or asks about another key, gives nothing away.

// GetBucketPolicy gives the gateway what the upload key may do with a bucket.
func (s *store) GetBucketPolicy(_ context.Context, bucket string) ([]byte, error) {
	if s.uploader == nil || bucket != s.uploader.Bucket {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchBucketPolicy)
	}
	return s.policy, nil
}

// NormalizeObjectKey gives the key that the policy is asked about, which is the
// one that the file backend would use.
func (s *store) NormalizeObjectKey(_, object string) string {
	return strings.TrimPrefix(path.Clean("/"+object), "/")
}

// accessKey is the one that signed a request.
func accessKey(ctx context.Context) string {
	account, _ := ctx.Value("account").(auth.Account) // where the gateway puts it
	return account.Access
}

// requireOwner refuses every key but the owner's.
func (s *store) requireOwner(ctx context.Context) error {
	if accessKey(ctx) != s.owner {
		return s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	return nil
}

// requireUploader refuses every key but the owner's and, for objects under its
// prefix, the upload key.
func (s *store) requireUploader(ctx context.Context, bucket, key string) error {
	k := s.uploader
	if k != nil && accessKey(ctx) == k.AccessKey && bucket == k.Bucket && strings.HasPrefix(s.NormalizeObjectKey(bucket, key), k.Prefix) {
		return nil
	}
	return s.requireOwner(ctx)
}
