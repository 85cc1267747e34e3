package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/server/servertest"
	"github.com/parqueue/parqueue/internal/testtool"
)

// shared is the one server of all tests: the whole product, in this process.
var shared struct{ url, key string }

func TestMain(m *testing.M) {
	os.Exit(servertest.Run(m, func(url, key string) { shared.url, shared.key = url, key }))
}

// running is a daemon in this process.
type running struct {
	t      *testing.T
	config Config
	client *Client
	status Status
	log    *safeBuffer
	stop   func() error // and wait; it may be called twice
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newRunning starts a daemon, in a state folder of its own if none is named. It
// is stopped at the end of the test, and leaves no goroutine.
func newRunning(t *testing.T, c Config) *running {
	t.Helper()
	r := &running{t: t, log: &safeBuffer{}}
	if c.StateDir == "" {
		c.StateDir = t.TempDir()
	}
	if c.Identify == nil {
		c.Identify = func(string) (client.Config, error) {
			return client.Config{URL: shared.url, Key: shared.key}, nil
		}
	}
	c.Log = slog.New(slog.NewJSONHandler(r.log, nil))
	r.config = c
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan Address, 1), make(chan error, 1)
	go func() { ended <- Run(ctx, c, func(a Address) { ready <- a }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	var once sync.Once
	var failed error
	r.stop = func() error {
		once.Do(func() {
			cancel()
			failed = <-ended
			r.client.Close()
		})
		return failed
	}
	var err error
	if r.client, r.status, err = Find(t.Context(), c.StateDir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		noneLeft(t)
	})
	return r
}

// newDataset makes a dataset on the server.
func newDataset(t testing.TB) string {
	t.Helper()
	c, err := client.New(client.Config{URL: shared.url, Key: shared.key})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.CreateDataset(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.ID
}

// writeFiles writes valid files of about a size into a new folder.
func writeFiles(t testing.TB, count, size int) string {
	t.Helper()
	dir := t.TempDir()
	whole, err := os.ReadFile(filepath.Join(testtool.Root(), "internal", "footer", "testdata", "same", "pyarrow_none.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	at := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	for i := range count {
		content := bytes.Join([][]byte{whole[:at], fmt.Appendf(nil, "%016d", i), bytes.Repeat([]byte{byte(i)}, size), whole[at:]}, nil)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.parquet", i)), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ask asks for a transfer and waits for its end.
func (r *running) ask(n NewTransfer) (Transfer, Event) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	t, err := r.client.Start(ctx, n)
	if err != nil {
		r.t.Fatal(err)
	}
	end, err := r.client.Watch(ctx, t.ID, func(Event) {})
	if err != nil {
		r.t.Fatal(err)
	}
	return t, end
}

// noneLeft sees that a daemon that has ended leaves nothing running.
func noneLeft(t *testing.T) {
	t.Helper()
	var left string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		left = ""
		stacks := make([]byte, 4<<20)
		for _, one := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			for _, ours := range []string{"internal/daemon.(*job)", "internal/daemon.(*Daemon)", "internal/transfer."} {
				if strings.Contains(one, ours) {
					left += one + "\n\n"
				}
			}
		}
		if left == "" {
			return
		}
	}
	t.Errorf("the daemon left goroutines:\n%s", left)
}
