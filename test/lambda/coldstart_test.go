package lambda_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/testtool"
)

// BenchmarkInit compares what functions do before they ask for their first event
// with what the least function in Go does, in one run: the processor time that
// they take, and how long it is. Lambda bills it with every cold start.
func BenchmarkInit(b *testing.B) {
	folders := []string{"hello", "get-quotas", "authorizer", "list-dataset-files", "upload-to-dataset", "download-from-dataset"}
	binaries := build(b, folders[1:])
	hello := filepath.Join(binaries, folders[0])
	command := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", filepath.Join(hello, "bootstrap"), "./test/lambda/testdata/hello")
	command.Dir, command.Env = testtool.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, output)
	}
	var least time.Duration
	for _, folder := range folders {
		b.Run(folder, func(b *testing.B) {
			var processor, elapsed []time.Duration
			for b.Loop() {
				p, e := initOnce(b, filepath.Join(binaries, folder, "bootstrap"))
				processor, elapsed = append(processor, p), append(elapsed, e)
			}
			fastest := slices.Min(processor)
			if folder == folders[0] {
				least = fastest
			}
			b.ReportMetric(0, "ns/op") // of which most is the end of the process
			b.ReportMetric(fastest.Seconds()*1e3, "cpu-ms")
			b.ReportMetric(slices.Min(elapsed).Seconds()*1e3, "ms")
			b.ReportMetric(fastest.Seconds()/least.Seconds(), "cpu/hello")
		})
	}
}

// initOnce starts a function until it asks for an event.
func initOnce(b *testing.B, bootstrap string) (processor, elapsed time.Duration) {
	b.Helper()
	asked := make(chan time.Time, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- time.Now()
		<-r.Context().Done()
	}))
	defer server.Close()
	command := exec.Command(bootstrap)
	command.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(server.URL, "http://"), "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "TABLE_NAME=t", "BUCKET_NAME=bucket",
	}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	select {
	case at := <-asked:
		elapsed = at.Sub(began)
	case <-time.After(time.Minute):
		b.Error("it asks for no event")
	}
	_ = command.Process.Kill()
	_ = command.Wait()
	return command.ProcessState.UserTime() + command.ProcessState.SystemTime(), elapsed
}
