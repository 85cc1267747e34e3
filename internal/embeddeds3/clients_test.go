package embeddeds3_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/testtool"
)

// files are a small file and one that clients send in parts, 20 MB of it.
func files(t *testing.T) (small, large string) {
	t.Helper()
	dir := t.TempDir()
	small, large = filepath.Join(dir, "small.parquet"), filepath.Join(dir, "large name.parquet")
	for path, size := range map[string]int{small: 1234, large: 20_000_001} {
		content := make([]byte, size)
		_, _ = rand.Read(content) // never fails
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return small, large
}

// run runs a client with a key, and with nothing of this machine's settings.
func run(t *testing.T, s *embeddeds3test.Store, access, secret, program string, args ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = []string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8",
		"AWS_ENDPOINT_URL=" + s.Endpoint, "AWS_REGION=" + s.Region, "AWS_ACCESS_KEY_ID=" + access, "AWS_SECRET_ACCESS_KEY=" + secret,
		"AWS_EC2_METADATA_DISABLED=true",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// requireStored fails unless objects of the inbox have the bytes of files.
func requireStored(t *testing.T, s *embeddeds3test.Store, want map[string]string) {
	t.Helper()
	for key, path := range want {
		out, err := s.Client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(embeddeds3test.Inbox), Key: &key})
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		got, err := io.ReadAll(out.Body)
		_ = out.Body.Close()
		content, readErr := os.ReadFile(path)
		if err != nil || readErr != nil || !bytes.Equal(got, content) {
			t.Errorf("%s differs from %s: %v, %v", key, path, err, readErr)
		}
	}
}

// The AWS CLI can do with the upload key what its users need it for.
func TestAWSCLIUploads(t *testing.T) {
	t.Parallel()
	program := testtool.Command(t, "aws", "aws")
	s := embeddeds3test.Start(t)
	small, large := files(t)
	folder := t.TempDir()
	for _, name := range []string{"a.parquet", "ü +%2F&=?.parquet"} {
		content, err := os.ReadFile(small)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const to = "s3://" + embeddeds3test.Inbox + "/incoming/ds/"
	for _, args := range [][]string{
		{"s3", "cp", small, to},
		{"s3", "cp", large, to},
		{"s3", "cp", "--recursive", folder, to},
	} {
		if out, err := run(t, s, s.UploadKey.AccessKey, s.UploadKey.SecretKey, program, args...); err != nil {
			t.Errorf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	want := map[string]string{
		"incoming/ds/small.parquet": small, "incoming/ds/large name.parquet": large,
		"incoming/ds/a.parquet": small, "incoming/ds/ü +%2F&=?.parquet": small,
	}
	requireStored(t, s, want)
	for _, args := range [][]string{
		{"s3", "ls", to},
		{"s3", "cp", to + "small.parquet", folder},
		{"s3", "rm", to + "small.parquet"},
		{"s3", "sync", folder, to},
		{"s3", "cp", small, "s3://" + embeddeds3test.Inbox + "/rejected/ds/"},
	} {
		out, err := run(t, s, s.UploadKey.AccessKey, s.UploadKey.SecretKey, program, args...)
		if err == nil || !strings.Contains(out, "AccessDenied") && !strings.Contains(out, "403") {
			t.Errorf("aws %s with the upload key: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if got := contents(t, s); len(got) != len(want) {
		t.Errorf("there are %q", slices.Sorted(maps.Keys(got)))
	}
}

// The owner's key works with every command on objects that the AWS CLI has.
func TestAWSCLIOfTheOwner(t *testing.T) {
	t.Parallel()
	program := testtool.Command(t, "aws", "aws")
	s := embeddeds3test.Start(t)
	small, large := files(t)
	down := t.TempDir()
	const bucket = "s3://" + embeddeds3test.Inbox
	for _, args := range [][]string{
		{"s3", "sync", filepath.Dir(small), bucket + "/incoming/ds/"},
		{"s3", "mv", bucket + "/incoming/ds/large name.parquet", bucket + "/rejected/ds/large.parquet"}, // copied in parts
		{"s3", "sync", bucket + "/rejected/ds", down},
		{"s3", "rm", bucket + "/incoming/ds/small.parquet"},
	} {
		if out, err := run(t, s, s.AccessKey, s.SecretKey, program, args...); err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	requireStored(t, s, map[string]string{"rejected/ds/large.parquet": large})
	requireStored(t, s, map[string]string{"rejected/ds/large.parquet": filepath.Join(down, "large.parquet")})
	out, err := run(t, s, s.AccessKey, s.SecretKey, program, "s3", "ls", "--recursive", bucket)
	if lines := strings.Fields(out); err != nil || len(lines) != 4 || lines[3] != "rejected/ds/large.parquet" || lines[2] != "20000001" {
		t.Errorf("aws s3 ls: %v\n%s", err, out)
	}
}

func TestBoto3Uploads(t *testing.T) {
	t.Parallel()
	python := testtool.Python(t, "aws")
	s := embeddeds3test.Start(t)
	small, large := files(t)
	out, err := run(t, s, s.UploadKey.AccessKey, s.UploadKey.SecretKey, python, "testdata/upload.py", embeddeds3test.Inbox, small, large)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := map[string]string{
		"incoming/ds/boto-small": small, "incoming/ds/boto-large": large, "incoming/ds/boto-put": small, "incoming/ds/boto name + ü%2F&.parquet": large,
	}
	requireStored(t, s, want)
	if got := contents(t, s); len(got) != len(want) {
		t.Errorf("there are %q", slices.Sorted(maps.Keys(got)))
	}
}
