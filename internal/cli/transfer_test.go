package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/daemon"
	"github.com/parqueue/parqueue/internal/freeport"
	"github.com/parqueue/parqueue/internal/testtool"
	"github.com/parqueue/parqueue/internal/transfer"
)

const mib = 1 << 20

// machine is somebody's machine that is signed in to a server.
type machine struct {
	t       *testing.T
	dir     string
	env     []string
	dataset string
	url     string // of the server
	key     string

	stopServer func()
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	url, stop, err := startServer(filepath.Join(dir, "data"), address)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, stopServer: stop}
	t.Cleanup(func() { m.stopServer() })
	key, err := os.ReadFile(filepath.Join(dir, "data", "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	m.env = append(os.Environ(),
		"PARQUEUE_URL="+url, "PARQUEUE_API_KEY="+strings.TrimSpace(string(key)), "PARQUEUE_STATE_DIR="+filepath.Join(dir, "state"),
		"PARQUEUE_NO_DAEMON=1")
	m.url, m.key = url, strings.TrimSpace(string(key))
	m.dataset = strings.TrimSpace(m.must("datasets", "create"))
	return m
}

// command is a command line on the machine, in its folder.
func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("parqueue", args...)
	cmd.Dir, cmd.Env = m.dir, m.env
	return cmd
}

// must runs a command line and returns what it printed.
func (m *machine) must(args ...string) string {
	m.t.Helper()
	cmd := m.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("parqueue %q: %v\n%s", args, err, stderr.String())
	}
	return string(stdout)
}

// killAt runs a command line with its progress as JSON, and kills it with SIGKILL
// once so many bytes have moved. It returns how many had by the last line.
func (m *machine) killAt(bytes int64, args ...string) int64 {
	m.t.Helper()
	cmd := m.command(append(args, "--progress", "json")...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	moved := int64(0)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		var e transfer.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			m.t.Errorf("progress is %q", lines.Text())
			continue
		}
		if moved = e.BytesMoved; moved >= bytes {
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err == nil {
		m.t.Fatalf("parqueue %q was done before it was killed", args)
	}
	return moved
}

// files writes files of some MiB and returns the bytes of all.
func (m *machine) files(dir string, sizes ...int64) (total int64) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Join(m.dir, dir), 0o755); err != nil {
		m.t.Fatal(err)
	}
	for i, size := range sizes {
		path := filepath.Join(m.dir, dir, fmt.Sprintf("%d.parquet", i))
		if err := writeParquet(path, i, size*mib); err != nil {
			m.t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			m.t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

// listed is a transfer as transfers list shows it.
type listed struct {
	daemon.Transfer
	Running bool `json:"running"`
}

// decoded runs a command line and reads the JSON that it prints.
func decoded[T any](m *machine, args ...string) T {
	m.t.Helper()
	var value T
	out := m.must(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &value); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	return value
}

// connections and part bound what a killed process sends again.
const (
	connections = 4
	part        = 8 * mib
)

// An upload whose process is killed, twice, goes on when its command is run again;
// and so does the download of what came of it. What is sent again is a part per
// connection at most.
func TestKilledTransfersGoOn(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	total := m.files("in", 90, 1, 90)
	upload := []string{"datasets", "upload", m.dataset, "in", "--connections", fmt.Sprint(connections), "--limit-rate", "50M"}
	moved := m.killAt(80*mib, upload...)
	left := decoded[struct{ Transfers []listed }](m, "transfers", "list").Transfers
	if len(left) != 1 || left[0].Running || left[0].Kind != daemon.KindUploadDataset || left[0].Bytes != total {
		t.Fatalf("remembered %+v", left)
	}
	moved += m.killAt(15*mib, upload...)
	result := decoded[transfer.UploadResult](m, append(upload[:4:4], "--connections", fmt.Sprint(connections))...)
	if again := moved + result.BytesSent - total; again > 2*connections*part {
		t.Errorf("%d bytes moved before the kills and %d after them, of %d", moved, result.BytesSent, total)
	}
	if result.Uploaded+result.Skipped != 3 || result.TransferID != left[0].ID {
		t.Errorf("ended with %+v", result)
	}

	download := []string{"datasets", "download", m.dataset, "--to", "out", "--connections", fmt.Sprint(connections), "--limit-rate", "50M"}
	moved = m.killAt(80*mib, download...)
	got := decoded[transfer.DownloadResult](m, append(download[:5:5], "--connections", fmt.Sprint(connections))...)
	if again := moved + got.BytesGot - total; again > connections*part {
		t.Errorf("%d bytes came before the kill and %d after it, of %d", moved, got.BytesGot, total)
	}
	for i := range 3 {
		name := fmt.Sprintf("%d.parquet", i)
		if out, err := exec.Command("cmp", filepath.Join(m.dir, "in", name), filepath.Join(m.dir, "out", name)).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	if left := decoded[struct{ Transfers []transfer.Transfer }](m, "transfers", "list").Transfers; len(left) != 0 {
		t.Errorf("left %+v", left)
	}
	if hidden, _ := filepath.Glob(filepath.Join(m.dir, "out", ".*")); len(hidden) != 0 {
		t.Errorf("left %q", hidden)
	}
}

// What is left of a transfer that is given up is removed.
func TestCancelledTransfersLeaveNothing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.files("in", 40)
	m.must("datasets", "upload", m.dataset, "in")
	m.killAt(10*mib, "datasets", "download", m.dataset, "--to", "out", "--limit-rate", "20M")
	other := strings.TrimSpace(m.must("datasets", "create"))
	m.killAt(10*mib, "datasets", "upload", other, "in", "--limit-rate", "20M")
	left := decoded[struct{ Transfers []transfer.Transfer }](m, "transfers", "list").Transfers
	if len(left) != 2 {
		t.Fatalf("remembered %+v", left)
	}
	for _, one := range left {
		m.must("transfers", "cancel", one.ID)
	}
	entries, err := os.ReadDir(filepath.Join(m.dir, "out"))
	if err != nil || len(entries) != 0 {
		t.Errorf("left %v, %v", entries, err)
	}
	if out := m.must("transfers", "list"); strings.Contains(out, "load") {
		t.Errorf("listed %s", out)
	}
}

// A disk that gets full is said to be, shows nothing half-done, and the same command
// goes on when there is room: with the daemon and without it.
func TestDownloadToAFullDisk(t *testing.T) {
	t.Parallel()
	for name, machineOf := range withAndWithoutDaemon {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machineOf(t)
			m.files("in", 2, 30)
			m.must("datasets", "upload", m.dataset, "in", "--no-daemon")
			small := m.folder("small")
			out := m.onSmallDisk(small, 12*mib, `parqueue datasets download "$ID" --to "$SMALL"; echo "code $?"; ls "$SMALL"`)
			if !strings.Contains(out, "error: ") || !strings.Contains(out, "no room left") || !strings.Contains(out, "hint: ") || !strings.Contains(out, "code 1\n") {
				t.Fatal(out)
			}
			if strings.Contains(out, "\n1.parquet") || strings.Contains(out, "_order.json") {
				t.Errorf("half-done is shown as done: %s", out)
			}
			m.must("datasets", "download", m.dataset, "--to", small)
		})
	}
}

// Where what a transfer has to remember finds no room, nothing is sent, or what was
// sent is a prefix; and the same command goes on when there is room.
func TestStateOnAFullDisk(t *testing.T) {
	t.Parallel()
	for name, machineOf := range withAndWithoutDaemon {
		for room, script := range map[string]string{
			"none": `head -c 1M /dev/zero >"$SMALL/full" 2>/dev/null; UP; rm "$SMALL/full"; COUNT; UP`,
			"some": `{ UP --limit-rate 300k; } & until ls "$SMALL"/transfers/*.jsonl; do sleep 0.05; done >/dev/null 2>&1
				sleep 1; head -c 1M /dev/zero >"$SMALL/full" 2>/dev/null; wait $!; rm "$SMALL/full"; COUNT; UP`,
		} {
			t.Run(name+" "+room, func(t *testing.T) {
				t.Parallel()
				m := machineOf(t)
				const many = 300 // more than are under way at once
				m.files("in", make([]int64, many)...)
				small := m.folder("small")
				m.env = append(m.env, "PARQUEUE_STATE_DIR="+small)
				script = strings.NewReplacer("UP --limit-rate 300k", `parqueue datasets upload "$ID" in --limit-rate 300k; echo "code $?"`,
					"UP", `parqueue datasets upload "$ID" in; echo "code $?"`,
					"COUNT", `echo "has $(parqueue datasets show "$ID" --json | grep -o '"file_count": [0-9]*')"`).Replace(script)
				out := m.onSmallDisk(small, 256<<10, script)
				codes := strings.Count(out, "code 1\n")
				if codes != 1 || !strings.Contains(out, "code 0\n") || !strings.Contains(out, "no room left") || !strings.Contains(out, "hint: ") {
					t.Error(out)
				}
				if room == "none" && !strings.Contains(out, `has "file_count": 0`+"\n") {
					t.Errorf("something was sent: %s", out)
				}
				if files := decoded[struct{ Files []client.File }](m, "datasets", "files", m.dataset).Files; len(files) != many || files[many-1].Name != fmt.Sprint(many-1, ".parquet") {
					t.Errorf("%d files", len(files))
				}
			})
		}
	}
}

// withAndWithoutDaemon are the two ways that a command line works.
var withAndWithoutDaemon = map[string]func(*testing.T) *machine{"daemon": newDaemonMachine, "no daemon": newMachine}

// folder makes a folder.
func (m *machine) folder(name string) string {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// onSmallDisk runs a script that has a small disk in a folder, $SMALL. A daemon
// that it starts has the disk as well, and ends with it.
func (m *machine) onSmallDisk(dir string, bytes int64, script string) string {
	m.t.Helper()
	args := append(testtool.SmallDisk(m.t, dir, bytes), "sh", "-c", script+`; parqueue daemon stop`)
	cmd := exec.CommandContext(m.t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = m.dir, append(m.env, "ID="+m.dataset, "SMALL="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
