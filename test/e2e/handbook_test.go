package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/cli.md and docs/daemon.md show in a terminal is what happens, command
// by command. "…" stands for anything there, and spaces for any number of them.
func TestCommandLinePage(t *testing.T) {
	t.Parallel()
	newReader(t).follow("cli.md")
}

func TestDaemonPage(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	r.run("parqueue auth login --url " + r.srv.url + " --key-file .parqueue/admin.key")
	r.set("ID", "parqueue datasets create")
	r.follow("daemon.md")
}

// reader is somebody who tries what a page says, with a machine and a server.
type reader struct {
	t      *testing.T
	dir    string
	srv    *server
	env    []string
	before []string // commands that set variables; each of them was run once
}

func newReader(t *testing.T) *reader {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "days"), map[string][]byte{
		"day-1.parquet": parquet(t, 1), "day-2.parquet": parquet(t, 2), "day-10.parquet": parquet(t, 10),
	})
	r := &reader{t: t, dir: dir, srv: serve(t, setup{data: filepath.Join(dir, ".parqueue")})}
	r.env = []string{"HOME=" + dir, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "PARQUEUE_API_KEY=", "PARQUEUE_URL=", "PARQUEUE_KEY_STORE=file",
		"PATH=" + filepath.Dir(program()) + string(os.PathListSeparator) + os.Getenv("PATH")}
	t.Cleanup(func() { r.run("parqueue daemon stop") })
	return r
}

// run runs a line in a shell.
func (r *reader) run(line string) (stdout, stderr string) {
	r.t.Helper()
	stdout, stderr, err := command(r.t, r.dir, r.env, "bash", "-euo", "pipefail", "-c", strings.Join(append(r.before, line), "\n"))
	if err != nil {
		r.t.Fatalf("$ %s\n%v\n%s%s", line, err, stdout, stderr)
	}
	return stdout, stderr
}

// set sets a variable to what a command prints.
func (r *reader) set(name, line string) {
	r.t.Helper()
	stdout, _ := r.run(line)
	r.before = append(r.before, name+"="+strings.TrimSpace(stdout))
}

// follow runs every command of a page.
func (r *reader) follow(page string) {
	r.t.Helper()
	as := strings.NewReplacer("http://127.0.0.1:8080", r.srv.url)
	spaces := regexp.MustCompile(` +`)
	for _, step := range console(r.t, filepath.Join("docs", page)) {
		line := as.Replace(step.command)
		if name, value, ok := strings.Cut(line, "=$("); ok && regexp.MustCompile(`^[A-Z]+$`).MatchString(name) {
			r.set(name, strings.TrimSuffix(value, ")"))
			continue
		}
		stdout, stderr := r.run(line)
		got := spaces.ReplaceAllString(strings.TrimSpace(stdout+stderr), " ")
		want := spaces.ReplaceAllString(as.Replace(step.output), " ")
		if !looksLike(got, want) {
			r.t.Errorf("$ %s\n  got: %s\n want: %s", line, got, want)
		}
	}
}

// What docs/assets.md shows in a terminal is what happens. What an answer says goes
// into the variables that the next commands name.
func TestAssetsPage(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	env := []string{"KEY=Authorization: Key " + srv.key, "URL=" + srv.url, "PATH=" + os.Getenv("PATH")}
	dir := t.TempDir()
	for _, step := range console(t, filepath.Join("docs", "assets.md")) {
		stdout, stderr, err := command(t, dir, env, "bash", "-euo", "pipefail", "-c", step.command)
		if got := strings.TrimSpace(stdout); err != nil || !looksLike(got, step.output) {
			t.Fatalf("$ %s\n%v %s\n  got: %s\n want: %s", step.command, err, stderr, got, step.output)
		}
		for name, member := range map[string]string{"ASSET": "asset_id", "UPLOAD": "upload_id", "PART": "url"} {
			if found := regexp.MustCompile(`"` + member + `":("[^"]*")`).FindStringSubmatch(stdout); found != nil {
				var value string
				if err := json.Unmarshal([]byte(found[1]), &value); err != nil {
					t.Fatal(err)
				}
				env = append(env, name+"="+value)
			}
		}
	}
}
