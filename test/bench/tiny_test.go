package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// BenchmarkTinyFiles moves very many tiny files with the program, to the local
// server and back, with the daemon and without it: what one file takes must not grow
// with their number, nor a process of the client's beyond 100 MiB.
func BenchmarkTinyFiles(b *testing.B) {
	counts := []int{1000, 10_000}
	if large() {
		counts = append(counts, 100_000)
	}
	for _, daemon := range []bool{false, true} {
		for _, files := range counts {
			c := newTinyClient(b, daemon)
			in := c.tinyFiles(files)
			id := strings.TrimSpace(c.run(b, "datasets", "create"))
			for _, step := range []struct {
				name string
				args []string
			}{
				{"plan", []string{"datasets", "upload", id, in, "--dry-run"}},
				{"upload", []string{"datasets", "upload", id, in}},
				{"upload-again", []string{"datasets", "upload", id, in}},
				{"verify", []string{"datasets", "verify", id}},
				{"download", []string{"datasets", "download", id, "--to", filepath.Join(c.dir, "out")}},
				{"download-again", []string{"datasets", "download", id, "--to", filepath.Join(c.dir, "out")}},
			} {
				b.Run(fmt.Sprintf("daemon=%v/%s/files=%d", daemon, step.name, files), func(b *testing.B) {
					if b.N > 1 {
						b.Skip("once is what there is to do: -benchtime 1x")
					}
					c.peak = 0
					c.run(b, step.args...)
					b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(files), "ms/file")
					b.ReportMetric(max(c.peak, c.daemonPeak(b))/1024, "MiB")
					b.ReportMetric(0, "ns/op")
				})
			}
			c.end()
		}
	}
}

// tinyClient is a machine with a server and the program.
type tinyClient struct {
	b       *testing.B
	program string
	dir     string
	env     []string
	daemon  bool
	server  *exec.Cmd
	peak    float64 // KiB that a command had at most
}

func newTinyClient(b *testing.B, daemon bool) *tinyClient {
	b.Helper()
	program, err := filepath.Abs("../../bin/parqueue")
	if err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tiny-")
	if err != nil {
		b.Fatal(err)
	}
	c := &tinyClient{b: b, program: program, dir: dir, daemon: daemon}
	c.server = exec.Command(program, "serve", "--quiet", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	stdout, err := c.server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.server.Start(); err != nil {
		b.Fatal(err, "; make build")
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	words := strings.Fields(line)
	key, failed := os.ReadFile(filepath.Join(dir, "data", "admin.key"))
	if err != nil || failed != nil || len(words) < 2 {
		b.Fatal(line, err, failed)
	}
	c.env = append(os.Environ(), "PARQUEUE_URL="+words[1], "PARQUEUE_API_KEY="+strings.TrimSpace(string(key)),
		"PARQUEUE_STATE_DIR="+filepath.Join(dir, "state"), "PARQUEUE_CONFIG_DIR="+filepath.Join(dir, "config"), "PARQUEUE_NO_DAEMON=1")
	if daemon {
		c.env = append(c.env, "PARQUEUE_NO_DAEMON=")
	}
	return c
}

func (c *tinyClient) run(b *testing.B, args ...string) string {
	b.Helper()
	run := exec.CommandContext(b.Context(), c.program, args...)
	var stdout, stderr bytes.Buffer
	run.Env, run.Stdout, run.Stderr = c.env, &stdout, &stderr
	if err := run.Run(); err != nil {
		b.Fatalf("%q: %v: %s", args, err, stderr.String())
	}
	c.peak = max(c.peak, float64(run.ProcessState.SysUsage().(*syscall.Rusage).Maxrss))
	return stdout.String()
}

// daemonPeak is the most memory that the daemon had so far, in KiB.
func (c *tinyClient) daemonPeak(b *testing.B) float64 {
	b.Helper()
	if !c.daemon {
		return 0
	}
	var status struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal([]byte(c.run(b, "daemon", "start", "--json")), &status); err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", status.PID))
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if err != nil || found == nil {
		b.Fatal(err, "no peak of the daemon")
	}
	peak, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return peak
}

func (c *tinyClient) end() {
	if c.daemon {
		c.run(c.b, "daemon", "stop")
	}
	_ = c.server.Process.Kill()
	_ = c.server.Wait()
	if err := os.RemoveAll(c.dir); err != nil {
		c.b.Error(err)
	}
}

// tinyFiles writes valid files of 6 kB that all differ: bytes before the footer
// belong to no column.
func (c *tinyClient) tinyFiles(count int) string {
	whole, err := os.ReadFile("../../internal/footer/testdata/same/pyarrow_none.parquet")
	if err != nil {
		c.b.Fatal(err)
	}
	at := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	in := filepath.Join(c.dir, "in")
	if err := os.Mkdir(in, 0o755); err != nil {
		c.b.Fatal(err)
	}
	for i := range count {
		content := bytes.Join([][]byte{whole[:at], fmt.Appendf(nil, "%016d", i), whole[at:]}, nil)
		if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("part-%d.parquet", i)), content, 0o644); err != nil {
			c.b.Fatal(err)
		}
	}
	return in
}
