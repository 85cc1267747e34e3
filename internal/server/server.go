// Package server is the whole of Parqueue in one process: the API's handlers,
// the embedded catalog and the embedded object store, over one folder. What
// differs from the deployed product is what stands behind the interfaces; the
// handlers are the same.
//
// The package needs no IAM actions.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/sweep"
)

// Config says where a server listens and keeps its data.
type Config struct {
	Listen      string // host:port; port 0 takes a free one
	DataDir     string // made if it is not there
	AllowRemote bool   // listen on addresses that other machines reach
	AllowOrigin string // whose pages may call the API from a browser; "" for nobody's
	Log         *slog.Logger
	Sweeping    Sweeping
}

// Ready describes a server that answers.
type Ready struct {
	URL     string // such as http://127.0.0.1:8080
	DataDir string // absolute
	KeyFile string // holds the first admin key
	S3Env   string // sets up a shell for putting files into the inbox
}

// CatalogFile is where the catalog is in a data folder.
func CatalogFile(dataDir string) string { return filepath.Join(dataDir, "catalog.sqlite") }

const (
	bucket = "parqueue"
	region = "us-east-1"
)

// Limits of the HTTP server.
const (
	readHeaderTimeout = 10 * time.Second
	keepAlive         = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	maxUploads        = 16              // read at once; each holds some parts in memory
	finishTime        = 5 * time.Minute // for what is running when the server is told to stop
)

// Run serves until ctx is done, then finishes what is running and returns. ready
// is called once, when requests are answered.
func Run(ctx context.Context, c Config, ready func(Ready)) error {
	listener, err := listen(c.Listen, c.AllowRemote)
	if err != nil {
		return err
	}
	defer listener.Close()
	dataDir, err := makeDataDir(c.DataDir)
	if err != nil {
		return err
	}
	s, err := open(ctx, dataDir, c.Log)
	if err != nil {
		return err
	}
	s.sweeping, s.allowOrigin = c.Sweeping, c.AllowOrigin
	err = s.serve(ctx, listener, ready)
	return errors.Join(err, s.close())
}

// stores are what a server keeps its data in.
type stores struct {
	dataDir  string
	log      *slog.Logger
	s3       *embeddeds3.Server
	catalog  *sqlite.Catalog
	objects  *objectstore.Store
	service  *dataset.Service
	purging  *purging
	sweeping Sweeping
	inbox    *inbox

	allowOrigin string
}

// open starts the object store first: it holds the lock on the data folder.
func open(ctx context.Context, dataDir string, log *slog.Logger) (*stores, error) {
	// Nobody else has these, so they need not outlive the process.
	accessKey, secretKey := rand.Text(), rand.Text()
	users, err := loadInboxKey(dataDir)
	if err != nil {
		return nil, err
	}
	inbox := newInbox(log)
	s3, err := embeddeds3.Start(ctx, embeddeds3.Config{
		Dir: filepath.Join(dataDir, "objects"), Address: users.Address,
		AccessKey: accessKey, SecretKey: secretKey, Region: region,
		UploadKey: &embeddeds3.UploadKey{AccessKey: users.AccessKey, SecretKey: users.SecretKey, Bucket: inboxBucket, Prefix: ingest.IncomingPrefix},
		Buckets:   []string{bucket, inboxBucket}, Logger: log, OnObjectCreated: inbox.notice,
	})
	if err != nil {
		return nil, err
	}
	if err := users.save(dataDir, s3.Endpoint()); err != nil {
		return nil, errors.Join(err, s3.Close())
	}
	catalog, err := sqlite.Open(ctx, CatalogFile(dataDir))
	if err != nil {
		return nil, errors.Join(err, s3.Close())
	}
	client := objectstore.NewClient(aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	}, s3.Endpoint())
	objects := objectstore.New(client, bucket)
	purging := newPurging(dataset.NewPurger(catalog, catalog, objects, nil), log)
	service := dataset.NewService(catalog, objects, dataset.WithUploads(catalog, objects), dataset.WithAssets(catalog), dataset.WithPurge(purging.want))
	return &stores{dataDir: dataDir, log: log, s3: s3, catalog: catalog, objects: objects, service: service, purging: purging, inbox: inbox}, nil
}

func (s *stores) close() error { return errors.Join(s.s3.Close(), s.catalog.Close()) }

// serve answers requests until ctx is done.
func (s *stores) serve(ctx context.Context, listener net.Listener, ready func(Ready)) error {
	keyFile, err := ensureAdminKey(ctx, s.catalog, s.dataDir)
	if err != nil {
		return err
	}
	authenticator := &keys.Authenticator{Store: s.catalog}
	handlers := api.New(api.Config{
		Service:    s.service,
		Rejections: ingest.NewRejections(localTenant, objectstore.NewInbox(inboxBucket, s.objects)),
		Principal: func(r *http.Request) (keys.Principal, error) {
			return authenticator.Authenticate(r.Context(), authorization(r.Header))
		},
		Log:           s.log,
		AllowOrigin:   s.allowOrigin,
		UploadsAtOnce: maxUploads,
	})
	srv := &http.Server{
		Handler:           watchProgress(handlers.Handler(), stallTime),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       keepAlive,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	endOfBackground, err := s.inBackground(ctx)
	if err != nil {
		return err
	}
	defer endOfBackground()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	ready(Ready{URL: localURL(listener.Addr()), DataDir: s.dataDir, KeyFile: keyFile, S3Env: filepath.Join(s.dataDir, s3EnvFile)})
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("stopping: finishing what is running")
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	if err := srv.Shutdown(finish); err != nil {
		_ = srv.Close() // before the stores that its handlers use
		return fmt.Errorf("what was running did not finish within %v: %w", finishTime, err)
	}
	return nil
}

// inBackground begins what a server does beside answering. The function that it
// returns ends that, before the stores are closed.
func (s *stores) inBackground(ctx context.Context) (end func(), err error) {
	sweeping := s.sweeping.withDefaults()
	sweeper := sweep.New(s.objects, s.catalog, sweep.WithTiming(sweeping.Timing), sweep.WithWitness(markFile(s.dataDir)))
	if err := sweeper.Prepare(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { s.purging.run(ctx) })
	ingester := ingest.New(localTenant, inboxBucket, s.catalog, objectstore.NewInbox(inboxBucket, s.objects))
	running.Go(func() { s.inbox.run(ctx, ingester) })
	running.Go(func() { sweeping.run(ctx, sweeper, s.log) })
	return func() {
		cancel()
		running.Wait()
		s.noteEnd(ctx, sweeper)
	}, nil
}

// authorization is the header, or "" when it is there twice: who reads the first
// and who reads the second would see different callers.
func authorization(h http.Header) string {
	if values := h.Values("Authorization"); len(values) == 1 {
		return values[0]
	}
	return ""
}

// makeDataDir makes the data folder for its owner alone.
func makeDataDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(abs, 0o700)
	}
	if err != nil {
		return "", fault.Newf(fault.CodeInvalidRequest, "Give a folder that you may write to with --data.",
			"The data folder %s can't be made.", dir).Because(err)
	}
	return abs, nil
}

// listen opens the address, and refuses one that other machines reach unless
// that is wanted.
func listen(address string, allowRemote bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fault.Newf(fault.CodeInvalidRequest, "Give it as host:port, such as 127.0.0.1:8080.", "The address %q can't be read.", address)
	}
	if !allowRemote && !loopback(host) {
		return nil, fault.Newf(fault.CodeInvalidRequest,
			"Listen on 127.0.0.1, or add --allow-remote if other machines are meant to reach the server: it speaks plain HTTP, so put a proxy with TLS before it.",
			"%s is an address that other machines may reach.", address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fault.Newf(fault.CodeUnavailable, "Stop what listens there, or choose another address with --listen.",
			"The address %s can't be listened on.", address).Because(err)
	}
	return listener, nil
}

// localURL is how this machine reaches the server.
func localURL(at net.Addr) string {
	host, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return "http://" + at.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // a listener on :: takes IPv4 as well
	}
	return "http://" + net.JoinHostPort(host, port)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
