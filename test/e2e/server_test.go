package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Generous, because the tests share two processors with others.
const (
	readyTimeout   = 30 * time.Second
	stopTimeout    = 30 * time.Second
	commandTimeout = 2 * time.Minute
)

// server is one running `parqueue serve`.
type server struct {
	data       string // its --data folder
	url        string // http://127.0.0.1:PORT
	key        string // the first admin key
	pid        int
	readyAfter time.Duration // from the start of the process to its ready line

	cmd    *exec.Cmd
	output *log
	exited chan struct{} // closed when the process has ended
	exit   error         // what Wait said, once exited is closed
}

// setup says how a test wants its server; the zero value is the usual way.
type setup struct {
	data  string   // the data folder, when not a new one
	dir   string   // the working folder
	args  []string // further arguments
	under []string // a command to run it under, which must exec its arguments
}

var readyLine = regexp.MustCompile(`(?m)^\W*ready\W+(http://\S+)`)

// serve starts a server and waits for its ready line. It is killed when the
// test ends; its output is shown when the test fails.
func serve(t testing.TB, s setup) *server {
	t.Helper()
	if s.data == "" {
		s.data = filepath.Join(t.TempDir(), "data")
	}
	srv := launch(t, s)
	deadline := time.After(readyTimeout)
	for srv.url == "" {
		select {
		case <-srv.exited:
			t.Fatalf("the server ended before it was ready: %v", srv.exit)
		case <-deadline:
			t.Fatalf("no ready line after %v", readyTimeout)
		case <-srv.output.changed():
		}
		if match := readyLine.FindStringSubmatch(srv.output.String()); match != nil {
			srv.url = strings.TrimRight(match[1], "/,.")
		}
	}
	srv.readyAfter = srv.output.lastWrite().Sub(srv.output.created)
	srv.key = readKey(t, srv)
	return srv
}

// launch starts the process and collects its output.
func launch(t testing.TB, s setup) *server {
	t.Helper()
	args := append(append([]string{}, s.under...), program(), "serve", "--listen", "127.0.0.1:0", "--data", s.data)
	args = append(args, s.args...)
	srv := &server{data: s.data, exited: make(chan struct{}), output: newLog()}
	srv.cmd = exec.Command(args[0], args[1:]...)
	srv.cmd.Dir = s.dir
	srv.cmd.Stdout, srv.cmd.Stderr = srv.output, srv.output
	if err := srv.cmd.Start(); err != nil {
		t.Fatalf("starting the server: %v", err)
	}
	srv.pid = srv.cmd.Process.Pid
	go func() {
		srv.exit = srv.cmd.Wait()
		close(srv.exited)
	}()
	t.Cleanup(func() {
		srv.kill()
		checkSecrets(t, srv)
		if t.Failed() {
			t.Logf("output of the server over %s:\n%s", s.data, tail(srv.output.String(), 8<<10))
		}
	})
	return srv
}

// checkSecrets looks in all that a server wrote, whatever the test did with it, for
// what must not be there: keys, presigned URLs, and what is in files.
func checkSecrets(t testing.TB, srv *server) {
	t.Helper()
	output := srv.output.String()
	for what, secret := range map[string]string{
		"its admin key": srv.key, "a key": "Key pq_", "a presigned URL": "X-Amz-Signature", "a file's content": "PAR1",
	} {
		if secret != "" && strings.Contains(output, secret) {
			t.Errorf("the server wrote %s", what)
		}
	}
}

// readKey reads the admin key where the server sees it, which may be another
// mount namespace.
func readKey(t testing.TB, srv *server) string {
	t.Helper()
	path := filepath.Join(srv.data, "admin.key")
	text, err := os.ReadFile(srv.path(path))
	if err != nil {
		t.Fatalf("reading the admin key: %v", err)
	}
	return strings.TrimSpace(string(text))
}

// path is how this process reaches a path of the server's.
func (s *server) path(path string) string {
	if s.cmd.Args[0] == program() {
		return path
	}
	return filepath.Join("/proc", itoa(s.pid), "root", path)
}

// kill ends the process as a power cut would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// stop asks the process to end and fails the test unless it ends well.
func (s *server) stop(t testing.TB) {
	t.Helper()
	s.terminate(t)
	s.wait(t)
}

// terminate asks the process to end.
func (s *server) terminate(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("sending SIGTERM: %v", err)
	}
}

// wait fails the test unless the process, which was asked to end, ends well.
func (s *server) wait(t testing.TB) {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		t.Fatalf("still running %v after SIGTERM", stopTimeout)
	}
	if s.exit != nil {
		t.Fatalf("after SIGTERM the server ended with %v", s.exit)
	}
}

// admin is a client with the server's first key.
func (s *server) admin() client { return client{url: s.url, key: s.key} }

// parqueue runs another command of the binary and returns what it printed.
func parqueue(t testing.TB, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return command(t, "", nil, program(), args...)
}

// command runs a program to its end.
func command(t testing.TB, dir string, env []string, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// newKey makes a key with the command line and returns its text and id.
func newKey(t testing.TB, data, tenant, scopes string) (text, id string) {
	t.Helper()
	stdout, stderr, err := parqueue(t, "keys", "create", "--data", data, "--tenant", tenant, "--name", "e2e", "--scopes", scopes)
	if err != nil {
		t.Fatalf("keys create: %v\n%s%s", err, stdout, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	text = strings.TrimSpace(lines[len(lines)-1])
	listed, stderr, err := parqueue(t, "keys", "list", "--data", data, "--tenant", tenant)
	if err != nil {
		t.Fatalf("keys list: %v\n%s", err, stderr)
	}
	ids := regexp.MustCompile(`key-[0-9a-f-]{36}`).FindAllString(listed, -1)
	if len(ids) == 0 {
		t.Fatalf("keys list shows no key of tenant %s:\n%s", tenant, listed)
	}
	return text, ids[len(ids)-1]
}

// exitCode is a process's, or -1 when it did not end by itself.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// log is a process's output, which can be read while it grows.
type log struct {
	created time.Time

	mu      sync.Mutex
	text    bytes.Buffer
	written time.Time
	signal  chan struct{}
}

func newLog() *log {
	return &log{created: time.Now(), signal: make(chan struct{}, 1)}
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = time.Now()
	select {
	case l.signal <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *log) changed() <-chan struct{} { return l.signal }

func (l *log) lastWrite() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written
}

// tail is the end of a text.
func tail(text string, most int) string {
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}

// peakMemory is the most resident memory that a process has had, in bytes.
func peakMemory(t testing.TB, pid int) int64 {
	t.Helper()
	status, err := os.Open(filepath.Join("/proc", itoa(pid), "status"))
	if err != nil {
		t.Fatalf("reading the memory of the server: %v", err)
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			return 1024 * atoi(t, strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
		}
	}
	t.Fatal("/proc has no VmHWM")
	return 0
}
