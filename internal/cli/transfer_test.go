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

// A disk that gets full is said to be, shows nothing half-done, and the download
// goes on when there is room.
func TestDownloadToAFullDisk(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.files("in", 2, 30)
	m.must("datasets", "upload", m.dataset, "in")
	small := filepath.Join(m.dir, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	args := append(testtool.SmallDisk(t, small, 12*mib), "sh", "-c",
		`parqueue datasets download "$0" --to "$1"; echo "code $?"; ls "$1"`, m.dataset, small)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = m.env
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("error: ")) || !bytes.Contains(out, []byte("no room left")) || !bytes.Contains(out, []byte("code 1")) {
		t.Fatalf("%v: %s", err, out)
	}
	if bytes.Contains(out, []byte("\n1.parquet")) || bytes.Contains(out, []byte("_order.json")) {
		t.Errorf("half-done is shown as done: %s", out)
	}
	m.must("datasets", "download", m.dataset, "--to", small)
}
