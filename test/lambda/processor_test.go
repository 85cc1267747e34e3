package lambda_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/keys"
)

// What a warm request may take of a processor, on a machine that is busy with other
// tests. docs/benchmarks.md has what it takes.
const (
	listProcessor   = 6 * time.Millisecond
	uploadProcessor = 30 * time.Millisecond
)

// TestProcessorTime measures what requests take of the processor in the functions, in
// Lambda's emulator and with real stores: the first one that finds the function
// running, and the fastest of some.
func TestProcessorTime(t *testing.T) {
	l := startLedger(t, "authorizer", "create-dataset", "upload-to-dataset", "list-dataset-files")
	l.who = l.authorize(t, l.stores.addKey(t, keys.ScopeAdmin))
	id := l.dataset(t)
	n := 0
	content := largeParquet(t, 4_400_000-200_000) // which comes to 4.4 MB
	upload := func() event {
		n++
		e := about(t, "upload-to-dataset", id, "part-0001.parquet", fmt.Sprintf("part-%d.parquet", n))
		return e.withBody(bytes.Replace(e.body(t), e.file(t), content, 1))
	}
	l.ok(t, "upload-to-dataset", upload()) // starts the function
	first, fastest := l.processor(t, "upload-to-dataset", upload)
	t.Logf("an upload of %.1f MB takes %v, the first one %v", float64(len(content))/1e6, fastest, first)
	if fastest > uploadProcessor {
		t.Errorf("want %v at most", uploadProcessor)
	}

	listed := l.stores.datasetOf(t, 100)
	list := func() event { return about(t, "list-dataset-files", listed) }
	l.ok(t, "list-dataset-files", list())
	first, fastest = l.processor(t, "list-dataset-files", list)
	t.Logf("a list of 100 files takes %v, the first one %v", fastest, first)
	if fastest > listProcessor {
		t.Errorf("want %v at most", listProcessor)
	}
}

// processor is what a function's process takes for the first of some requests, and
// for the fastest.
func (l *ledger) processor(t *testing.T, function string, request func() event) (first, fastest time.Duration) {
	t.Helper()
	const requests = 12
	pid := l.functions[function].process(t)
	var took []time.Duration
	for range requests {
		e := request()
		before := onProcessor(t, pid)
		l.ok(t, function, e)
		took = append(took, onProcessor(t, pid)-before)
	}
	return took[0], slices.Min(took)
}

// process finds the function's own process, which its emulator started.
func (f *function) process(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		// The parent is the second field behind the name, see proc_pid_stat(5).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(f.pid) {
			return filepath.Base(filepath.Dir(path))
		}
	}
	t.Fatalf("the emulator %d has no process", f.pid)
	return ""
}

// onProcessor is how long the threads of a process have been running, to the
// nanosecond. None of them ends while the function runs: Go keeps its threads.
func onProcessor(t *testing.T, pid string) (total time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(filepath.Join("/proc", pid, "task", "*", "schedstat"))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of %s, %v", pid, err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			t.Fatal(err)
		}
		var running int64
		if _, err := fmt.Sscan(string(text), &running); err != nil {
			t.Fatal(err)
		}
		total += time.Duration(running)
	}
	return total
}
