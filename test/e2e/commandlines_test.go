package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

var datasetID = regexp.MustCompile(`dataset-[0-9a-f-]{36}`)

// TestCommandLines runs the unmodified command lines of the client libraries,
// odd ways included: their `upload` takes the file first.
func TestCommandLines(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	for _, l := range libraries() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			cli := newCLI(t, l, home, srv.url+l.prefix, srv.key)
			content := map[string][]byte{"one.parquet": parquet(t, 1), "two.parquet": parquet(t, 2), "three.parquet": parquet(t, 3)}
			write(t, filepath.Join(home, "files"), map[string][]byte{"one.parquet": content["one.parquet"]})
			write(t, filepath.Join(home, "folder"), map[string][]byte{"two.parquet": content["two.parquet"], "three.parquet": content["three.parquet"]})

			cli.login(srv.key)
			if out := cli.run("quotas"); !strings.Contains(out, "Row Quota") {
				t.Errorf("quotas printed %q", out)
			}
			id := datasetID.FindString(cli.run(l.noun+"s", "create"))
			if id == "" {
				t.Fatal("create printed no id")
			}
			if out := cli.run(l.noun+"s", "list"); !strings.Contains(out, id) {
				t.Errorf("list of an empty %s does not show %s:\n%s", l.noun, id, out)
			}
			cli.run(l.noun+"s", "upload", "files/one.parquet", id)
			cli.run(l.noun+"s", "upload", "folder", id)
			if out := cli.run(l.noun+"s", "list"); !strings.Contains(out, id) || !strings.Contains(out, "fields") {
				t.Errorf("list does not show %s with its schema:\n%s", id, out)
			}

			printed := regexp.MustCompile(`\w+\.parquet`).FindAllString(cli.run(l.noun+"s", "files", id), -1)
			names := srv.admin().names(t, id)
			if !slices.Equal(printed, names) || len(names) != 3 || names[0] != "one.parquet" {
				t.Errorf("files printed %q, the dataset has %q", printed, names)
			}
			srv.admin().wantFiles(t, id, names, content)

			cli.run(l.noun+"s", "download", id, "two.parquet")
			if err := os.Mkdir(filepath.Join(home, "out"), 0o755); err != nil {
				t.Fatal(err)
			}
			cli.run(l.noun+"s", "download", id, "three.parquet", "out")
			if got := readFile(t, filepath.Join(home, "two.parquet")); string(got) != string(content["two.parquet"]) {
				t.Error("two.parquet came back with other bytes")
			}
			sameFiles(t, filepath.Join(home, "out"), map[string][]byte{"three.parquet": content["three.parquet"]})

			// Without a name it asks for the file null; the answer says so.
			if out := cli.run(l.noun+"s", "download", id); !strings.Contains(out, "400") || !strings.Contains(out, "file_name") {
				t.Errorf("download without a name printed %q", out)
			}
		})
	}
}

// cli is a client's command line with a home of its own.
type cli struct {
	t       *testing.T
	program string
	home    string
}

func newCLI(t *testing.T, l library, home, url, key string) cli {
	t.Helper()
	config, err := json.Marshal(map[string]string{"api_key": key, "base_url": url})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, l.config)
	write(t, filepath.Dir(path), map[string][]byte{filepath.Base(path): config})
	return cli{t, testtool.Command(t, l.venv, l.command), home}
}

// run returns everything that a command printed.
func (c cli) run(args ...string) string {
	c.t.Helper()
	stdout, stderr, err := command(c.t, c.home, offline(c.home), c.program, args...)
	if err != nil {
		c.t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, stdout, tail(stderr, 3000))
	}
	return stdout + stderr
}

// login types a key at the prompt.
func (c cli) login(key string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, "login")
	cmd.Dir, cmd.Env = c.home, append(os.Environ(), offline(c.home)...)
	cmd.Stdin = strings.NewReader(key + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Successfully authenticated") {
		c.t.Fatalf("login: %v\n%s", err, out)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
