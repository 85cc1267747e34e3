// Package embeddeds3 is the S3 store of the local server: the gateway of
// github.com/versity/versitygw, in this process, on loopback, over a folder.
// The rest of Parqueue talks to it through the AWS SDK like to S3 itself, so
// there is one code path for bytes.
//
// What it adds to the gateway: an acknowledged object is on disk and stays
// there through a loss of power; a full disk is one clear error (507,
// InsufficientStorage); only one process at a time uses a folder; only the
// operations that Parqueue and the clients of its inbox need are answered; a second
// key can be one that only stores objects under a prefix; nothing is printed, and the process's working directory stays what it was.
//
// No Lambda links this package: it brings more than sixty modules along. It
// needs no IAM actions.
package embeddeds3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"github.com/parqueue/parqueue/internal/fault"
)

// Limits of the gateway. Each connection runs at most one request.
const (
	maxConnections = 1024
	maxRequests    = 512
	maxParts       = 10_000 // as on S3
	portAttempts   = 5      // a port found free can be taken before the gateway binds it
)

// Config says where the store keeps its objects and who may use it.
type Config struct {
	// Dir is the absolute path of the folder that holds everything. It is
	// created if missing, and belongs to this server alone while it runs.
	Dir string
	// Address is a loopback address with a port, for example "127.0.0.1:0".
	// Port 0 picks a free one.
	Address string
	// AccessKey and SecretKey are what clients sign with. They should be random
	// and made once per data folder.
	AccessKey, SecretKey string
	// UploadKey, if set, is a second key, for users who store objects on their own.
	UploadKey *UploadKey
	// Region is what clients sign for; "" means us-east-1.
	Region string
	// Buckets are created if missing. The server knows no others.
	Buckets []string
	// Logger gets what a caller of S3 isn't told; nil discards it.
	Logger *slog.Logger
	// CloseTimeout is how long Close waits for requests that are running; 0
	// means 30 seconds.
	CloseTimeout time.Duration
	// OnObjectCreated, if set, is called after an object is stored, by whatever
	// operation, and before the client hears of it. It must be quick and safe for
	// concurrent use.
	OnObjectCreated func(bucket, key string)
	// ReadOnly serves a folder that is there already and changes nothing in it, so
	// that another process may be using it meanwhile. Writes are refused.
	ReadOnly bool
}

// Server is a running store.
type Server struct {
	endpoint string
	gateway  *s3api.S3ApiServer
	backend  *store
	lock     io.Closer     // nil when it only reads
	grace    time.Duration // for requests that run when Close is called

	closeOnce sync.Once
	closeErr  error
	stopping  atomic.Bool
	done      chan struct{} // closed when the gateway has stopped serving
	serveErr  error         // why, once done is closed; nil when it was to stop
}

// Endpoint is the URL that clients use, such as http://127.0.0.1:41234.
func (s *Server) Endpoint() string { return s.endpoint }

// Start creates the buckets and serves them. It returns when the server
// answers, or with an error that says what to do. ctx bounds the start only;
// the server runs until Close.
//
// The gateway's file backend changes the working directory of the process
// while it is made; Start puts it back at once. Start a server before anything
// in the process depends on relative paths.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.ReadOnly {
		return startClaimed(ctx, cfg)
	}
	lock, err := claim(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s, err := startClaimed(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

// bucketName is narrower than S3's rule: no dots, so that a bucket is always
// one plain folder.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// check fills in defaults and refuses what could not work or must not be.
func (c *Config) check() error {
	if !filepath.IsAbs(c.Dir) {
		return fmt.Errorf("embedded S3: the folder %q is not an absolute path", c.Dir)
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		return errors.New("embedded S3: an access key and a secret key are needed")
	}
	if err := requireLoopback(c.Address); err != nil {
		return err
	}
	for _, b := range c.Buckets {
		if !bucketName.MatchString(b) {
			return fmt.Errorf("embedded S3: %q cannot be the name of a bucket", b)
		}
	}
	if err := c.UploadKey.check(c); err != nil {
		return err
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.CloseTimeout == 0 {
		c.CloseTimeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// requireLoopback refuses names as well as addresses of other machines: a name
// can resolve to anything.
func requireLoopback(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return fmt.Errorf("embedded S3: %q is not a loopback address with a port, such as 127.0.0.1:0", address)
	}
	return nil
}

// claim makes the folder and takes it for this process.
func claim(dir string) (io.Closer, error) {
	const hint = "Choose another folder, or make this one writable for the user that runs the server."
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Newf(fault.CodeUnavailable, hint, "The folder %s cannot be created.", dir).Because(err)
	}
	lock, err := lockFile(filepath.Join(dir, "LOCK"))
	switch {
	case errors.Is(err, errLocked):
		return nil, fault.Newf(fault.CodeUnavailable,
			"Stop the other server, or give this one a folder of its own.",
			"Another process is using the folder %s.", dir)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return nil, fault.Newf(fault.CodeStorageFull, "Free some space, or choose another folder.",
			"There is no room left in the folder %s.", dir).Because(err)
	case err != nil:
		return nil, fault.Newf(fault.CodeUnavailable, hint, "The folder %s cannot be written to.", dir).Because(err)
	}
	return lock, nil
}

// startClaimed starts the server over a folder that is this process's own.
func startClaimed(ctx context.Context, cfg Config) (*Server, error) {
	port0 := netip.MustParseAddrPort(cfg.Address).Port() == 0
	for attempt := 1; ; attempt++ {
		s, err := startOnce(ctx, cfg)
		if err == nil || !port0 || attempt == portAttempts || !errors.Is(err, syscall.EADDRINUSE) {
			return s, err
		}
	}
}

func startOnce(ctx context.Context, cfg Config) (*Server, error) {
	address, err := freeAddress(cfg.Address)
	if err != nil {
		return nil, err
	}
	be, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	listening := make(chan struct{})
	options := []s3api.Option{
		s3api.WithConcurrencyLimiter(maxConnections, maxRequests),
		s3api.WithMpMaxParts(maxParts),
		s3api.WithKeepAlive(),
		s3api.WithQuiet(),
		s3api.WithDisableACL(),
		s3api.WithOnListen(func() { close(listening) }),
	}
	if cfg.ReadOnly {
		options = append(options, s3api.WithReadOnly())
	}
	gateway, err := s3api.New(be,
		middlewares.RootUserConfig{Access: cfg.AccessKey, Secret: cfg.SecretKey}, cfg.Region,
		accounts{auth.NewIAMServiceSingle(auth.Account{}), cfg.UploadKey}, nil, nil, nil, nil, options...)
	if err != nil {
		be.Shutdown()
		return nil, fmt.Errorf("embedded S3: making the gateway: %w", err)
	}
	s := &Server{endpoint: "http://" + address, gateway: gateway, backend: be, grace: cfg.CloseTimeout, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := gateway.ServeMultiPort([]string{address}); !s.stopping.Load() {
			s.serveErr = err
		}
	}()
	select {
	case <-listening:
	case <-s.done:
		be.Shutdown()
		return nil, portError(address, s.serveErr)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), s.stop())
	}
	if err := s.probe(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// probe waits for an answer, whatever it is. The gateway says that it listens a
// moment before it can be told to stop; once it has answered it can.
func (s *Server) probe(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, s.endpoint, nil)
	if err != nil {
		return fmt.Errorf("embedded S3: %w", err)
	}
	// No proxy, and no connection kept: it would be one to wait for at the end.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("embedded S3: waiting for the first answer: %w", err)
	}
	return response.Body.Close()
}

// freeAddress turns port 0 into a port that is free now, because the gateway
// cannot say which one it got, and finds out early that a given one is taken.
func freeAddress(address string) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", portError(address, err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func portError(address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fault.Newf(fault.CodeUnavailable, "Stop what is listening there, or choose another port (0 picks a free one).",
			"The address %s is already in use.", address).Because(err)
	}
	return fmt.Errorf("embedded S3: listening on %s: %w", address, err)
}

// Wait blocks until the server has stopped, and says why when nobody asked it to.
func (s *Server) Wait() error {
	<-s.done
	return s.serveErr
}

// Close stops the server. Requests that are running are finished first, for as
// long as the configuration allows; then they are cut off. Whoever sends
// requests in several steps, as a multipart upload does, should be stopped
// before. Close may be called again and gives the same answer.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.grace)
		defer cancel()
		s.closeErr = errors.Join(s.backend.running.wait(ctx), s.stop())
		if s.lock != nil {
			s.closeErr = errors.Join(s.closeErr, s.lock.Close())
		}
	})
	return s.closeErr
}

// lingerTime is how long stop waits for connections on which no request runs.
const lingerTime = 500 * time.Millisecond

// stop ends the gateway. The gateway's own way waits ten seconds for
// connections that have never carried a request, of which HTTP clients open
// some in reserve; so what counts is that no request runs, and a moment more for
// the last answers to leave.
func (s *Server) stop() error {
	s.stopping.Store(true)
	stopped := make(chan error, 1)
	go func() { stopped <- s.gateway.ShutDown() }()
	var err error
	select {
	case err = <-stopped:
	case <-time.After(lingerTime):
	}
	for !s.isDone(lingerTime) {
		// Told to stop before it served, the gateway begins all the same.
		go func() { _ = s.gateway.ShutDown() }()
	}
	s.backend.Shutdown()
	return err
}

// isDone waits for the gateway to have stopped, but not for ever.
func (s *Server) isDone(within time.Duration) bool {
	select {
	case <-s.done:
		return true
	case <-time.After(within):
		return false
	}
}

// newPosix makes the gateway's file backend over root. Its constructor changes
// the working directory because it uses relative paths; this store only ever
// gives it absolute ones, so the directory can be put back.
func newPosix(root string, attributes meta.MetadataStorer) (*posix.Posix, error) {
	before, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("embedded S3: finding the working directory: %w", err)
	}
	opts := posix.PosixOpts{
		// A lock per process is enough, as one process holds the folder.
		ForceNoObjLockFile: true,
		// ETags made from the CRC-64 that is computed anyway, instead of from an
		// MD5 that would be most of the work of an upload.
		DataIntegrityEtag: true,
		// Each read of an object has one of these, be it of a footer's few bytes.
		IOBufferSize: 128 << 10,
	}
	opts.SetNewDirPerm(0o700)
	opts.SetNewFilePerm(0o600)
	p, err := posix.New(root, attributes, opts)
	if back := os.Chdir(before); back != nil {
		err = errors.Join(err, fmt.Errorf("embedded S3: returning to the working directory: %w", back))
	}
	return p, err
}
