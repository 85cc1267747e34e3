package embeddeds3_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/parqueue/parqueue/internal/embeddeds3"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// uploader is a client with the upload key.
func uploader(s *embeddeds3test.Store) *s3.Client {
	cfg := s.Config()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(s.UploadKey.AccessKey, s.UploadKey.SecretKey, "")
	return objectstore.NewClient(cfg, s.Endpoint)
}

// put stores an object as the owner.
func put(t *testing.T, s *embeddeds3test.Store, bucket, key, body string) {
	t.Helper()
	if _, err := s.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
}

// contents are all objects of both buckets with their ETags.
func contents(t *testing.T, s *embeddeds3test.Store) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, bucket := range []string{embeddeds3test.Bucket, embeddeds3test.Inbox} {
		out, err := s.Client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out.Contents {
			found[bucket+"/"+*o.Key] = *o.ETag
		}
	}
	return found
}

// status is that of an answer; 200 for no error.
func status(err error) int {
	var response *smithyhttp.ResponseError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &response):
		return response.HTTPStatusCode()
	default:
		return 0
	}
}

// fetch sends a request with a presigned URL.
func fetch(ctx context.Context, r *v4.PresignedHTTPRequest, err error) error {
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader("x"))
	if err != nil {
		return err
	}
	if r.Method != http.MethodPut {
		request.Body, request.ContentLength = nil, 0
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 == 2 {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: response}, Err: errors.Join(err, fmt.Errorf("%s", body))}
}

// Every operation of S3 that a client could try, with both keys: the upload key
// may store objects under its prefix, and nothing else.
func TestUploadKeyMayOnlyUpload(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	data, inbox := aws.String(embeddeds3test.Bucket), aws.String(embeddeds3test.Inbox)
	const old, rejected, file = "incoming/d/old", "rejected/d/old", "files/t/00/file"
	put(t, s, *data, file, "data")
	put(t, s, *inbox, old, "old")
	put(t, s, *inbox, rejected, "rejected")
	begin := func(bucket *string, key string) *string {
		out, err := s.Client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		return out.UploadId
	}
	source := func(bucket *string, key string) *string { return aws.String(*bucket + "/" + key) }
	body := func() io.Reader { return strings.NewReader("x") }

	type call = func(context.Context, *s3.Client) error
	puts := func(bucket *string, key string) call {
		return func(ctx context.Context, c *s3.Client) error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: body()})
			return err
		}
	}
	partsTo := func(bucket *string, key string) call {
		return func(ctx context.Context, c *s3.Client) error {
			created, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
			if err != nil {
				return err
			}
			part, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: &key, UploadId: created.UploadId, PartNumber: aws.Int32(1), Body: body()})
			if err != nil {
				return err
			}
			_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
				Bucket: bucket, Key: &key, UploadId: created.UploadId,
				MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag}}},
			})
			return err
		}
	}
	partOf := func(bucket *string, key string) call {
		return func(ctx context.Context, c *s3.Client) error {
			_, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: &key, UploadId: begin(bucket, key), PartNumber: aws.Int32(1), Body: body()})
			return err
		}
	}
	aborts := func(bucket *string, key string) call {
		return func(ctx context.Context, c *s3.Client) error {
			_, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: &key, UploadId: begin(bucket, key)})
			return err
		}
	}
	gets := func(bucket *string, key string) call {
		return func(ctx context.Context, c *s3.Client) error {
			out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key})
			if err == nil {
				_ = out.Body.Close()
			}
			return err
		}
	}
	copies := func(from *string, bucket *string, key string) call {
		return func(ctx context.Context, c *s3.Client) error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: &key, CopySource: from})
			return err
		}
	}
	const both, owner, nobody = 2, 1, 0 // whose key is served
	for name, tc := range map[string]struct {
		who    int
		do     call
		denied int // as what the upload key is; 403 if not set
	}{
		"PutObject":                      {both, puts(inbox, "incoming/d/new"), 0},
		"PutObject, in place of another": {both, puts(inbox, old), 0},
		"PutObject, deep":                {both, puts(inbox, "incoming/d/e/f/new"), 0},
		"PutObject beside the prefix":    {owner, puts(inbox, "incoming2/d/new"), 0},
		"PutObject, the prefix itself":   {owner, puts(inbox, "outgoing"), 0},
		"PutObject under another prefix": {owner, puts(inbox, "rejected/d/new"), 0},
		"PutObject to another bucket":    {owner, puts(data, "incoming/d/new"), 0},
		"PutObject with tags": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: inbox, Key: aws.String("incoming/d/tagged"), Body: body(), Tagging: aws.String("a=b")})
			return err
		}, 0},
		"parts":                                     {both, partsTo(inbox, "incoming/d/parts"), 0},
		"parts under another prefix":                {owner, partsTo(inbox, "rejected/d/parts"), 0},
		"parts to another bucket":                   {owner, partsTo(data, "incoming/d/parts"), 0},
		"UploadPart":                                {both, partOf(inbox, "incoming/d/part"), 0},
		"UploadPart under another prefix":           {owner, partOf(inbox, "rejected/d/part"), 0},
		"UploadPart to another bucket":              {owner, partOf(data, "incoming/d/part"), 0},
		"AbortMultipartUpload":                      {both, aborts(inbox, "incoming/d/abort"), 0},
		"AbortMultipartUpload under another prefix": {owner, aborts(inbox, "rejected/d/abort"), 0},
		"AbortMultipartUpload in another bucket":    {owner, aborts(data, "incoming/d/abort"), 0},
		"CompleteMultipartUpload in another bucket": {owner, func(ctx context.Context, c *s3.Client) error {
			key, id := aws.String("files/t/00/joined"), begin(data, "files/t/00/joined")
			part, err := s.Client.UploadPart(ctx, &s3.UploadPartInput{Bucket: data, Key: key, UploadId: id, PartNumber: aws.Int32(1), Body: body()})
			if err != nil {
				return err
			}
			_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
				Bucket: data, Key: key, UploadId: id,
				MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag}}},
			})
			return err
		}, 0},

		"GetObject":                      {owner, gets(inbox, old), 0},
		"GetObject under another prefix": {owner, gets(inbox, rejected), 0},
		"GetObject of another bucket":    {owner, gets(data, file), 0},
		"HeadObject": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: inbox, Key: aws.String(old)})
			return err
		}, 0},
		"HeadObject of another bucket": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: data, Key: aws.String(file)})
			return err
		}, 0},
		"GetObjectAttributes": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{
				Bucket: inbox, Key: aws.String(old), ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag},
			})
			return err
		}, 0},
		"GetObjectTagging": {nobody, func(ctx context.Context, c *s3.Client) error {
			_, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: inbox, Key: aws.String(old)})
			return err
		}, 0},
		"ListBuckets": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.ListBuckets(ctx, &s3.ListBucketsInput{})
			return err
		}, 0},
		"HeadBucket": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: inbox})
			return err
		}, 0},
		"HeadBucket of another": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: data})
			return err
		}, 0},
		"ListObjects": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: inbox, Prefix: aws.String("incoming/")})
			return err
		}, 0},
		"ListObjectsV2": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: inbox, Prefix: aws.String("incoming/")})
			return err
		}, 0},
		"ListObjectsV2 of another bucket": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: data})
			return err
		}, 0},
		"ListObjectVersions": {nobody, func(ctx context.Context, c *s3.Client) error {
			_, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: inbox})
			return err
		}, 0},
		"ListMultipartUploads": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: inbox})
			return err
		}, 0},
		"ListParts": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: inbox, Key: aws.String("incoming/d/listed"), UploadId: begin(inbox, "incoming/d/listed")})
			return err
		}, 0},

		"DeleteObject": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: inbox, Key: aws.String("incoming/d/none")})
			return err
		}, 0},
		"DeleteObject in another bucket": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: data, Key: aws.String("files/t/00/none")})
			return err
		}, 0},
		"PutObjectTagging": {nobody, func(ctx context.Context, c *s3.Client) error {
			_, err := c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{
				Bucket: inbox, Key: aws.String(old), Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}},
			})
			return err
		}, 0},
		"PutObjectAcl": {nobody, func(ctx context.Context, c *s3.Client) error {
			_, err := c.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: inbox, Key: aws.String(old), ACL: types.ObjectCannedACLPrivate})
			return err
		}, 0},

		"CopyObject within the prefix":     {owner, copies(source(inbox, old), inbox, "incoming/d/copy"), 0},
		"CopyObject of another bucket":     {owner, copies(source(data, file), inbox, "incoming/d/copy"), 0},
		"CopyObject from another prefix":   {owner, copies(source(inbox, rejected), inbox, "incoming/d/copy"), 0},
		"CopyObject to another prefix":     {owner, copies(source(inbox, old), inbox, "rejected/d/copy"), 0},
		"CopyObject, an encoded source":    {owner, copies(aws.String(*data+"%2Ffiles%2Ft%2F00%2Ffile"), inbox, "incoming/d/copy"), 0},
		"CopyObject, a source with a path": {nobody, copies(aws.String(*inbox+"/incoming/../../"+*data+"/"+file), inbox, "incoming/d/copy"), http.StatusBadRequest},
		"UploadPartCopy": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
				Bucket: inbox, Key: aws.String("incoming/d/part"), UploadId: begin(inbox, "incoming/d/part"), PartNumber: aws.Int32(1), CopySource: source(data, file),
			})
			return err
		}, 0},

		"GetBucketPolicy": {owner, func(ctx context.Context, c *s3.Client) error {
			_, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: inbox})
			return err
		}, 0},
		"PutBucketPolicy": {nobody, func(ctx context.Context, c *s3.Client) error {
			_, err := c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: inbox, Policy: aws.String(
				`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::` + *inbox + `/*"]}]}`)})
			return err
		}, 0},
		"DeleteBucketPolicy": {nobody, func(ctx context.Context, c *s3.Client) error {
			_, err := c.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: inbox})
			return err
		}, 0},
		"CreateBucket": {nobody, func(ctx context.Context, c *s3.Client) error {
			_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("parqueue-mine")})
			return err
		}, 0},
		"DeleteBucket": {nobody, func(ctx context.Context, c *s3.Client) error {
			_, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: inbox})
			return err
		}, 0},
		"PutBucketVersioning": {nobody, func(ctx context.Context, c *s3.Client) error {
			_, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
				Bucket: inbox, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
			})
			return err
		}, 0},

		"presigned PutObject": {both, func(ctx context.Context, c *s3.Client) error {
			r, err := s3.NewPresignClient(c).PresignPutObject(ctx, &s3.PutObjectInput{Bucket: inbox, Key: aws.String("incoming/d/presigned")})
			return fetch(ctx, r, err)
		}, 0},
		"presigned PutObject under another prefix": {owner, func(ctx context.Context, c *s3.Client) error {
			r, err := s3.NewPresignClient(c).PresignPutObject(ctx, &s3.PutObjectInput{Bucket: inbox, Key: aws.String("rejected/d/presigned")})
			return fetch(ctx, r, err)
		}, 0},
		"presigned GetObject": {owner, func(ctx context.Context, c *s3.Client) error {
			r, err := s3.NewPresignClient(c).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: inbox, Key: aws.String(old)})
			return fetch(ctx, r, err)
		}, 0},
		"presigned DeleteObject": {owner, func(ctx context.Context, c *s3.Client) error {
			r, err := s3.NewPresignClient(c).PresignDeleteObject(ctx, &s3.DeleteObjectInput{Bucket: data, Key: aws.String("files/t/00/none")})
			return fetch(ctx, r, err)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			// The upload key first: the owner's call must find what it would.
			err := tc.do(t.Context(), uploader(s))
			if tc.who == both && err != nil {
				t.Errorf("the upload key: %v", err)
			}
			if want := cmp.Or(tc.denied, http.StatusForbidden); tc.who != both && status(err) != want {
				t.Errorf("the upload key is answered %d (%v), want %d", status(err), err, want)
			}
			if err := tc.do(t.Context(), s.Client); (err == nil) != (tc.who != nobody) {
				t.Errorf("the owner's key: %v", err)
			}
		})
	}
	// Deleting many is answered object by object.
	out, err := uploader(s).DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: inbox, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String(old)}, {Key: aws.String(rejected)},
	}}})
	if err == nil && (len(out.Deleted) != 0 || len(out.Errors) != 2 || *out.Errors[0].Code != "AccessDenied") || err != nil && status(err) != http.StatusForbidden {
		t.Errorf("DeleteObjects = %+v, %v", out, err)
	}
	if have := contents(t, s); have[*inbox+"/"+old] == "" || have[*inbox+"/"+rejected] == "" {
		t.Errorf("left are %q", slices.Sorted(maps.Keys(have)))
	}
}

// No spelling of a path gets the upload key out of its prefix.
func TestUploadKeyStaysUnderItsPrefix(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	put(t, s, embeddeds3test.Bucket, "files/victim", "data")
	put(t, s, embeddeds3test.Inbox, "rejected/victim", "rejected")
	before := contents(t, s)
	const inbox, data = "/" + embeddeds3test.Inbox, "/" + embeddeds3test.Bucket
	for _, path := range []string{
		inbox + "/incoming/../rejected/victim",
		inbox + "/incoming/d/../../rejected/victim",
		inbox + "/incoming/%2e%2e/rejected/victim",
		inbox + "/incoming/%2E%2E%2Frejected/victim",
		inbox + "/incoming%2f..%2frejected%2fvictim",
		inbox + "/incoming/..%2frejected/victim",
		inbox + "/incoming/.%2e/rejected/victim",
		inbox + "/incoming/..%5crejected%5cvictim",
		inbox + "/incoming/%252e%252e/rejected/victim",
		inbox + "/incoming/..%00/rejected/victim",
		inbox + "/incoming/../../" + embeddeds3test.Bucket + "/files/victim",
		inbox + "/incoming/%2e%2e/%2e%2e/" + embeddeds3test.Bucket + "/files/victim",
		inbox + "/incoming/../../../LOCK",
		inbox + "/incoming/../.sgwtmp/multipart/x",
		inbox + "/./rejected/victim",
		inbox + "//rejected/victim",
		inbox + "/rejected/victim",
		inbox + "/rejected/victim?x=/incoming/",
		inbox + "/%69ncoming/../rejected/victim",
		inbox + "/INCOMING/../rejected/victim",
		inbox + "/../" + embeddeds3test.Bucket + "/files/victim",
		data + "/files/victim",
		data + "/../" + embeddeds3test.Inbox + "/rejected/victim",
		"/" + data + "/files/victim",
	} {
		for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete} {
			for _, decoded := range []bool{false, true} {
				code, answer := sendRaw(t, s, method, path, decoded)
				if code/100 == 2 && method != http.MethodPut {
					t.Errorf("%s %s: %d %s", method, path, code, answer)
				}
			}
		}
	}
	after := contents(t, s)
	for name, etag := range before {
		if after[name] != etag {
			t.Errorf("%s was replaced or removed", name)
		}
	}
	for name := range after {
		if _, was := before[name]; !was && !strings.HasPrefix(name, embeddeds3test.Inbox+"/"+embeddeds3test.Prefix) {
			t.Errorf("%s was stored", name)
		}
	}
	// The way in which they were sent works at all.
	if code, answer := sendRaw(t, s, http.MethodPut, inbox+"/incoming/d/fine", false); code != http.StatusOK {
		t.Errorf("a fine path: %d %s", code, answer)
	}
}

// sendRaw sends a request with the upload key whose path is byte for byte the
// given one, signed as it is or in its decoded form.
func sendRaw(t *testing.T, s *embeddeds3test.Store, method, path string, decoded bool) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint, nil)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPut {
		request.Body, request.ContentLength = io.NopCloser(strings.NewReader("evil")), 4
	}
	host := strings.TrimPrefix(s.Endpoint, "http://")
	path, query, _ := strings.Cut(path, "?")
	signed := path
	if decoded {
		if signed, err = url.PathUnescape(path); err != nil {
			t.Fatal(err)
		}
		signed = (&url.URL{Path: signed}).EscapedPath()
	}
	request.URL.Opaque, request.URL.RawQuery = "//"+host+signed, query
	const unsigned = "UNSIGNED-PAYLOAD"
	request.Header.Set("X-Amz-Content-Sha256", unsigned)
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(t.Context(),
		aws.Credentials{AccessKeyID: s.UploadKey.AccessKey, SecretAccessKey: s.UploadKey.SecretKey}, request, unsigned, "s3", s.Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	request.URL.Opaque = "//" + host + path
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer bytes.Buffer
	_, _ = answer.ReadFrom(response.Body) // for the message alone
	return response.StatusCode, answer.String()
}

func TestUploadKeyIsChecked(t *testing.T) {
	for name, change := range map[string]func(*embeddeds3.UploadKey){
		"no secret":        func(k *embeddeds3.UploadKey) { k.SecretKey = "" },
		"the owner's key":  func(k *embeddeds3.UploadKey) { k.AccessKey = "access" },
		"another bucket":   func(k *embeddeds3.UploadKey) { k.Bucket = "other" },
		"no prefix":        func(k *embeddeds3.UploadKey) { k.Prefix = "" },
		"a whole bucket":   func(k *embeddeds3.UploadKey) { k.Prefix = "/" },
		"half a name":      func(k *embeddeds3.UploadKey) { k.Prefix = "incoming" },
		"a way out":        func(k *embeddeds3.UploadKey) { k.Prefix = "incoming/../" },
		"a pattern":        func(k *embeddeds3.UploadKey) { k.Prefix = "*/" },
		"the staging area": func(k *embeddeds3.UploadKey) { k.Prefix = ".sgwtmp/" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			key := embeddeds3.UploadKey{AccessKey: "upload", SecretKey: "secret", Bucket: "bucket", Prefix: "incoming/"}
			change(&key)
			cfg.UploadKey = &key
			s, err := embeddeds3.Start(t.Context(), cfg)
			if err == nil {
				_ = s.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), "upload key") {
				t.Error(err)
			}
		})
	}
}
