package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/daemon"
	"github.com/parqueue/parqueue/internal/transfer"
)

// newDaemonMachine is a machine whose commands use the daemon, which is stopped at
// the end of the test.
func newDaemonMachine(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	m.env = append(m.env, "PARQUEUE_NO_DAEMON=")
	t.Cleanup(func() {
		if out, err := m.command("daemon", "stop").CombinedOutput(); err != nil {
			t.Error(err, string(out))
		}
		m.noKeyOnDisk()
	})
	return m
}

// noKeyOnDisk looks for the API key in all that the daemon has written.
func (m *machine) noKeyOnDisk() {
	m.t.Helper()
	err := filepath.WalkDir(filepath.Join(m.dir, "state"), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it kept nothing
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(m.key)) {
			m.t.Errorf("%s has the API key in it", path)
		}
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
}

// status is what the daemon says of itself.
func (m *machine) status() daemon.Status {
	m.t.Helper()
	return decoded[daemon.Status](m, "daemon", "status")
}

// killDaemon kills the daemon, and returns when it has gone.
func (m *machine) killDaemon() {
	m.t.Helper()
	state := filepath.Join(m.dir, "state")
	var address daemon.Address // read here: a command takes its time on a busy machine
	text, err := os.ReadFile(filepath.Join(daemon.Folder(state), "daemon.json"))
	if err != nil || json.Unmarshal(text, &address) != nil {
		m.t.Fatal(err, string(text))
	}
	if err := syscall.Kill(address.PID, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
	for {
		if _, _, err := daemon.Find(m.t.Context(), state); err != nil {
			return
		}
	}
}

// listed is the transfers of the machine, with those that are done.
func (m *machine) listed() []listed {
	m.t.Helper()
	return decoded[struct{ Transfers []listed }](m, "transfers", "list", "--all").Transfers
}

// watched is a command line whose progress is read.
type watched struct {
	m      *machine
	cmd    *exec.Cmd
	events chan daemon.Event
	stdout bytes.Buffer
	errors bytes.Buffer // what is no progress
}

// watch starts a command line with its progress as JSON.
func (m *machine) watch(args ...string) *watched {
	m.t.Helper()
	w := &watched{m: m, cmd: m.command(append(args, "--progress", "json")...), events: make(chan daemon.Event, 10_000)}
	w.cmd.Stdout = &w.stdout
	stderr, err := w.cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		defer close(w.events)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var e daemon.Event
			if json.Unmarshal(lines.Bytes(), &e) != nil || e.Type == "" {
				fmt.Fprintln(&w.errors, lines.Text())
				continue
			}
			w.events <- e
		}
	}()
	return w
}

// until reads progress up to an event.
func (w *watched) until(what string, is func(daemon.Event) bool) daemon.Event {
	w.m.t.Helper()
	timeout := time.After(60 * time.Second)
	for {
		select {
		case e, ok := <-w.events:
			if !ok {
				w.m.t.Fatalf("%q ended before %s: %v: %s", w.cmd.Args[1:], what, w.cmd.Wait(), w.errors.String())
			}
			if is(e) {
				return e
			}
		case <-timeout:
			w.m.t.Fatalf("%q: no %s within a minute", w.cmd.Args[1:], what)
		}
	}
}

// moved waits until so many bytes have moved.
func (w *watched) moved(bytes int64) daemon.Event {
	w.m.t.Helper()
	return w.until(fmt.Sprint(bytes, " bytes"), func(e daemon.Event) bool { return e.BytesMoved >= bytes })
}

// end waits for the command's end, and returns its exit code and how many bytes the
// progress said had moved at most since the last time that it began anew.
func (w *watched) end() (code int, moved int64) {
	w.m.t.Helper()
	for e := range w.events {
		moved = e.BytesMoved
	}
	_ = w.cmd.Wait()
	return w.cmd.ProcessState.ExitCode(), moved
}

func slowly(args ...string) []string {
	return append(args, "--connections", fmt.Sprint(connections), "--limit-rate", "20M")
}

// slower is for what has to be under way still after some commands.
func slower(args ...string) []string { return append(args, "--limit-rate", "10M") }

// wantBack downloads the dataset without the daemon and compares.
func (m *machine) wantBack(dir string, count int) {
	m.t.Helper()
	m.must("datasets", "download", m.dataset, "--to", "back", "--no-daemon")
	for i := range count {
		name := fmt.Sprintf("%d.parquet", i)
		if out, err := exec.Command("cmp", filepath.Join(m.dir, dir, name), filepath.Join(m.dir, "back", name)).CombinedOutput(); err != nil {
			m.t.Errorf("%v: %s", err, out)
		}
	}
	var order []string
	text, err := os.ReadFile(filepath.Join(m.dir, "back", "_order.json"))
	if err != nil || json.Unmarshal(text, &order) != nil || len(order) != count || order[0] != "0.parquet" {
		m.t.Errorf("the order is %s, %v", text, err)
	}
}

// A daemon that is killed in the middle of an upload is started again by the
// client that watches, and goes on: a part per connection at most is sent again.
// Then the same with a download.
func TestKilledDaemonGoesOn(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	total := m.files("in", 60, 1, 60)
	w := m.watch(slowly("datasets", "upload", m.dataset, "in", "--json")...)
	before := w.moved(50 * mib).BytesMoved
	m.killDaemon()
	code, after := w.end()
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, w.errors.String())
	}
	var result transfer.UploadResult
	if err := json.Unmarshal(w.stdout.Bytes(), &result); err != nil {
		t.Fatal(err, w.stdout.String())
	}
	// The progress before the kill is up to a second old: 50 MB more.
	if again := before + after - total; again > connections*part || after < total-before-60*mib {
		t.Errorf("%d bytes moved before the kill and %d after it, of %d", before, after, total)
	}
	if all := m.listed(); len(all) != 1 || all[0].State != daemon.StateDone || all[0].ID != result.TransferID {
		t.Errorf("listed %+v", all)
	}

	w = m.watch(slowly("datasets", "download", m.dataset, "--to", "out")...)
	before = w.moved(50 * mib).BytesMoved
	m.killDaemon()
	code, after = w.end()
	if again := before + after - total; code != 0 || again > connections*part {
		t.Errorf("exit code %d; %d bytes came before the kill and %d after it, of %d: %s", code, before, after, total, w.errors.String())
	}
	if hidden, _ := filepath.Glob(filepath.Join(m.dir, "out", ".*")); len(hidden) != 0 {
		t.Errorf("left %q", hidden)
	}
	m.wantBack("in", 3)
}

// A client that is killed leaves its transfer running; another one joins it. A
// server that is killed and comes back is found again.
func TestKilledClientAndServer(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	m.files("in", 60, 60)
	upload := slowly("datasets", "upload", m.dataset, "in")
	w := m.watch(upload...)
	id := w.moved(10 * mib).Transfer
	_ = w.cmd.Process.Kill()
	w.end()
	if all := m.listed(); len(all) != 1 || !all[0].Running || all[0].ID != id {
		t.Fatalf("after the client was killed: %+v", all)
	}
	w = m.watch(upload...)
	if e := w.moved(30 * mib); e.Transfer != id {
		t.Errorf("joined %s, not %s", e.Transfer, id)
	}
	m.stopServer()
	at, err := url.Parse(m.url)
	if err != nil {
		t.Fatal(err)
	}
	_, stop, err := startServer(filepath.Join(m.dir, "data"), at.Host)
	if err != nil {
		t.Fatal(err)
	}
	m.stopServer = stop
	if code, _ := w.end(); code != 0 {
		t.Fatalf("exit code %d: %s", code, w.errors.String())
	}
	if all := m.listed(); len(all) != 1 || all[0].State != daemon.StateDone || all[0].ID != id {
		t.Errorf("ended with %+v", all)
	}
	m.wantBack("in", 2)
}

// Ctrl-C stops a transfer, and the same command goes on with it.
func TestInterruptedClient(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	total := m.files("in", 60)
	upload := slowly("datasets", "upload", m.dataset, "in")
	w := m.watch(upload...)
	e := w.moved(10 * mib)
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	code, before := w.end()
	if code != 130 || !strings.Contains(w.errors.String(), "Run the same command again") {
		t.Errorf("exit code %d: %s", code, w.errors.String())
	}
	all := m.listed()
	if len(all) != 1 || all[0].State != daemon.StatePaused || all[0].ID != e.Transfer {
		t.Fatalf("paused: %+v", all)
	}
	before = max(before, all[0].BytesMoved)
	w = m.watch(upload...)
	code, after := w.end()
	if again := before + after - total; code != 0 || again > connections*part {
		t.Errorf("exit code %d; %d bytes moved before and %d after, of %d: %s", code, before, after, total, w.errors.String())
	}
	m.wantBack("in", 1)
}

// A daemon that is stopped says so to who watches, and the same command goes on.
func TestStoppedDaemon(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	m.files("in", 110)
	upload := slowly("datasets", "upload", m.dataset, "in")
	w := m.watch(upload...)
	id := w.moved(10 * mib).Transfer
	m.must("daemon", "stop")
	if code, _ := w.end(); code != 3 || !strings.Contains(w.errors.String(), "The transfer daemon was stopped") {
		t.Errorf("exit code %d: %s", code, w.errors.String())
	}
	if out, err := m.command("daemon", "status").CombinedOutput(); err == nil {
		t.Errorf("it runs: %s", out)
	}
	w = m.watch(upload...)
	if code, _ := w.end(); code != 0 {
		t.Errorf("exit code %d: %s", code, w.errors.String())
	}
	if all := m.listed(); len(all) != 1 || all[0].ID != id || all[0].State != daemon.StateDone {
		t.Errorf("ended with %+v", all)
	}
	m.wantBack("in", 1)
}

// Transfers are paused, resumed and cancelled, also by a daemon that was started
// after they were. Limits change while one runs.
func TestTransfersCommands(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	m.files("in", 40)
	m.must("daemon", "limits", "--limit-rate", "5M")
	id := strings.TrimSpace(m.must("datasets", "upload", m.dataset, "in", "--detach"))
	m.must("transfers", "pause", id)
	if all := m.listed(); len(all) != 1 || all[0].ID != id || all[0].State != daemon.StatePaused || all[0].Running {
		t.Fatalf("paused: %+v", all)
	}
	m.must("daemon", "stop")
	if all := m.listed(); len(all) != 1 || all[0].State != daemon.StatePaused {
		t.Fatalf("remembered: %+v", all)
	}
	m.must("transfers", "resume", id) // starts a daemon, and gives it the key again
	if l := m.status().Limits; l.BytesPerSecond != 5e6 {
		t.Errorf("the limits are %+v", l)
	}
	started := time.Now()
	w := m.watch("datasets", "upload", m.dataset, "in")
	w.moved(1 * mib)
	m.must("daemon", "limits", "--limit-rate", "0")
	if code, _ := w.end(); code != 0 {
		t.Errorf("exit code %d: %s", code, w.errors.String())
	}
	if took := time.Since(started); took > 6*time.Second {
		t.Errorf("40 MiB took %v: the old limit held", took)
	}

	m.must("daemon", "limits", "--limit-rate", "5M")
	id = strings.TrimSpace(m.must("datasets", "download", m.dataset, "--to", "out", "--detach"))
	w = m.watch("datasets", "download", m.dataset, "--to", "out")
	w.moved(1 * mib)
	m.must("transfers", "cancel", id)
	if code, _ := w.end(); code != 1 || !strings.Contains(w.errors.String(), "was cancelled") {
		t.Errorf("exit code %d: %s", code, w.errors.String())
	}
	if entries, err := os.ReadDir(filepath.Join(m.dir, "out")); err != nil || len(entries) != 0 {
		t.Errorf("left %v, %v", entries, err)
	}
	for _, args := range [][]string{{"transfers", "pause", id}, {"transfers", "resume", id}, {"transfers", "cancel", id}} {
		if out, err := m.command(args...).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("is over")) {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
}

// A key that came from the environment is in the memory of a daemon only. When that
// is killed the next one waits, until the same command brings the key again.
func TestTransferWaitsForItsKey(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	m.files("in", 40)
	upload := slower("datasets", "upload", m.dataset, "in")
	id := strings.TrimSpace(m.must(append(upload, "--detach")...))
	m.killDaemon()
	m.must("daemon", "start")
	all := m.listed()
	if len(all) != 1 || all[0].ID != id || all[0].State != daemon.StateWaiting || !bytes.Contains(all[0].Error, []byte("unauthorized")) {
		t.Fatalf("waiting: %+v", all)
	}
	w := m.watch(upload...)
	code, _ := w.end()
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, w.errors.String())
	}
	m.wantBack("in", 1)
}

// A profile's key is found again: a daemon that starts goes on by itself.
func TestDaemonGoesOnWithAProfile(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	m.files("in", 40)
	m.env = append(m.env, "PARQUEUE_CONFIG_DIR="+filepath.Join(m.dir, "config"), "PARQUEUE_KEY_STORE=file", "PARQUEUE_URL=", "PARQUEUE_API_KEY=")
	m.must("auth", "login", "--url", m.url, "--key-file", filepath.Join(m.dir, "data", "admin.key"))
	id := strings.TrimSpace(m.must(slower("datasets", "upload", m.dataset, "in", "--detach")...))
	m.killDaemon()
	if all := m.listed(); len(all) != 1 || all[0].Running || all[0].State != daemon.StateWaiting {
		t.Errorf("without a daemon: %+v", all)
	}
	m.must("daemon", "start")
	m.awaitState(id, daemon.StateDone)
	m.wantBack("in", 1)
}

// awaitState waits for a transfer.
func (m *machine) awaitState(id, state string) listed {
	m.t.Helper()
	var last listed
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, t := range m.listed() {
			if last = t; t.ID == id && t.State == state {
				return t
			}
		}
	}
	m.t.Fatalf("the transfer is not %s but %+v", state, last)
	return last
}

// Many clients that start a daemon at once all find the same one, also where
// another one was killed.
func TestRacingToStart(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	for round := range 2 {
		var mu sync.Mutex
		pids := map[int]int{}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				out, err := m.command("daemon", "start", "--json").Output()
				var address daemon.Address
				mu.Lock()
				defer mu.Unlock()
				if err != nil || json.Unmarshal(out, &address) != nil || address.Protocol != daemon.Protocol {
					t.Errorf("start printed %q: %v", out, err)
				}
				pids[address.PID]++
			})
		}
		all.Wait()
		if len(pids) != 1 {
			t.Errorf("round %d: daemons %v", round, pids)
		}
		if round == 0 {
			m.killDaemon()
		}
	}
	info, err := os.Stat(decoded[daemon.Address](m, "daemon", "start").Socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
}

// A daemon keeps nothing of the process that started it: not its session, folder,
// files or variables with keys.
func TestDaemonIsDetached(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	// Standard output and a further file are pipes that a daemon would keep open.
	sh := exec.Command("sh", "-c", `out=$(parqueue daemon start --json 3>&1); echo "$out"`)
	sh.Dir, sh.Env = m.dir, m.env
	out, err := sh.Output()
	if err != nil {
		t.Fatal(err)
	}
	var address daemon.Address
	if err := json.Unmarshal(out, &address); err != nil {
		t.Fatal(err, string(out))
	}
	proc := fmt.Sprintf("/proc/%d/", address.PID)
	environ, err := os.ReadFile(proc + "environ")
	if err != nil || bytes.Contains(environ, []byte(m.key)) || bytes.Contains(environ, []byte("PARQUEUE_API_KEY")) {
		t.Errorf("the environment has the key: %v", err)
	}
	if cwd, err := os.Readlink(proc + "cwd"); cwd != "/" {
		t.Errorf("it runs in %q, %v", cwd, err)
	}
	stat, err := os.ReadFile(proc + "stat")
	if fields := strings.Fields(string(stat)); err != nil || len(fields) < 6 || fields[5] != fmt.Sprint(address.PID) {
		t.Errorf("it is in the session of another process: %s", stat)
	}
	for fd := range 3 {
		to, err := os.Readlink(proc + fmt.Sprintf("fd/%d", fd))
		if err != nil || strings.HasPrefix(to, "pipe:") || strings.HasPrefix(to, "/dev/pts") {
			t.Errorf("file %d is %s, %v", fd, to, err)
		}
	}
}

// A daemon that is killed before it answers is started again; one that is killed
// every time is given up.
func TestKilledWhileStarting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const dies = `echo x >>"$0"; [ $(wc -l <"$0") -gt "$1" ] || kill -9 $$; PARQUEUE_STATE_DIR="$2" exec parqueue daemon run`
	for times, lives := range map[int]bool{2: true, 100: false} {
		state := filepath.Join(dir, fmt.Sprint("state-", times))
		s := daemon.Starting{StateDir: state, Command: []string{"sh", "-c", dies, filepath.Join(dir, fmt.Sprint("tries-", times)), fmt.Sprint(times), state}}
		_, status, err := daemon.Ensure(t.Context(), s)
		if lives != (err == nil) || lives != (status.PID > 0) {
			t.Errorf("killed %d times: %+v, %v", times, status, err)
		}
		if lives {
			if _, err := daemon.Stop(t.Context(), state); err != nil {
				t.Error(err)
			}
		}
	}
}
