package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/cli.md shows in a terminal is what happens, command by command. "…"
// stands for anything there, and spaces for any number of them.
func TestCommandLinePage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "days"), map[string][]byte{
		"day-1.parquet": parquet(t, 1), "day-2.parquet": parquet(t, 2), "day-10.parquet": parquet(t, 10),
	})
	srv := serve(t, setup{data: filepath.Join(dir, ".parqueue")})
	as := strings.NewReplacer("http://127.0.0.1:8080", srv.url)
	env := []string{"HOME=" + dir, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "PARQUEUE_API_KEY=", "PARQUEUE_URL=",
		"PATH=" + filepath.Dir(program()) + string(os.PathListSeparator) + os.Getenv("PATH")}
	spaces := regexp.MustCompile(` +`)
	var before []string // commands that set variables; the first of them makes the dataset, once
	for _, step := range console(t, filepath.Join("docs", "cli.md")) {
		run := as.Replace(step.command)
		if name, value, ok := strings.Cut(run, "=$("); ok {
			stdout, stderr, err := command(t, dir, env, "bash", "-euo", "pipefail", "-c", strings.TrimSuffix(value, ")"))
			if err != nil {
				t.Fatalf("$ %s\n%v\n%s", run, err, stderr)
			}
			before = append(before, name+"="+strings.TrimSpace(stdout))
			continue
		}
		stdout, stderr, err := command(t, dir, env, "bash", "-euo", "pipefail", "-c", strings.Join(append(before, run), "\n"))
		if err != nil {
			t.Fatalf("$ %s\n%v\n%s%s", run, err, stdout, stderr)
		}
		got := spaces.ReplaceAllString(strings.TrimSpace(stdout+stderr), " ")
		want := spaces.ReplaceAllString(as.Replace(step.output), " ")
		if !looksLike(got, want) {
			t.Errorf("$ %s\n  got: %s\n want: %s", run, got, want)
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
