package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/parqueue/parqueue/internal/transfer"
)

// memoryMost is what a process of the client's may take, in KiB.
const memoryMost = 100 << 10

// A plan of a hundred thousand files takes some seconds and bounded memory.
func TestPlanOfManyTinyFiles(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	const many, each = 100_000, 25_000 // as many links as a file may have everywhere
	in := m.folder("in")
	for i := range many {
		path := filepath.Join(in, fmt.Sprintf("part-%d.parquet", i))
		if i%each == 0 {
			if err := writeParquet(path, i, 0); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Link(filepath.Join(in, fmt.Sprintf("part-%d.parquet", i/each*each)), path); err != nil {
			t.Fatal(err)
		}
	}
	plan := m.command("datasets", "upload", m.dataset, "in", "--dry-run", "--json")
	var stdout, stderr bytes.Buffer
	plan.Stdout, plan.Stderr = &stdout, &stderr
	if err := plan.Run(); err != nil {
		t.Fatal(err, stderr.String())
	}
	var planned transfer.UploadPlan
	if err := json.Unmarshal(stdout.Bytes(), &planned); err != nil {
		t.Fatal(err)
	}
	if planned.Count != many || planned.Files[10].Name != "part-10.parquet" || planned.Files[many-1].Name != "part-99999.parquet" {
		t.Errorf("planned %d files", planned.Count)
	}
	if most := peakOf(plan); most > memoryMost {
		t.Errorf("it took %d KiB of memory", most)
	}
}

// peakOf is the most memory that a process had, in KiB.
func peakOf(ended *exec.Cmd) int64 { return ended.ProcessState.SysUsage().(*syscall.Rusage).Maxrss }

// More than a thousand tiny files go there and back through the daemon with as many
// requests as they need, and in bounded memory. test/bench has more of them.
func TestManyTinyFiles(t *testing.T) {
	t.Parallel()
	m := newDaemonMachine(t)
	const many = 1200
	m.files("in", make([]int64, many)...)
	asked := m.countRequests()

	result := decoded[transfer.UploadResult](m, "datasets", "upload", m.dataset, "in")
	if result.Uploaded != many {
		t.Errorf("uploaded %+v", result)
	}
	upload := asked()
	// Two for each file at most, to begin and to complete it; appended in runs.
	if upload["create-upload"] > many || upload["complete-upload"] > many || upload["append-files"] > many/8 || upload[""] > 2*many+many/8+10 {
		t.Errorf("the upload asked %v", upload)
	}
	m.daemonStays("the upload")

	again := decoded[transfer.UploadResult](m, "datasets", "upload", m.dataset, "in")
	if reads := asked(); again.Skipped != many || reads[""] > 5 {
		t.Errorf("%d files were there, and it asked %v", again.Skipped, reads)
	}

	got := decoded[transfer.DownloadResult](m, "datasets", "download", m.dataset, "--to", "out")
	if download := asked(); got.Downloaded != many || download[""] > many+10 {
		t.Errorf("%d files came, and it asked %v", got.Downloaded, download)
	}
	m.daemonStays("the download")
	if out, err := exec.Command("diff", "-r", "-x", transfer.OrderFile, filepath.Join(m.dir, "in"), filepath.Join(m.dir, "out")).CombinedOutput(); err != nil {
		t.Errorf("%v: %.1000s", err, out)
	}

	verified := decoded[struct{ Checked, Sound int }](m, "datasets", "verify", m.dataset)
	if asks := asked(); verified.Checked != many || verified.Sound != many || asks[""] > 1 {
		t.Errorf("verified %+v with %v", verified, asks)
	}
}

// daemonStays sees that the daemon has stayed within its memory.
func (m *machine) daemonStays(during string) {
	m.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.status().PID))
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if err != nil || peak == nil {
		m.t.Fatal(err, string(text))
	}
	if most, err := strconv.Atoi(string(peak[1])); err != nil || most > memoryMost {
		m.t.Errorf("the daemon took %d KiB during %s, %v", most, during, err)
	}
}

// countRequests has the machine reach its server through a counter. What it returns
// tells how often each endpoint was asked since the last time, and all under "".
func (m *machine) countRequests() func() map[string]int {
	m.t.Helper()
	at, err := url.Parse(m.url)
	if err != nil {
		m.t.Fatal(err)
	}
	var mu sync.Mutex
	counts := map[string]int{}
	proxy := httputil.NewSingleHostReverseProxy(at)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 100}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		counts[filepath.Base(r.URL.Path)]++
		counts[""]++
		mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	m.t.Cleanup(server.Close)
	m.env = append(m.env, "PARQUEUE_URL="+server.URL)
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		since := counts
		counts = map[string]int{}
		return since
	}
}
