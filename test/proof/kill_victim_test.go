package proof

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	driver "modernc.org/sqlite"

	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/embeddeds3"
	"github.com/parqueue/parqueue/internal/lambdahttp"
)

// A victim is this test binary once more: a server that kills itself, with
// SIGKILL, at a step that it is told. What counts as a step is around the code and not
// in it: every call to a store, when it is about to be made and when it is under
// way; every row that SQLite changes, and its commit; a stretch of a request's body; and
// the answer, before it is given and after.

// victimVariable makes a test binary a victim. Its value is its order, in JSON.
const victimVariable = "PARQUEUE_PROOF_VICTIM"

// order says what a victim keeps its data in: the cloud, or a folder.
type order struct {
	Cloud *cloud
	Dir   string
}

// runVictim does not return in a victim.
func runVictim() {
	given, ok := os.LookupEnv(victimVariable)
	if !ok {
		return
	}
	if err := serveVictim(given); err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serveVictim runs until standard input ends, as it does when the test dies.
func serveVictim(given string) error {
	var o order
	if err := json.Unmarshal([]byte(given), &o); err != nil {
		return err
	}
	s := new(steps)
	b := new(backstage)
	w := wiring{transport: counting{newTransport(), s}, now: b.now}
	limit := int64(lambdahttp.MaxBody)
	if o.Cloud != nil {
		b.stores = o.Cloud.open(w)
	} else {
		var err error
		if b.stores, err = local(o.Dir, s, w); err != nil {
			return err
		}
		limit = 0
	}
	handler, err := b.around(w.api(b.stores, limit))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, s.around(handler)) }() //nolint:gosec // ends with the process
	fmt.Printf("http://%s\n", listener.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// local are the stores as the local server puts them together, with their steps
// counted.
func local(dir string, s *steps, w wiring) (stores, error) {
	ctx := context.Background()
	access := s3Access{Bucket: "parqueue", Region: "us-east-1", AccessKey: "victim", SecretKey: "victim-secret"}
	s3, err := embeddeds3.Start(ctx, embeddeds3.Config{
		Dir: filepath.Join(dir, "objects"), Address: "127.0.0.1:0",
		AccessKey: access.AccessKey, SecretKey: access.SecretKey, Region: access.Region, Buckets: []string{access.Bucket, inboxBucket},
	})
	if err != nil {
		return stores{}, err
	}
	driver.RegisterConnectionHook(func(connection driver.ExecQuerierContext, _ string) error {
		hooks := connection.(driver.HookRegisterer)
		hooks.RegisterPreUpdateHook(func(data driver.SQLitePreUpdateData) { s.step("SQLite: a row of " + data.TableName) })
		hooks.RegisterCommitHook(func() int32 { s.step("SQLite: commit"); return 0 })
		return nil
	})
	catalog, err := sqlite.Open(ctx, filepath.Join(dir, "catalog.sqlite"), sqlite.WithClock(w.now))
	if err != nil {
		return stores{}, err
	}
	access.Endpoint = s3.Endpoint()
	return stores{catalog, access.store(w), access.in(inboxBucket).store(w)}, nil
}

// steps counts towards the one at which the process is killed.
type steps struct {
	mu    sync.Mutex
	armed bool
	left  int
}

// deadline is the header of the request that the process is to die of, and its
// value the number of the step, from 1.
const deadlineHeader = "X-Proof-Die-At"

// step may be the last thing that the process does.
func (s *steps) step(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.armed {
		return
	}
	if s.left--; s.left == 0 {
		fmt.Println(what)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (s *steps) arm(at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed, s.left = at > 0, at
}

// around counts the steps of the requests that the process may die of.
func (s *steps) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, err := strconv.Atoi(r.Header.Get(deadlineHeader))
		if err != nil {
			next.ServeHTTP(w, r)
			return
		}
		s.arm(at)
		s.step("request: its headers have come")
		r.Body = &countedBody{ReadCloser: r.Body, steps: s}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		s.step("answer: it is about to be given")
		maps.Copy(w.Header(), answer.Header())
		w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
		_ = http.NewResponseController(w).Flush()
		s.step("answer: the client has it")
		s.arm(0)
		fmt.Println(survived)
	})
}

// survived is what a victim prints that had no such step.
const survived = "survived"

// stretch is how much of a body is a step.
const stretch = 2 << 20

type countedBody struct {
	io.ReadCloser
	steps *steps
	read  int
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if before := b.read; n > 0 {
		if b.read += n; before/stretch != b.read/stretch || before == 0 {
			b.steps.step("request: a stretch of its body has come")
		}
	}
	return n, err
}

// counting makes two steps of every call to a store, and one of a call that only
// reads. At the second one all of the request has been sent, and the store is at
// work on it.
type counting struct {
	next  http.RoundTripper
	steps *steps
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	name := operationName(r)
	c.steps.step(name + ": it is about to be called")
	if reads(r) {
		return c.next.RoundTrip(r)
	}
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { c.steps.step(name + ": it is under way") }}
	return c.next.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
}

// reads reports whether a call to a store changes nothing, so that to be killed in
// the middle of it is the same as before it.
func reads(r *http.Request) bool {
	_, name, toDynamo := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if toDynamo {
		return name == "GetItem" || name == "BatchGetItem" || name == "Query"
	}
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// operationName is what a call to a store is about.
func operationName(r *http.Request) string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		_, name, _ := strings.Cut(target, ".")
		return "DynamoDB: " + name
	}
	q := r.URL.Query()
	for _, parameter := range []string{"uploads", "uploadId"} {
		if q.Has(parameter) {
			return "S3: " + r.Method + " " + parameter
		}
	}
	return "S3: " + r.Method
}

// victim is one that runs, as the test sees it.
type victim struct {
	client
	cmd   *exec.Cmd
	stdin io.Closer
	said  *bufio.Reader
}

// startVictim starts one over what others have left.
func startVictim(t testing.TB, o order) *victim {
	t.Helper()
	given, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{cmd: exec.Command(os.Args[0])} //nolint:gosec // this test
	v.cmd.Env = append(os.Environ(), victimVariable+"="+string(given))
	v.cmd.Stderr = os.Stderr
	dieWithParent(v.cmd)
	stdout, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if v.stdin, err = v.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v.said = bufio.NewReader(stdout)
	url, err := v.said.ReadString('\n')
	if err != nil {
		t.Fatalf("a victim did not start: %v", err)
	}
	v.client = client{url: strings.TrimSpace(url), http: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return v
}

// died waits until a victim has died, and returns the step at which it did; or ""
// when it has come to the end of the request.
func (v *victim) died() string {
	line, _ := v.said.ReadString('\n')
	step := strings.TrimSpace(line)
	if step == survived {
		return ""
	}
	_ = v.cmd.Wait() // it was killed
	return step
}

// stop ends a victim that was not killed.
func (v *victim) stop() {
	_ = v.cmd.Process.Kill()
	_ = v.cmd.Wait() // it was killed
}
