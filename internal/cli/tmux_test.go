package cli_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/testtool"
)

// pane is a terminal of tmux with a shell in it.
type pane struct {
	m      *machine
	tmux   string
	socket string
}

// prompt is the shell's.
const prompt = "here$"

func (m *machine) newPane(columns, rows int) *pane {
	m.t.Helper()
	p := &pane{m: m, tmux: testtool.Program(m.t, "tmux"), socket: filepath.Join(m.t.TempDir(), "tmux")}
	p.run("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows), "sh")
	m.t.Cleanup(func() { p.run("kill-server") })
	p.await("a prompt", func(string) bool { return true })
	p.keys("PS1='" + prompt + " '; clear\n")
	p.await("a prompt", func(text string) bool { return strings.HasPrefix(text, prompt) && strings.Count(text, prompt) == 1 })
	return p
}

// run runs a command of tmux, with the variables of the machine.
func (p *pane) run(args ...string) string {
	p.m.t.Helper()
	cmd := exec.Command(p.tmux, append([]string{"-u", "-S", p.socket}, args...)...)
	cmd.Dir, cmd.Env = p.m.dir, append(p.m.env, "TERM=screen", "LC_ALL=C.UTF-8", "ENV=", "HISTFILE=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.m.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

func (p *pane) keys(text string) {
	p.m.t.Helper()
	for line := range strings.SplitAfterSeq(text, "\n") {
		if before, ended := strings.CutSuffix(line, "\n"); ended {
			p.run("send-keys", "-l", before)
			p.run("send-keys", "Enter")
		}
	}
}

// text is what the pane shows, without what is empty below.
func (p *pane) text() string {
	p.m.t.Helper()
	return strings.TrimRight(p.run("capture-pane", "-p"), "\n ")
}

// await looks until the pane shows something.
func (p *pane) await(what string, is func(text string) bool) string {
	p.m.t.Helper()
	last := ""
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = p.text(); is(last) {
			return last
		}
	}
	p.m.t.Fatalf("no %s within a minute; the pane shows:\n%s", what, last)
	return ""
}

// The lines of progress, as a pane of 80 columns and one of 40 have them.
var (
	fileLine  = regexp.MustCompile(`^   ?[ 0-9]?\d%  [0-9.]+ k?M?B of [0-9.]+ MB  ([0-9.]+ [kM]?B/s|-)  (\d+ (s|min \d+ s) left|time left unknown)  (\d|長い).*(…|\.parquet)$`)
	wholeLine = regexp.MustCompile(`^ ?[ 0-9]?\d%  [0-9.]+ k?M?B of [0-9.]+ MB  \d of 4 files  ([0-9.]+ [kM]?B/s|-)  (\d+ (s|min \d+ s) left|time left unknown)$`)

	narrowFile  = regexp.MustCompile(`^   ?[ 0-9]?\d%  ([0-9.]+ [kM]?B/s|-)  (\d+ (s|min \d+ s) left|time left unknown)  ?\S*(…|\.parquet)$`)
	narrowWhole = regexp.MustCompile(`^ ?[ 0-9]?\d%  \d(/4| of 4 files)  ([0-9.]+ [kM]?B/s|-)  (\d+ (s|min \d+ s) left|time left unknown)$`)
)

// wantProgress sees that below the command there are lines of progress and nothing
// else: none wrapped, none left over, the whole last.
func (p *pane) wantProgress(text string, file, whole *regexp.Regexp) {
	p.m.t.Helper()
	lines := strings.Split(text, "\n")
	if strings.HasPrefix(text, prompt) { // tmux moves it out of sight when a pane gets narrower
		for len(lines) > 0 && !file.MatchString(lines[0]) { // the command, however many rows it has
			lines = lines[1:]
		}
	}
	if len(lines) < 2 || !whole.MatchString(lines[len(lines)-1]) {
		p.m.t.Errorf("no progress is shown:\n%s", text)
		return
	}
	for _, line := range lines[:len(lines)-1] {
		if !file.MatchString(line) {
			p.m.t.Errorf("a line is %q in\n%s", line, text)
		}
	}
}

// An upload that is looked at in a terminal: a line for each file and one for the
// whole, with the rate and the time left, also when the terminal gets narrower; and
// in the end what was done and nothing else. In a short pane there are fewer lines.
func TestProgressInTmux(t *testing.T) {
	t.Parallel()
	for name, machineOf := range withAndWithoutDaemon {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machineOf(t)
			m.files("in", 40, 40, 40)
			if err := writeParquet(filepath.Join(m.dir, "in", "9"+strings.Repeat("長い名前", 15)+".parquet"), 9, 40*mib); err != nil {
				t.Fatal(err)
			}
			p := m.newPane(80, 24)
			p.keys("parqueue datasets upload " + m.dataset + " in --limit-rate 15M\n")
			rated := func(text string) bool {
				return strings.Count(text, "B/s") > 3 && strings.Contains(text, " left") && !strings.Contains(text, "unknown")
			}
			for range 5 {
				p.wantProgress(p.await("rate and time left", rated), fileLine, wholeLine)
				time.Sleep(250 * time.Millisecond) // it is drawn anew meanwhile
			}

			p.run("resize-window", "-x", "40", "-y", "24")
			p.await("narrow lines", func(text string) bool { return narrowWhole.MatchString(text[strings.LastIndex(text, "\n")+1:]) })
			for range 5 {
				p.wantProgress(p.await("rate and time left", rated), narrowFile, narrowWhole)
				time.Sleep(250 * time.Millisecond)
			}
			p.run("resize-window", "-x", "80", "-y", "4")
			p.await("few lines", func(text string) bool { return strings.Contains(text, "… and ") })

			text := p.await("end", func(text string) bool { return strings.HasSuffix(text, "\n"+prompt) })
			if !strings.HasSuffix(text, "Uploaded 4 files (168 MB).\n"+prompt) || strings.Contains(text, "left") || strings.Contains(text, "way") {
				t.Errorf("in the end the pane shows:\n%s", text)
			}
			if at := strings.TrimSpace(p.run("display-message", "-p", "#{cursor_x} #{cursor_flag}")); at != fmt.Sprint(len(prompt)+1, " 1") {
				t.Errorf("the cursor is at %s", at)
			}
			p.keys("echo $? of the same\n")
			p.await("the same terminal as before", func(text string) bool { return strings.Contains(text, "\n0 of the same\n") })
		})
	}
}

// Ctrl-C leaves what to do, and no progress; then the same command goes on.
func TestCtrlCInTmux(t *testing.T) {
	t.Parallel()
	for name, machineOf := range withAndWithoutDaemon {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machineOf(t)
			m.files("in", 60)
			p := m.newPane(80, 24)
			upload := "parqueue datasets upload " + m.dataset + " in"
			p.keys(upload + " --limit-rate 5M\n")
			p.await("progress", func(text string) bool { return strings.Contains(text, "5.0 MB/s") || strings.Contains(text, "  5%") })
			p.run("send-keys", "C-c")
			text := p.await("end", func(text string) bool { return strings.HasSuffix(text, "\n"+prompt) })
			const want = "\nerror: Interrupted.\nhint: Run the same command again; an upload or download goes on where it was.\n" + prompt
			if !strings.HasSuffix(text, want) || strings.Contains(text, "B/s") {
				t.Errorf("after Ctrl-C the pane shows:\n%s", text)
			}
			p.keys("clear; echo code $?; " + upload + "\n")
			text = p.await("the upload's end", func(text string) bool { return strings.Contains(text, "Uploaded 1 file (63 MB).\n"+prompt) })
			if strings.Contains(text, "left") {
				t.Errorf("in the end the pane shows:\n%s", text)
			}
		})
	}
}
