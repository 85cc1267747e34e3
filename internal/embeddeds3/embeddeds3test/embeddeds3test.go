// Package embeddeds3test gives tests the real object store of the local
// server, in a process of its own: the store changes the working directory of
// its process while it starts, which parallel tests that read testdata/ would
// notice, and only another process can be killed.
//
// The process is the test binary itself, so a package that uses Start needs
//
//	func TestMain(m *testing.M) { embeddeds3test.Main(m) }
//
// It needs no IAM actions.
package embeddeds3test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/embeddeds3"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/testtool"
)

// Buckets that exist in every store that is started, and where in the second one
// its upload key may store objects.
const (
	Bucket = "parqueue-test"
	Inbox  = "parqueue-test-inbox"
	Prefix = "incoming/"
)

const (
	region = "us-east-1"

	// childEnv makes a test binary the store. Its value is an order.
	childEnv = "PARQUEUE_EMBEDDED_S3_CHILD"

	// readyTime is generous: tests share few cores.
	readyTime = 30 * time.Second
)

// order is what the child is told.
type order struct {
	Dir       string
	Address   string
	AccessKey string
	SecretKey string
	UploadKey embeddeds3.UploadKey
	ReadOnly  bool
	command   []string // what runs the child; the test binary alone if empty
}

// hasMain is set by Main. Without Main the child would run the tests, and each
// of them start children.
var hasMain bool //nolint:gochecknoglobals // set once, before any test runs

// Main runs the tests of a package, or the store when the process was started
// by Start. It doesn't return.
func Main(m *testing.M) {
	RunChild()
	os.Exit(m.Run())
}

// RunChild is for packages whose TestMain has more to do: it must be called
// first. In a process started by Start it runs the store and doesn't return.
func RunChild() {
	hasMain = true
	given, isChild := os.LookupEnv(childEnv)
	if !isChild {
		return
	}
	if err := serve(given); err != nil {
		fmt.Fprintln(os.Stderr, "embedded S3 child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve runs the store until standard input ends, which it does when the
// parent closes it and also when the parent dies in whatever way.
func serve(given string) error {
	var o order
	if err := json.Unmarshal([]byte(given), &o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	server, err := embeddeds3.Start(context.Background(), embeddeds3.Config{
		Dir: o.Dir, Address: o.Address, AccessKey: o.AccessKey, SecretKey: o.SecretKey,
		UploadKey: &o.UploadKey, ReadOnly: o.ReadOnly,
		Region: region, Buckets: []string{Bucket, Inbox},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	fmt.Println(server.Endpoint())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return fmt.Errorf("waiting for the parent: %w", err)
	}
	return server.Close()
}

// Store is a running store.
type Store struct {
	Client    *s3.Client // as the product makes it
	Bucket    string
	Endpoint  string
	Region    string
	AccessKey string
	SecretKey string
	UploadKey embeddeds3.UploadKey
	Dir       string // its data folder

	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *syncBuffer
	ended  chan struct{} // closed when the process has ended
	err    error         // of the process, once ended is closed
}

// Option changes what Start starts.
type Option func(*order)

// InDir uses a data folder instead of a fresh one, for example that of a store
// that was stopped or killed.
func InDir(dir string) Option { return func(o *order) { o.Dir = dir } }

// ReadOnly has the store change nothing in its folder.
func ReadOnly() Option { return func(o *order) { o.ReadOnly = true } }

// OnSmallDisk puts the data folder on a disk of its own, in memory, of a size.
// Where none can be mounted, testtool.SmallDisk says what becomes of the test.
func OnSmallDisk(t testing.TB, bytes int64) Option {
	t.Helper()
	dir := t.TempDir()
	command := testtool.SmallDisk(t, dir, bytes)
	return func(o *order) { o.Dir, o.command = dir, command }
}

// Start starts a store and ends it with the test.
func Start(t testing.TB, opts ...Option) *Store {
	t.Helper()
	s, err := TryStart(t, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TryStart is Start for tests in which starting fails; the error has what the
// child printed.
func TryStart(t testing.TB, opts ...Option) (*Store, error) {
	t.Helper()
	if !hasMain {
		t.Fatal("TestMain of this package must call embeddeds3test.Main")
	}
	o := order{
		Address: "127.0.0.1:0", AccessKey: "test" + rand.Text(), SecretKey: rand.Text(),
		UploadKey: embeddeds3.UploadKey{AccessKey: "upload" + rand.Text(), SecretKey: rand.Text(), Bucket: Inbox, Prefix: Prefix},
	}
	for _, opt := range opts {
		opt(&o)
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s := &Store{
		Bucket: Bucket, Region: region, AccessKey: o.AccessKey, SecretKey: o.SecretKey, UploadKey: o.UploadKey, Dir: o.Dir,
		stderr: new(syncBuffer), ended: make(chan struct{}),
	}
	ready, err := s.spawn(o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		s.end(t)
	})
	return s, s.await(ready)
}

// spawn starts the child; its endpoint, or nothing, comes from the channel.
func (s *Store) spawn(o order) (ready <-chan string, err error) {
	given, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("writing the order: %w", err)
	}
	command := append(o.command, os.Args[0])
	s.cmd = exec.Command(command[0], command[1:]...)
	s.cmd.Env = append(os.Environ(), childEnv+"="+string(given))
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	lines := make(chan string, 1)
	go func() {
		defer close(s.ended)
		out := bufio.NewScanner(stdout)
		if out.Scan() {
			lines <- out.Text()
		}
		close(lines)
		for out.Scan() {
			fmt.Fprintln(s.stderr, "unexpected on standard output:", out.Text())
		}
		s.err = s.cmd.Wait()
	}()
	return lines, nil
}

func (s *Store) await(ready <-chan string) error {
	select {
	case endpoint, ok := <-ready:
		if !ok {
			<-s.ended
			return fmt.Errorf("the store did not start: %w\n%s", s.err, s.stderr)
		}
		s.Endpoint = endpoint
		s.Client = objectstore.NewClient(s.Config(), endpoint)
		return nil
	case <-time.After(readyTime):
		return fmt.Errorf("the store was not ready after %s\n%s", readyTime, s.stderr)
	}
}

// Config is what clients other than Client are made from.
func (s *Store) Config() aws.Config {
	return aws.Config{
		Region:      s.Region,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	}
}

// Log is what the store has logged.
func (s *Store) Log() string { return s.stderr.String() }

// Stop asks the store to end and waits until it has.
func (s *Store) Stop() error {
	_ = s.stdin.Close() // fails when the process is gone, which is the aim
	<-s.ended
	return s.err
}

// Kill ends the store like kill -9 and waits until it is gone.
func (s *Store) Kill() {
	_ = s.cmd.Process.Kill() // fails when the process is gone, which is the aim
	<-s.ended
}

// end stops the store, by force if need be, and shows its log if the test failed.
func (s *Store) end(t testing.TB) {
	_ = s.stdin.Close()
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		s.Kill()
	}
	if t.Failed() && s.Log() != "" {
		t.Logf("log of the store:\n%s", s.Log())
	}
}

// syncBuffer is a buffer that may be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
