package bench

import (
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
)

// BenchmarkListByCLI lists a dataset with the program, `parqueue datasets files`,
// with --json and without: until the last byte is printed, with what went over the wire.
func BenchmarkListByCLI(b *testing.B) {
	program, err := filepath.Abs("../../bin/parqueue")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		b.Fatal(err, "; make build")
	}
	s := openSQLite(b)
	files := max(scale("sqlite"), 10_000)
	d := s.filled(b, files)
	server := httptest.NewUnstartedServer(s.handler())
	wire := &countedListener{Listener: server.Listener}
	server.Listener = wire
	server.Start()
	defer server.Close()
	for _, way := range []struct {
		name  string
		flags []string
	}{{"json", []string{"--json"}}, {"table", nil}} {
		b.Run(fmt.Sprintf("files=%d/%s", files, way.name), func(b *testing.B) {
			var client, memory float64
			wire.sent.Store(0)
			for b.Loop() {
				run := exec.CommandContext(b.Context(), program, append([]string{"datasets", "files", d.ID}, way.flags...)...)
				run.Env = append(os.Environ(), "PARQUEUE_URL="+server.URL, "PARQUEUE_API_KEY=none", "PARQUEUE_CONFIG_DIR="+b.TempDir(), "PARQUEUE_STATE_DIR="+b.TempDir())
				run.Stderr = os.Stderr
				if err := run.Run(); err != nil {
					b.Fatal(err)
				}
				client += (run.ProcessState.UserTime() + run.ProcessState.SystemTime()).Seconds()
				if usage, ok := run.ProcessState.SysUsage().(*syscall.Rusage); ok {
					memory = max(memory, float64(usage.Maxrss)/1000) // kB on Linux
				}
			}
			million := float64(b.N) * float64(files) / 1e6
			b.ReportMetric(client/million, "client-cpu-s/million")
			b.ReportMetric(memory, "client-MB")
			b.ReportMetric(float64(wire.sent.Load())/float64(b.N)/float64(files), "wire-B/file")
			b.ReportMetric(b.Elapsed().Seconds()/million, "s/million")
		})
	}
}

// countedListener counts what is sent over its connections.
type countedListener struct {
	net.Listener
	sent atomic.Int64
}

// Accept implements net.Listener.
func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countedConn{Conn: c, sent: &l.sent}, err //nolint:wrapcheck // net.Listener
}

type countedConn struct {
	net.Conn
	sent *atomic.Int64
}

// Write implements net.Conn.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err //nolint:wrapcheck // net.Conn
}
