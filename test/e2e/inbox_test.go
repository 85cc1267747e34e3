package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/testtool"
)

// ingestTimeout is generous: a file is listed some milliseconds after it was put.
const ingestTimeout = time.Minute

// until waits for something to be so.
func until(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(ingestTimeout); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", ingestTimeout, what)
		}
	}
}

// inShell runs a script whose $1 is the server's s3.env, with the AWS CLI in the
// PATH.
func inShell(t testing.TB, srv *server, dir, script string) error {
	t.Helper()
	bin := filepath.Dir(testtool.Command(t, "aws", "aws"))
	env := []string{"HOME=" + t.TempDir(), "PATH=" + bin + ":" + os.Getenv("PATH"), "AWS_SESSION_TOKEN=another", "AWS_EC2_METADATA_DISABLED=true"}
	stdout, stderr, err := command(t, dir, env, "bash", "-euo", "pipefail", "-c", script, "bash", filepath.Join(srv.data, "s3.env"))
	if err != nil {
		return fmt.Errorf("%s: %w\n%s%s", script, err, stdout, stderr)
	}
	return nil
}

// The AWS CLI and boto3 put files into the inbox, and they are in their dataset
// without a call of the API. The key in s3.env can do nothing else.
func TestFilesInTheInboxAreIngested(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id, dir := c.create(t), t.TempDir()
	var want []string
	for n, script := range []string{
		`source "$1"; aws s3 cp "file 0.parquet" s3://$PARQUEUE_INBOX/incoming/` + id + `/`,
		`set -a; . "$1"; set +a; aws s3 cp "file 1.parquet" s3://$PARQUEUE_INBOX/incoming/` + id + `/`,
		`source "$1"; python -c 'import boto3, os; boto3.client("s3").upload_file("file 2.parquet", os.environ["PARQUEUE_INBOX"], "incoming/` + id + `/file 2.parquet")'`,
	} {
		name := fmt.Sprintf("file %d.parquet", n)
		if err := os.WriteFile(filepath.Join(dir, name), parquet(t, n), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := inShell(t, srv, dir, script); err != nil {
			t.Fatal(err)
		}
		ended := time.Now()
		want = append(want, name)
		until(t, name+" is listed", func() bool { return slices.Equal(c.names(t, id), want) })
		t.Logf("%s was listed %v after the client had ended", name, time.Since(ended).Round(time.Millisecond))
		if got := c.download(t, id, name); !bytes.Equal(got, parquet(t, n)) {
			t.Errorf("%s comes back as %d other bytes", name, len(got))
		}
	}
	if info, err := os.Stat(filepath.Join(srv.data, "s3.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("s3.env: %v, %v", info, err)
	}
	for _, forbidden := range []string{
		"aws s3 ls", "aws s3 ls s3://inbox/incoming/", "aws s3 ls s3://parqueue", `aws s3 rm "s3://inbox/incoming/` + id + `/file 0.parquet"`,
		`aws s3 cp "file 0.parquet" s3://parqueue/files/x`, `aws s3 cp "file 0.parquet" s3://inbox/rejected/x`,
	} {
		if inShell(t, srv, dir, `source "$1"; `+forbidden) == nil {
			t.Errorf("%s is allowed", forbidden)
		}
	}
}

// inboxOf is a client of a server's inbox, made of its s3.env.
func inboxOf(t testing.TB, srv *server) (client *s3.Client, env string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(srv.data, "s3.env"))
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`).FindAllStringSubmatch(string(text), -1) {
		set[m[1]] = m[2]
	}
	if set["PARQUEUE_INBOX"] != "inbox" {
		t.Fatalf("s3.env sets %v", set)
	}
	return objectstore.NewClient(aws.Config{
		Region:      set["AWS_REGION"],
		Credentials: credentials.NewStaticCredentialsProvider(set["AWS_ACCESS_KEY_ID"], set["AWS_SECRET_ACCESS_KEY"], ""),
	}, set["AWS_ENDPOINT_URL"]), string(text)
}

func drop(ctx context.Context, inbox *s3.Client, key string, content []byte) error {
	_, err := inbox.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("inbox"), Key: &key, Body: bytes.NewReader(content)})
	return err
}

// A server that is killed while it ingests goes on when it is started again: each
// put that was acknowledged is listed once. Users keep the settings they have.
func TestIngestionGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	const count, kills = 300, 4
	srv := serve(t, setup{})
	id := srv.admin().create(t)
	_, env := inboxOf(t, srv)
	var want []string
	next := 0
	for range kills {
		inbox, now := inboxOf(t, srv)
		if now != env {
			t.Errorf("after a restart s3.env is\n%s\nand was\n%s", now, env)
		}
		var group errgroup.Group
		group.SetLimit(8)
		for range count / kills {
			name := fmt.Sprintf("%04d.parquet", next)
			content := parquet(t, next)
			next++
			want = append(want, name)
			group.Go(func() error { return drop(t.Context(), inbox, "incoming/"+id+"/"+name, content) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		srv.kill()
		srv = serve(t, setup{data: srv.data})
	}
	c := srv.admin()
	until(t, "all files are listed", func() bool { return len(c.names(t, id)) >= count })
	for n, f := range c.files(t, id) {
		if f.Position != int64(n) || !bytes.Equal(c.download(t, id, f.FileName), parquet(t, slices.Index(want, f.FileName))) {
			t.Errorf("position %d has %+v", n, f)
		}
	}
	if got := slices.Sorted(slices.Values(c.names(t, id))); !slices.Equal(got, want) {
		t.Errorf("%d files are listed, want %d", len(got), len(want))
	}
	until(t, "the inbox is empty", func() bool {
		left, _ := filepath.Glob(filepath.Join(srv.data, "objects", "buckets", "inbox", "incoming", id, "*"))
		return len(left) == 0
	})
}

// rejection is a rejected object as list-rejections shows it.
type rejection struct {
	ID       string  `json:"rejection_id"`
	Key      string  `json:"object_key"`
	FileName string  `json:"file_name"`
	Reason   refusal `json:"reason"`
}

// What is refused is listed with its reason, and can be tried again.
func TestRejectionsAreListedAndRetried(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	inbox, _ := inboxOf(t, srv)
	id := c.create(t)
	c.mustUpload(t, id, "taken.parquet", parquet(t, 1))
	for key, content := range map[string][]byte{
		"incoming/" + id + "/taken.parquet": parquet(t, 2),
		"incoming/" + id + "/text.parquet":  []byte("no Parquet at all"),
		"incoming/nowhere/a.parquet":        parquet(t, 3),
	} {
		if err := drop(t.Context(), inbox, key, content); err != nil {
			t.Fatal(err)
		}
	}
	list := func(fields object) map[string]rejection {
		var page struct{ Rejections []rejection }
		c.json(t, "/list-rejections", fields).decode(t, http.StatusOK, &page)
		byID := map[string]rejection{}
		for _, r := range page.Rejections {
			byID[r.ID] = r
		}
		return byID
	}
	until(t, "three rejections", func() bool { return len(list(object{})) == 3 })
	all := list(object{})
	for key, code := range map[string]string{id + "/taken.parquet": "file_exists", id + "/text.parquet": "not_parquet", "nowhere/a.parquet": "dataset_not_found"} {
		if r := all[key]; r.Reason.Code != code || r.Reason.Hint == "" || !strings.HasSuffix(key, r.FileName) {
			t.Errorf("%s is rejected as %+v", key, r)
		}
	}
	if got := list(object{"dataset_id": id}); len(got) != 2 {
		t.Errorf("of the dataset: %v", got)
	}
	text, _ := newKey(t, srv.data, "other", "write")
	stranger := client{url: srv.url, key: text}
	if a := stranger.json(t, "/list-rejections", object{}); strings.TrimSpace(string(a.body)) != `{"rejections":[]}` {
		t.Errorf("another tenant sees %s", a.body)
	}
	stranger.json(t, "/retry-rejection", object{"rejection_id": id + "/taken.parquet"}).refused(t, http.StatusNotFound, "rejection_not_found")

	c.json(t, "/delete-dataset-file", object{"dataset_id": id, "file_name": "taken.parquet"}).decode(t, http.StatusOK, &object{})
	var retried rejection
	c.json(t, "/retry-rejection", object{"rejection_id": id + "/taken.parquet"}).decode(t, http.StatusOK, &retried)
	until(t, "the retried file is listed", func() bool { return slices.Equal(c.names(t, id), []string{"taken.parquet"}) })
	c.json(t, "/delete-rejection", object{"rejection_id": id + "/text.parquet"}).decode(t, http.StatusOK, &retried)
	if left := list(object{}); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// Whatever an object is called that the store takes, it is listed under that name or
// rejected with its key, and nothing of it stays behind.
func TestStrangeNamesInTheInbox(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	inbox, _ := inboxOf(t, srv)
	id := c.create(t)
	c.mustUpload(t, id, "first", parquet(t, 0)) // so that the schema is known
	listed := []string{
		"a b.parquet", "a+b.parquet", "a%20b.parquet", "a%2Fb.parquet", "é.parquet", "日本 語.parquet", "🧀.parquet", "x=1&y=2;z?.parquet", "#hash.parquet",
		"quote'\"<>.parquet", "~tilde*.parquet", "a.parquet.error", strings.Repeat("n", 255),
	}
	rejected := map[string]string{
		id + "/e\u0301.parquet":         "invalid_file_name", // not composed
		id + "/back\\slash.parquet":     "invalid_file_name",
		id + "/control\x01.parquet":     "invalid_file_name",
		id + "/ space.parquet":          "invalid_file_name",
		id + "/turned\u202e.parquet":    "invalid_file_name",
		id + "/NUL.parquet":             "invalid_file_name",
		id + "/text.error.json":         "not_parquet",
		id + "/deeper/a.parquet":        "misplaced",
		"no dataset at all/a.parquet":   "misplaced",
		"alone.parquet":                 "misplaced",
		"dataset-of-nobody/ü+ü.parquet": "dataset_not_found",
	}
	var want []string
	for n, name := range listed {
		err := drop(t.Context(), inbox, "incoming/"+id+"/"+name, parquet(t, n+1))
		if err != nil {
			t.Errorf("the store does not take %q: %v", name, err)
			continue
		}
		want = append(want, name)
	}
	for key, code := range rejected {
		content := parquet(t, 100)
		if code == "not_parquet" {
			content = []byte("{}")
		}
		if err := drop(t.Context(), inbox, "incoming/"+key, content); err != nil {
			t.Errorf("the store does not take %q: %v", key, err)
			delete(rejected, key)
		}
	}
	rejections := func() map[string]rejection {
		var page struct{ Rejections []rejection }
		c.json(t, "/list-rejections", object{}).decode(t, http.StatusOK, &page)
		byKey := map[string]rejection{}
		for _, r := range page.Rejections {
			byKey[strings.TrimPrefix(r.Key, "incoming/")] = r
		}
		return byKey
	}
	slices.Sort(want)
	until(t, "all are listed or rejected", func() bool { return len(c.names(t, id)) > len(want) && len(rejections()) >= len(rejected) })
	names := c.names(t, id)[1:]
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("listed are\n%q, want\n%q", names, want)
	}
	all := rejections()
	for key, code := range rejected {
		r, ok := all[key]
		if !ok || r.Reason.Code != code {
			t.Errorf("%q is rejected as %+v, want %s", key, r, code)
			continue
		}
		// Each is found again by its id, and taken back to where it was.
		if a := c.json(t, "/delete-rejection", object{"rejection_id": r.ID}); a.status != http.StatusOK {
			t.Errorf("removing %q: %d %s", r.ID, a.status, a.body)
		}
	}
	if left := rejections(); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	for _, folder := range []string{"incoming", "rejected"} {
		_ = filepath.WalkDir(filepath.Join(srv.data, "objects"), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.Contains(path, "/inbox/"+folder+"/") {
				t.Errorf("%s is left", path)
			}
			return nil
		})
	}
}

// A dataset that ingests by name takes its files as a list in the inbox says.
func TestAListInTheInbox(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	inbox, _ := inboxOf(t, srv)
	var created struct {
		ID string `json:"dataset_id"`
	}
	c.json(t, "/create-dataset", object{"ingest_order": "name"}).decode(t, http.StatusOK, &created)
	want := make([]string, 100)
	for n := range want {
		want[n] = fmt.Sprintf("%02d.parquet", (n*37)%100)
	}
	folder := "incoming/" + created.ID + "/"
	for n, name := range slices.Sorted(slices.Values(want)) {
		if n == 50 {
			if err := drop(t.Context(), inbox, folder+"_order.json", []byte(`["`+strings.Join(want, `","`)+`"]`)); err != nil {
				t.Fatal(err)
			}
		}
		if err := drop(t.Context(), inbox, folder+name, parquet(t, n)); err != nil {
			t.Fatal(err)
		}
		if got := c.names(t, created.ID); !slices.Equal(got, want[:len(got)]) || n < 50 && len(got) > 0 {
			t.Fatalf("after %d files, %q are listed", n, got)
		}
	}
	until(t, "all are listed", func() bool { return len(c.names(t, created.ID)) == len(want) })
	if got := c.names(t, created.ID); !slices.Equal(got, want) {
		t.Errorf("listed %q", got)
	}
}

// Many objects, put side by side, are all listed, each once. With
// PARQUEUE_TEST_MANY=1 they are ten thousand, which is more than the server keeps
// notices of, and takes minutes.
func TestManyObjects(t *testing.T) {
	const datasets = 4
	count := 800
	if os.Getenv("PARQUEUE_TEST_MANY") == "1" {
		count = 10_000
	}
	srv := serve(t, setup{args: []string{"--quiet"}})
	c := srv.admin()
	inbox, _ := inboxOf(t, srv)
	ids := make([]string, datasets)
	for n := range ids {
		ids[n] = c.create(t)
	}
	begin := time.Now()
	var group errgroup.Group
	group.SetLimit(16)
	for n := range count {
		key, content := fmt.Sprintf("incoming/%s/%05d.parquet", ids[n%datasets], n), parquet(t, n)
		group.Go(func() error { return drop(t.Context(), inbox, key, content) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	put := time.Since(begin)
	total := func() (listed int) {
		for _, id := range ids {
			var d struct {
				Count int `json:"file_count"`
			}
			c.json(t, "/get-dataset", object{"dataset_id": id}).decode(t, http.StatusOK, &d)
			listed += d.Count
		}
		return listed
	}
	for last, since := 0, time.Now(); last < count; time.Sleep(100 * time.Millisecond) {
		if now := total(); now > last {
			last, since = now, time.Now()
		} else if time.Since(since) > ingestTimeout {
			t.Fatalf("%d of %d objects are listed, and no more are coming", last, count)
		}
	}
	t.Logf("%d objects were put in %v and listed after %v: %.0f a second", count, put.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond),
		float64(count)/time.Since(begin).Seconds())
	for n, id := range ids {
		for position, f := range c.files(t, id) {
			number := 0
			if _, err := fmt.Sscanf(f.FileName, "%05d.parquet", &number); err != nil || number%datasets != n || f.Position != int64(position) {
				t.Fatalf("position %d of dataset %d has %+v", position, n, f)
			}
		}
		if got := len(slices.Compact(slices.Sorted(slices.Values(c.names(t, id))))); got != count/datasets {
			t.Errorf("dataset %d has %d names", n, got)
		}
	}
	until(t, "the inbox is empty", func() bool {
		left, _ := filepath.Glob(filepath.Join(srv.data, "objects", "buckets", "inbox", "incoming", "*", "*"))
		return len(left) == 0
	})
}
