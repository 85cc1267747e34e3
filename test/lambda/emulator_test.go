package lambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/freeport"
	"github.com/parqueue/parqueue/internal/testtool"
)

// maxBootstrap holds the size of a function, which is part of its cold start, for
// x86_64. For arm64 test/template/sizes does.
const maxBootstrap = 9_600_000

// build builds functions the way that `sam build` does, for this machine, and
// returns the folder that holds a folder for each. What a test before it has built
// is not built again.
func build(t testing.TB, folders []string) string {
	t.Helper()
	out := os.Getenv(builtVariable)
	for _, folder := range folders {
		artifacts := filepath.Join(out, folder)
		if err := os.Mkdir(artifacts, 0o755); os.IsExist(err) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), "make", "build-"+logicalID(folder), "ARCH=x86_64")
		command.Dir = testtool.Root()
		command.Env = append(command.Environ(), "ARTIFACTS_DIR="+artifacts)
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", folder, err, output)
		}
		info, err := os.Stat(filepath.Join(artifacts, "bootstrap"))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-22s %5.1f MB", folder, float64(info.Size())/1e6)
		if info.Size() > maxBootstrap {
			t.Errorf("%s has %d bytes, want %d at most", folder, info.Size(), maxBootstrap)
		}
	}
	return out
}

// function is one Lambda function, run by Lambda's own runtime interface
// emulator, which also enforces Lambda's limits.
type function struct {
	url string
	log *syncBuffer
	pid int // the emulator's
	mu  sync.Mutex
}

// run starts a function that stops with the test.
func run(t *testing.T, bootstrap string, env []string) *function {
	t.Helper()
	address, log := freeAddress(t), &syncBuffer{}
	emulator := exec.Command(testtool.LambdaEmulator(t),
		"--runtime-interface-emulator-address", address, "--runtime-api-address", freeAddress(t), bootstrap)
	emulator.Env = append(os.Environ(), env...)
	emulator.Stdout, emulator.Stderr = log, log
	emulator.WaitDelay = 5 * time.Second
	emulator.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := emulator.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if lines := errorLines(log.String()); t.Failed() && lines != "" {
			t.Logf("%s logged:\n%s", filepath.Base(filepath.Dir(bootstrap)), lines)
		}
		_ = emulator.Process.Kill() // the function ends when its emulator does not answer
		_ = emulator.Wait()
	})
	waitFor(t, address)
	return &function{url: "http://" + address + "/2015-03-31/functions/function/invocations", log: log, pid: emulator.Process.Pid}
}

// logged waits until the function has logged a text so many times: the emulator
// passes on what it logs while, and after, it passes on the answer.
func (f *function) logged(t *testing.T, text string, times int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		log := f.log.String()
		switch n := strings.Count(log, text); {
		case n == times:
			return
		case n > times || time.Now().After(deadline):
			t.Errorf("logged %s %d times, and not %d:\n%s", text, n, times, log)
			return
		}
	}
}

// settled is what a function has logged when no more comes: some of it comes after
// the answer.
func (f *function) settled() (log string) {
	for {
		time.Sleep(30 * time.Millisecond)
		if now := f.log.String(); now == log {
			return log
		} else {
			log = now
		}
	}
}

// errorLines leaves out what the emulator and the function say when all is well.
func errorLines(log string) string {
	var lines []string
	for line := range strings.Lines(log) {
		if !emulatorLine.MatchString(line) && !strings.Contains(line, `"level":"INFO"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

var emulatorLine = regexp.MustCompile(`\(rapid\)|^(START|END|REPORT) RequestId`)

// invoke passes an event in and the answer out, into answer.
func (f *function) invoke(t *testing.T, event, answer any) {
	t.Helper()
	body := f.send(t, event)
	if err := json.Unmarshal(body, answer); err != nil {
		t.Fatalf("the function answered %.500q: %v", body, err)
	}
}

// send passes an event in and returns what the function says.
func (f *function) send(t *testing.T, event any) []byte {
	t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	body, err := f.post(ctx, payload)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// post passes an event in as JSON. An emulator takes one at a time.
func (f *function) post(ctx context.Context, payload []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func waitFor(t *testing.T, address string) {
	t.Helper()
	for range 500 {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("nothing listens on " + address)
}

// syncBuffer is what a process writes, to be read while it runs.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
