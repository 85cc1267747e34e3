package embeddeds3

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3response"
)

func TestTidy(t *testing.T) {
	t.Parallel()
	bucket := t.TempDir()
	staging := filepath.Join(bucket, posix.MetaTmpDir)
	now := time.Now()
	for path, age := range map[string]time.Duration{
		"multipart/a/young":                    7 * 24 * time.Hour,
		"multipart/a/old":                      193 * time.Hour,
		"multipart/a/half.0123-1.inprogress":   time.Minute,
		"multipart/b/lonely":                   200 * time.Hour,
		"multipart/b/hidden.0123-1.inprogress": 200 * time.Hour,
	} {
		dir := filepath.Join(staging, path)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "1"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(staging, "half-written"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	side, err := meta.NewSideCar(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := side.StoreAttribute(nil, bucket, posix.MetaTmpMultipartDir+"/a", keyAttribute, []byte("key")); err != nil {
		t.Fatal(err)
	}
	if err := tidy(bucket, side, now); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, pattern := range []string{"*", "multipart/*", "multipart/*/*"} {
		paths, err := filepath.Glob(filepath.Join(staging, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			relative, _ := filepath.Rel(staging, p)
			left = append(left, relative)
		}
	}
	want := []string{"multipart", "multipart/a", "multipart/a/half", "multipart/a/young"}
	if !slices.Equal(left, want) {
		t.Errorf("left is %q, want %q", left, want)
	}
}

// TestTidyAfterAKilledJoin has the gateway's process killed while it completes an
// upload of two parts: before the object has its key, after that, and while
// the parts are being removed.
func TestTidyAfterAKilledJoin(t *testing.T) {
	for name, metadataInFiles := range map[string]bool{"extended attributes": false, "files": true} {
		t.Run(name, func(t *testing.T) {
			for _, tc := range []struct {
				name      string
				linked    bool
				partsLeft int
				goesOn    bool // the parts are there to be completed again
			}{
				{"before the link", false, 2, true},
				{"after the link", true, 2, true},
				{"one part is gone", true, 1, false},
				{"both parts are gone", true, 0, false},
			} {
				t.Run(tc.name, func(t *testing.T) {
					dir := t.TempDir()
					if metadataInFiles {
						if err := os.Mkdir(filepath.Join(dir, "metadata"), 0o700); err != nil {
							t.Fatal(err)
						}
					}
					id := killedJoin(t, storeIn(t, dir), tc.linked, tc.partsLeft)
					s := storeIn(t, dir)
					in := &s3.ListPartsInput{Bucket: aws.String("bucket"), Key: aws.String("a/b"), UploadId: &id, MaxParts: aws.Int32(1000)}
					out, err := s.ListParts(asOwner(t), in)
					if !tc.goesOn {
						if err == nil || !strings.Contains(err.Error(), "NoSuchUpload") {
							t.Errorf("its parts are listed as %v, %v", out.Parts, err)
						}
						return
					}
					if err != nil || len(out.Parts) != 2 || out.Parts[0].ETag == "" {
						t.Fatalf("its parts are listed as %v, %v", out.Parts, err)
					}
					if _, _, err := s.CompleteMultipartUpload(asOwner(t), completing(id, out.Parts)); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// killedJoin leaves behind what the end of the process in the middle of completing
// an upload does.
func killedJoin(t *testing.T, s *store, linked bool, partsLeft int) (id string) {
	t.Helper()
	upload, err := s.CreateMultipartUpload(asOwner(t), s3response.CreateMultipartUploadInput{Bucket: aws.String("bucket"), Key: aws.String("a/b")})
	if err != nil {
		t.Fatal(err)
	}
	id = upload.UploadId
	parts := make([]s3response.Part, 2)
	for n, content := range []string{strings.Repeat("x", 5<<20), "y"} {
		out, err := s.UploadPart(asOwner(t), &s3.UploadPartInput{
			Bucket: aws.String("bucket"), Key: aws.String("a/b"), UploadId: &id, PartNumber: aws.Int32(int32(n) + 1),
			ContentLength: aws.Int64(int64(len(content))), Body: strings.NewReader(content),
		})
		if err != nil {
			t.Fatal(err)
		}
		parts[n] = s3response.Part{PartNumber: n + 1, ETag: *out.ETag}
	}
	found, err := filepath.Glob(filepath.Join(s.buckets["bucket"], posix.MetaTmpMultipartDir, "*", id))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	shown := found[0]
	hidden := shown + ".0123-2" + inProgressSuffix
	relative := func(path string) string { return strings.TrimPrefix(path, s.buckets["bucket"]+"/") }
	if linked {
		kept := filepath.Join(t.TempDir(), "parts")
		if err := os.CopyFS(kept, os.DirFS(shown)); err != nil {
			t.Fatal(err)
		}
		// What is kept of the parts but their bytes: the extended attributes.
		note := attributesOf(t, s, relative(shown))
		if _, _, err := s.CompleteMultipartUpload(asOwner(t), completing(id, parts)); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(shown, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
		// The sidecar files stay behind a completed upload, under its hidden name.
		setAttributes(t, s, note)
	}
	for n := 2; n > partsLeft; n-- {
		if err := os.Remove(filepath.Join(shown, string(rune('0'+n)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.attributes.RenameObject(s.buckets["bucket"], relative(shown), relative(hidden)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(shown, hidden); err != nil {
		t.Fatal(err)
	}
	return id
}

// attributesOf are those of an upload, its parts, and the folder above.
func attributesOf(t *testing.T, s *store, upload string) map[string]map[string][]byte {
	t.Helper()
	all := map[string]map[string][]byte{}
	for _, path := range []string{filepath.Dir(upload), upload, upload + "/1", upload + "/2"} {
		names, err := s.attributes.ListAttributes(s.buckets["bucket"], path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = map[string][]byte{}
		for _, name := range names {
			if all[path][name], err = s.attributes.RetrieveAttribute(nil, s.buckets["bucket"], path, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

func setAttributes(t *testing.T, s *store, all map[string]map[string][]byte) {
	t.Helper()
	for path, attributes := range all {
		for name, value := range attributes {
			if err := s.attributes.StoreAttribute(nil, s.buckets["bucket"], path, name, value); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func completing(id string, parts []s3response.Part) *s3.CompleteMultipartUploadInput {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: aws.String("bucket"), Key: aws.String("a/b"), UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{},
	}
	for _, p := range parts {
		in.MultipartUpload.Parts = append(in.MultipartUpload.Parts,
			types.CompletedPart{PartNumber: aws.Int32(int32(p.PartNumber)), ETag: aws.String(p.ETag)}) //nolint:gosec // 1 or 2
	}
	return in
}
