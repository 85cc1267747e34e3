package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// shapes are the rows of docs/cli.md's table of what --json prints: a command line for
// each, with $ID for a dataset, $ASSET for an asset and $NEW for what is made for it,
// and what jq has to find true of its output. In the documented members, alternatives
// and values are left out by except.
var shapes = []struct {
	row, command, is string
	except           []string
}{
	{row: "`auth status`", command: "auth status", is: `(.scopes | type) == "array"`},
	{row: "`datasets create`, `show`", command: "datasets create", is: `.file_count == 0`},
	{row: "`datasets create`, `show`", command: "datasets show $ID", is: `.file_count == 2 and (.schema.fields | length) > 0`},
	{row: "`datasets list`, `files`", command: "datasets list", is: `.datasets | length > 0`, except: []string{"files"}},
	{row: "`datasets list`, `files`", command: "datasets files $ID", is: `[.files[].position] == [0, 1]`, except: []string{"datasets"}},
	{row: "`datasets upload`", command: "datasets upload $NEW in", is: `.uploaded_count == 3 and .first_position == 0 and .last_position == 2`},
	{row: "`datasets upload --dry-run`", command: "datasets upload $ID in --dry-run", is: `[.files[].action] == ["skip", "skip", "upload"] and .upload_count == 1`},
	{row: "`datasets download`", command: "datasets download $ID --to out", is: `.downloaded_count == 2 and .received_bytes == .downloaded_bytes`},
	{row: "`datasets verify`", command: "datasets verify $ID", is: `.checked == 2 and .problems == []`, except: []string{"file_name", "position", "problem"}},
	{row: "`datasets delete-file`", command: "datasets delete-file $GONE 0.parquet", is: `.deleted and .position == 0`},
	{row: "`datasets delete`", command: "datasets delete $GONE --yes", is: `.state == "deleting"`},
	{row: "`datasets upload`, `download`, `assets upload`, `download` with `--detach`", command: "datasets download $ID --to detached --detach",
		is: `.kind == "download_dataset" and (.transfer_id | length) == 36`, except: []string{"--detach", "transfers list"}},
	{row: "`assets list`", command: "assets list", is: `[.assets[].asset_id] | index("$ASSET") != null`},
	{row: "`assets show`, `set`", command: "assets show $ASSET", is: `.asset_id == "$ASSET" and .version == 1`},
	{row: "`assets show`, `set`", command: "assets set $ASSET --title Other", is: `.title == "Other"`},
	{row: "`assets versions`", command: "assets versions $ASSET", is: `.versions[0].version == 1`},
	{row: "`assets upload`", command: "assets upload in/1.parquet --project churn", is: `.version == 1 and .sent_bytes == .uploaded_bytes`},
	{row: "`assets download`", command: "assets download $ASSET --to out2", is: `.path | endswith("/out2/0.parquet")`},
	{row: "`transfers list`", command: "transfers list --all", is: `.transfers | map(.state == "done" or .state == "running") | all and length > 0`, except: []string{"interrupted"}},
	{row: "`daemon start`", command: "daemon start", is: `(.socket | startswith("/")) and .protocol == 1`, except: []string{"url", "token"}},
	{row: "`daemon status`", command: "daemon status", is: `.transfers_running >= 0 and (.limits | has("connections"))`},
	{row: "`assets delete`", command: "assets delete $ASSET --yes", is: `.deleted`},
}

// Every documented shape of --json is what jq reads, with every member that is
// documented; and so are the lines of progress, and errors.
func TestDocumentedShapes(t *testing.T) {
	t.Parallel()
	jq := testtool.Program(t, "jq")
	m := newDaemonMachine(t)
	m.files("in", 0, 0, 2)
	id, gone, empty := m.dataset, strings.TrimSpace(m.must("datasets", "create")), strings.TrimSpace(m.must("datasets", "create"))
	m.must("datasets", "upload", id, "in/0.parquet", "in/1.parquet")
	m.must("datasets", "upload", gone, "in/0.parquet")
	asset := strings.TrimSpace(m.must("assets", "upload", "in/0.parquet", "--project", "churn"))
	fill := strings.NewReplacer("$ID", id, "$GONE", gone, "$NEW", empty, "$ASSET", asset)

	documented := documentedShapes(t)
	tried := map[string]bool{}
	for _, s := range shapes {
		members, ok := documented[s.row]
		if tried[s.row] = true; !ok {
			t.Errorf("docs/cli.md has no row %s", s.row)
		}
		filter := "(" + fill.Replace(s.is) + ")"
		for _, member := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(members, -1) {
			if !contains(s.except, member[1]) {
				filter += fmt.Sprintf(` and ([.. | objects | keys[]] + [.. | strings] | index(%q) != null)`, member[1])
			}
		}
		m.pipe(fill.Replace("parqueue "+s.command+" --json"), jq, "-e", filter)
	}
	for row := range documented {
		if !tried[row] {
			t.Errorf("the shape of %s is not tried", row)
		}
	}

	// Progress is a JSON object on each line of standard error; jq -s reads them all.
	for _, way := range []string{"--no-daemon", ""} {
		m.pipe(fmt.Sprintf("parqueue datasets download %s --to progress%s --progress json %s 2>&1 >/dev/null | grep -v ^Downloaded", id, way, way), jq, "-es",
			`.[-1].type == "end" and ([.[] | select(.type == "start")] | length) == 1 and ([.[] | select(.type == "file") | .file.file_name] | sort) == ["0.parquet", "1.parquet"]
			and all(.[]; has("transfer_id") and has("files_done") and .files >= .files_done and has("bytes_done") and has("bytes") and has("bytes_moved") and has("bytes_per_second") and has("seconds_left"))
			and all(.[] | select(.type == "file") | .file; has("position") and has("size_bytes"))`)
	}
	m.pipe(fmt.Sprintf("parqueue datasets upload %s in/2.parquet --limit-rate 1M --progress json --json 2>&1 >/dev/null", id), jq, "-es",
		`any(.[] | select(.type == "progress"); .active[0].file_name == "2.parquet" and (.active[0] | has("bytes_done") and has("seconds_left")))
		and any(.[]; .type == "state" and .state == "running")`)

	// An error is one object with what to do, and problems by their paths.
	if err := os.WriteFile(filepath.Join(m.dir, "in", "3.parquet"), []byte("no Parquet"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"--no-daemon", ""} {
		m.pipe(fmt.Sprintf("parqueue datasets upload %s in --json %s 2>&1 >/dev/null", empty, way), jq, "-es",
			`length == 1 and (.[0] | has("error") and has("code") and (.hint | length) > 0 and .problem_count == 1 and (.problems[0].path | endswith("/in/3.parquet")))`)
	}
	m.pipe("parqueue datasets show dataset-none --json 2>&1 >/dev/null", jq, "-es", `length == 1 and .[0].code == "dataset_not_found" and (.[0].hint | length) > 0`)

	// Who reads no further stops nothing with a message.
	sh := exec.Command("sh", "-c", `parqueue datasets files "$0" --json | head -c 1`, id)
	sh.Dir, sh.Env = m.dir, m.env
	if out, err := sh.CombinedOutput(); err != nil || string(out) != "{" {
		t.Errorf("%v: %q", err, out)
	}
}

// documentedShapes are the members that docs/cli.md tells of each row of its table.
func documentedShapes(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testtool.Root(), "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| command | `--json` |\n|---|---|\n")
	if !ok {
		t.Fatal("docs/cli.md has no table of shapes")
	}
	rows := map[string]string{}
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			break
		}
		rows[strings.TrimSpace(cells[1])] = cells[2]
	}
	return rows
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one || strings.HasSuffix(one, ".yaml") {
			return true
		}
	}
	return false
}

// pipe has a shell pipe a command line into a program, which has to succeed.
func (m *machine) pipe(line, program string, args ...string) {
	m.t.Helper()
	sh := exec.CommandContext(m.t.Context(), "sh", append([]string{"-c", line + ` | "$0" "$@"`, program}, args...)...)
	sh.Dir, sh.Env = m.dir, m.env
	if out, err := sh.CombinedOutput(); err != nil {
		show := exec.CommandContext(m.t.Context(), "sh", "-c", line)
		show.Dir, show.Env = m.dir, m.env
		now, _ := show.CombinedOutput()
		m.t.Errorf("%s | %q: %v: %s\nnow it prints %s", line, args, err, out, now)
	}
}
