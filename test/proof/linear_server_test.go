package proof

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/freeport"
	"github.com/parqueue/parqueue/internal/testtool"
)

// server is the compiled program, over one folder and on one port, however often
// it is killed and started again.
type server struct {
	program, data, address string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended bool // the test has
}

// newServer builds the program as it is shipped.
func newServer(t testing.TB) *server {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "parqueue")
	build := exec.Command("go", "build", "-o", path, "./cmd/parqueue") //nolint:gosec // our own program
	build.Dir = testtool.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building parqueue: %v: %s", err, out)
	}
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return &server{program: path, data: filepath.Join(dir, "data"), address: address}
}

// start returns when the server answers.
func (s *server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	s.cmd = exec.Command(s.program, "serve", "--quiet", "--listen", s.address, "--data", s.data) //nolint:gosec // our own program
	dieWithParent(s.cmd)
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.Contains(line, "ready") {
		return fmt.Errorf("the server printed %q instead of being ready: %w", line, err)
	}
	return nil
}

// kill ends it as a power cut would.
func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // it was killed
	}
}

// end kills it for good.
func (s *server) end() {
	s.kill()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.kill()
}

func (s *server) client(t testing.TB) client {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(s.data, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	return client{url: "http://" + s.address, key: strings.TrimSpace(string(key)), http: &http.Client{Transport: newTransport()}}
}

// requestCount counts the requests that were answered, so that a server gets
// something done between two kills however slow the machine is.
type requestCount struct {
	http.RoundTripper
	answered atomic.Int64
}

func (c *requestCount) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.RoundTripper.RoundTrip(r)
	if err == nil {
		c.answered.Add(1)
	}
	return response, err
}

// awaitMore waits until so many more were answered. It reports false when done
// comes first.
func (c *requestCount) awaitMore(n int, done <-chan struct{}) bool {
	for enough := c.answered.Load() + int64(n); c.answered.Load() < enough; {
		select {
		case <-time.After(time.Millisecond):
		case <-done:
			return false
		}
	}
	return true
}

// TestLinearizableThroughKills has clients work on the compiled server, over
// SQLite and the embedded store, while it is killed and started again.
func TestLinearizableThroughKills(t *testing.T) {
	t.Parallel()
	const rounds, wait = 3, 200 * time.Millisecond
	d := newDice(t)
	s := newServer(t)
	t.Cleanup(s.end)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	c := s.client(t)
	began := time.Now()
	working, ctx := errgroup.WithContext(t.Context())
	working.SetLimit(6)
	done := make(chan struct{})
	requests := &requestCount{RoundTripper: c.http.Transport}
	c.http.Transport = requests
	kills, broken := 0, make(chan error, 1)
	go func() {
		defer close(broken)
		for requests.awaitMore(50+d.below(200), done) {
			s.kill()
			kills++
			if err := s.start(); err != nil {
				broken <- err
				return
			}
		}
	}()
	var histories []*history
	for range rounds * testtool.Scale(t) {
		for _, w := range crowds() {
			h := newHistory(w.clients)
			histories = append(histories, h)
			working.Go(func() error { return h.record(ctx, c, w, d.fork(), wait, func() {}) })
		}
	}
	err := working.Wait()
	close(done)
	if err := errors.Join(err, <-broken); err != nil {
		t.Fatal(err)
	}
	y := newTally()
	recording := time.Since(began)
	y.examineAll(t, histories, false, d)
	y.log(t, recording)
	y.logDamage(t)
	t.Logf("the server was killed %d times", kills)
	if kills == 0 {
		t.Error("the server was never killed, so nothing was shown")
	}
}
