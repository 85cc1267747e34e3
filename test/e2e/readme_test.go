package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// makeDays writes the files that the README uploads.
const makeDays = `
import pyarrow as pa, pyarrow.parquet as pq
def write(name, count):
    pq.write_table(pa.table({"item": [f"item {i}" for i in range(len(count))], "count": count}), name)
write("monday.parquet", list(range(1000)))
write("tuesday.parquet", list(range(1000, 2000)))
write("wednesday.parquet", [float(i) for i in range(10)])
write("friday.parquet", list(range(10)))
`

// What the README shows in a terminal is what happens, command by command. "…"
// stands for anything there.
func TestReadme(t *testing.T) {
	dir := t.TempDir()
	if _, stderr, err := command(t, dir, nil, testtool.Python(t, "writers"), "-c", makeDays); err != nil {
		t.Fatal(err, stderr)
	}
	srv := serve(t, setup{data: filepath.Join(dir, ".parqueue")})
	path := []string{"PATH=" + filepath.Dir(testtool.Command(t, "aws", "aws")) + ":" + os.Getenv("PATH")}
	as := strings.NewReplacer("http://127.0.0.1:8080", srv.url, "/home/you/parqueue", dir)
	steps := console(t, "README.md")

	if steps[0].command != "make run" {
		t.Fatalf("the README begins with %q", steps[0].command)
	}
	for _, line := range strings.Split(steps[0].output, "\n") {
		if !strings.Contains(srv.output.String(), as.Replace(line)) {
			t.Errorf("the server printed\n%s\nwithout the README's line\n%s", srv.output, as.Replace(line))
		}
	}

	var before []string // commands that only set variables, run again before every later one
	id, shown := "", regexp.MustCompile(`dataset-[0-9a-f-]{36}`).FindString(steps[2].output)
	for _, step := range steps[1:] {
		run := as.Replace(step.command)
		if id != "" {
			run = strings.ReplaceAll(run, shown, id)
		}
		if regexp.MustCompile(`^[A-Z]+=`).MatchString(run) {
			before = append(before, run)
			continue
		}
		script := strings.Join(append(before, run), "\n")
		stdout, stderr, err := command(t, dir, path, "bash", "-euo", "pipefail", "-c", script)
		if err != nil {
			t.Fatalf("$ %s\n%v\n%s%s", run, err, stdout, stderr)
		}
		if id == "" {
			id = regexp.MustCompile(`dataset-[0-9a-f-]{36}`).FindString(stdout)
		}
		want := strings.ReplaceAll(step.output, shown, id)
		if !looksLike(strings.TrimSpace(stdout), want) {
			t.Errorf("$ %s\n  got: %s\n want: %s", run, stdout, want)
		}
	}
	until(t, "the file from the inbox is listed", func() bool { return slices.Contains(srv.admin().names(t, id), "friday.parquet") })
}

// step is a command of the README and what it prints.
type step struct{ command, output string }

// console reads the terminal sessions of a page.
func console(t *testing.T, page string) []step {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testtool.Root(), page))
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for _, line := range strings.Split(strings.TrimSpace(block[1]), "\n") {
			if run, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: run})
				continue
			}
			last := &steps[len(steps)-1]
			last.output = strings.TrimSpace(last.output + "\n" + line)
		}
	}
	if len(steps) < 5 {
		t.Fatalf("%s shows %d commands", page, len(steps))
	}
	for _, s := range steps {
		if day := regexp.MustCompile(`\d{4}-\d\d-\d\dT`).FindString(s.output); day != "" {
			t.Errorf("%s shows %s…, which is true for a day: $ %s", page, day, s.command)
		}
	}
	return steps
}

// looksLike compares a text with a pattern in which "…" is anything.
func looksLike(text, pattern string) bool {
	quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), "…", ".*")
	return regexp.MustCompile("(?s)^" + quoted + "$").MatchString(text)
}

// The targets that the README names are there.
func TestReadmeNamesRealTargets(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(testtool.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile("(?:`|\\$ )make ([a-z-]+)").FindAllStringSubmatch(string(readme), -1)
	if len(targets) == 0 {
		t.Fatal("the README names no targets")
	}
	for _, target := range targets {
		if _, stderr, err := command(t, testtool.Root(), nil, "make", "--dry-run", target[1]); err != nil {
			t.Errorf("make %s: %v %s", target[1], err, stderr)
		}
	}
}
