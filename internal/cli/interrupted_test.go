package cli_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/daemon"
)

// A key that is revoked in the middle ends an upload with what to do, and with a key
// that is good the same command goes on.
func TestRevokedMidTransfer(t *testing.T) {
	t.Parallel()
	for name, machineOf := range withAndWithoutDaemon {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machineOf(t)
			m.files("in", 40, 40)
			made := decoded[struct {
				ID  string `json:"key_id"`
				Key string `json:"key"`
			}](m, "keys", "create", "--data", "data")
			m.env = append(m.env, "PARQUEUE_API_KEY="+made.Key)
			w := m.watch(slowly("datasets", "upload", m.dataset, "in")...)
			w.moved(10 * mib)
			m.must("keys", "revoke", made.ID, "--data", "data")
			code, _ := w.end()
			if text := w.errors.String(); code != 4 || !strings.Contains(text, "error: ") || !strings.Contains(text, "hint: ") {
				t.Errorf("exit code %d: %s", code, text)
			}
			m.env = append(m.env, "PARQUEUE_API_KEY="+m.key)
			if files := decoded[struct{ Files []client.File }](m, "datasets", "files", m.dataset).Files; len(files) != 0 {
				t.Errorf("the dataset has %+v", files)
			}
			m.must("datasets", "upload", m.dataset, "in")
			m.wantBack("in", 2)
		})
	}
}

// A file that changes while it is sent, or goes, is not appended, nor is any behind
// it; the error names it.
func TestChangedMidTransfer(t *testing.T) {
	t.Parallel()
	for kind, machineOf := range withAndWithoutDaemon {
		for name, change := range map[string]func(path string) error{
			"changed": func(path string) error { return os.Chtimes(path, time.Now(), time.Now().Add(-time.Hour)) },
			"removed": os.Remove,
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				m := machineOf(t)
				m.files("in", 5, 40, 5)
				w := m.watch(slower("datasets", "upload", m.dataset, "in")...)
				w.moved(20 * mib)
				if err := change(filepath.Join(m.dir, "in", "1.parquet")); err != nil {
					t.Fatal(err)
				}
				code, _ := w.end()
				text := w.errors.String()
				if code != 1 || !strings.Contains(text, "1.parquet") || !strings.Contains(text, name) || !strings.Contains(text, "hint: ") {
					t.Errorf("exit code %d: %s", code, text)
				}
				files := decoded[struct{ Files []client.File }](m, "datasets", "files", m.dataset).Files
				if len(files) > 1 || len(files) == 1 && files[0].Name != "0.parquet" {
					t.Errorf("the dataset has %+v", files)
				}
			})
		}
	}
}

// A daemon of another version that can't be replaced is told of with what to do, and
// --no-daemon does without it. A client of another version is told so by the daemon.
func TestDaemonOfAnotherVersion(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		status daemon.Status
		says   string
	}{
		"an old client with a new daemon": {daemon.Status{PID: 1 << 30, Version: "v99.0.0", Protocol: daemon.Protocol + 1}, "is of a newer version (v99.0.0) than this program"},
		"a new client with an old daemon": {daemon.Status{PID: 1 << 30, Version: "v0.0.1", Protocol: daemon.Protocol - 1, Running: 1}, "is of an older version (v0.0.1), and has transfers that run (1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.env = append(m.env, "PARQUEUE_NO_DAEMON=")
			m.files("in", 1)
			m.otherDaemon(one.status)
			for _, args := range [][]string{
				{"datasets", "upload", m.dataset, "in"}, {"datasets", "download", m.dataset, "--to", "out"}, {"daemon", "start"}, {"assets", "upload", "in/0.parquet", "--project", "p"},
			} {
				out, err := m.command(args...).CombinedOutput()
				text := string(out)
				if err == nil || !strings.Contains(text, one.says) || !strings.Contains(text, "hint: ") || !strings.Contains(text, "parqueue daemon stop") || !strings.Contains(text, "--no-daemon") {
					t.Errorf("%q: %v: %s", args, err, text)
				}
			}
			if out, err := m.command("transfers", "list").CombinedOutput(); err == nil || !strings.Contains(string(out), "daemon stop") {
				t.Errorf("transfers list: %v: %s", err, out)
			}
			m.must("datasets", "upload", m.dataset, "in", "--no-daemon")
			m.wantBack("in", 1)
		})
	}

	m := newDaemonMachine(t)
	start := decoded[daemon.Address](m, "daemon", "start")
	c := &http.Client{Transport: &http.Transport{Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", start.Socket) }}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://daemon/v1/transfers", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Parqueue-Protocol", fmt.Sprint(daemon.Protocol+1))
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var said struct{ Code, Hint string }
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil || resp.StatusCode != http.StatusConflict || said.Code != "protocol_mismatch" || !strings.Contains(said.Hint, "daemon stop") {
		t.Errorf("a newer client is told %d, %+v, %v", resp.StatusCode, said, err)
	}
}

// otherDaemon is a daemon of another version, as far as a client can tell.
func (m *machine) otherDaemon(status daemon.Status) {
	m.t.Helper()
	folder := daemon.Folder(filepath.Join(m.dir, "state"))
	short, err := os.MkdirTemp("", "d") // a socket's path is bounded
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = os.RemoveAll(short) })
	socket := filepath.Join(short, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		m.t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if said := r.Header.Get("Parqueue-Protocol"); said != "" && said != fmt.Sprint(status.Protocol) {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"code": "protocol_mismatch", "error": "Another version.", "hint": "Stop it with parqueue daemon stop."}`)
			return
		}
		_ = json.NewEncoder(w).Encode(status)
	})}
	go func() { _ = server.Serve(listener) }()
	m.t.Cleanup(func() { _ = server.Close() })
	text, err := json.Marshal(daemon.Address{Socket: socket, PID: status.PID})
	if err == nil {
		err = os.MkdirAll(folder, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "daemon.json"), text, 0o600)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}
