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
// with what the least function in Go does, and one with a default-built SDK, in one
// run: the processor time that they take, and how long it is. Lambda bills it with
// every cold start.
func BenchmarkInit(b *testing.B) {
	folders := []string{"hello", "defaultsdk", "get-quotas", "authorizer", "list-dataset-files", "upload-to-dataset", "download-from-dataset", "ingest-object"}
	binaries := build(b, folders[2:])
	buildOther(b, binaries, folders[0], "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w")
	buildOther(b, binaries, folders[1])
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

// buildOther builds what is in testdata and is no function of the deployment.
func buildOther(b *testing.B, binaries, name string, flags ...string) {
	b.Helper()
	output := filepath.Join(binaries, name, "bootstrap")
	command := exec.Command("go", slices.Concat([]string{"build"}, flags, []string{"-o", output, "./test/lambda/testdata/" + name})...)
	command.Dir, command.Env = testtool.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, output)
	}
	info, err := os.Stat(output)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%-22s %5.1f MB", name, float64(info.Size())/1e6)
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
		"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "TABLE_NAME=t", "BUCKET_NAME=bucket", "INBOX_NAME=inbox", "INBOX_TENANT=t", "STACK_NAME=s", "METRICS=stack",
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
