// Package daemon is the transfer daemon: a process of a user's own that owns
// transfers and survives the clients that asked for them. It speaks HTTP with JSON
// on a Unix socket (docs/daemon.md, docs/daemon.openapi.yaml) and runs the engine
// of internal/transfer. The same package has the client's side: finding a daemon,
// starting one, and speaking to it.
//
// There is one daemon for each state folder, which is one for each user: it holds a
// lock there. What it has to remember is in that folder as well, so that one that
// was killed is followed by one that goes on. An API key is never written to it,
// nor to the log.
//
// The package needs no IAM actions.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// Config says how a daemon works.
type Config struct {
	StateDir string
	Version  string        // of the program
	Idle     time.Duration // without transfers and requests after which it ends; 0 is 10 minutes
	Log      *slog.Logger

	// Loopback listens on a port of this machine instead of a socket, and wants
	// the token that is written beside the lock: for systems without sockets.
	Loopback bool

	// Identify finds out who is signed in as a profile, "" being the default one.
	Identify func(profile string) (client.Config, error)
	// ProfilesDir is where Identify looks.
	ProfilesDir string
}

// Bounds of a daemon.
const (
	idleUsual    = 10 * time.Minute
	keptFor      = 24 * time.Hour // the results of transfers that have ended
	keptMost     = 1000           // of them
	mostAlive    = 1000           // transfers that have not ended
	runsAtOnce   = 32             // the others wait for their turn
	connections  = 128            // of all transfers, when no limit is set
	finishWithin = 10 * time.Second
)

// Daemon is a daemon that runs.
type Daemon struct {
	config  Config
	log     *slog.Logger
	started time.Time
	limits  *transfer.Limits
	asked   atomic.Pointer[Limits] // what the limits were set to
	calls   *http.Transport        // of the API
	bytes   *http.Transport        // of the store
	program programFile

	running context.Context // of all transfers
	halt    context.CancelCauseFunc
	group   sync.WaitGroup
	runs    atomic.Int64
	turns   chan struct{}

	mu   sync.Mutex
	jobs map[string]*job

	requests atomic.Int64 // under way
	lastUse  atomic.Int64 // Unix nanoseconds
	stopped  chan struct{}
	stopOnce sync.Once
}

// errAlready is a daemon that finds another one at its place.
var errAlready = errors.New("a daemon runs already")

// Run runs a daemon until ctx is done, a client stops it, or nobody has needed it
// for a while. Transfers that run then go on with the next daemon. ready is called
// once, when requests are answered.
// Errors: CodeConflict when there is one already; CodeInvalidRequest when the state
// folder can't be written to, or there is no place for the socket.
func Run(ctx context.Context, c Config, ready func(Address)) error {
	if err := os.MkdirAll(recordsFolder(c.StateDir), 0o700); err != nil {
		return errState(recordsFolder(c.StateDir), err)
	}
	lock := flock.New(filepath.Join(Folder(c.StateDir), "daemon.lock"))
	switch held, err := lock.TryLock(); {
	case err != nil:
		return errState(Folder(c.StateDir), err)
	case !held:
		return fault.New(fault.CodeConflict, "A transfer daemon runs already.", "`parqueue daemon status` shows it, and `parqueue daemon stop` stops it.").Because(errAlready)
	}
	defer lock.Close()
	d, err := newDaemon(c)
	if err != nil {
		return err
	}
	defer d.end()
	listener, address, err := d.listen(ctx)
	if err != nil {
		return err
	}
	if err := d.load(); err != nil {
		return errors.Join(err, listener.Close())
	}
	return d.serve(ctx, listener, address, ready)
}

func newDaemon(c Config) (*Daemon, error) {
	if c.Idle == 0 {
		c.Idle = idleUsual
	}
	d := &Daemon{
		config: c, log: c.Log, started: time.Now().UTC(), calls: client.NewTransport(), bytes: transfer.NewTransport(), program: thisProgram(),
		turns: make(chan struct{}, runsAtOnce), jobs: map[string]*job{}, stopped: make(chan struct{}),
	}
	d.running, d.halt = context.WithCancelCause(context.Background())
	asked := loadLimits(c.StateDir)
	limits, err := transfer.NewLimits(connections, 0)
	if err != nil {
		return nil, err
	}
	d.limits = limits
	if err := d.setLimits(asked); err != nil {
		d.log.Warn("the limits that were kept can't be used", "error", err.Error())
		asked = Limits{}
	}
	d.asked.Store(&asked)
	return d, nil
}

// end lets go of what the network was used with.
func (d *Daemon) end() {
	d.calls.CloseIdleConnections()
	d.bytes.CloseIdleConnections()
}

// serve answers requests until there is a reason to end.
func (d *Daemon) serve(ctx context.Context, listener net.Listener, address Address, ready func(Address)) error {
	server := &http.Server{
		Handler:           d.handler(address.Token),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return d.running },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	d.touch()
	d.log.Info("started", "version", d.config.Version, "pid", os.Getpid(), "state_dir", d.config.StateDir)
	ready(address)
	err := d.wait(ctx, served)
	_ = os.Remove(addressFile(d.config.StateDir)) // nobody else's: the lock is held
	finish, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	d.halt(errStopping)
	if err := server.Shutdown(finish); err != nil {
		_ = server.Close()
	}
	d.group.Wait()
	d.log.Info("stopped", "pid", os.Getpid())
	return err
}

// wait returns when the daemon is to end.
func (d *Daemon) wait(ctx context.Context, served <-chan error) error {
	ticker := time.NewTicker(min(d.config.Idle/4+time.Millisecond, time.Minute))
	defer ticker.Stop()
	for {
		select {
		case err := <-served:
			return fmt.Errorf("serving: %w", err)
		case <-ctx.Done():
			return nil
		case <-d.stopped:
			return nil
		case <-ticker.C:
			d.tidy(time.Now())
			if d.idle() {
				d.log.Info("nobody needs the daemon")
				return nil
			}
		}
	}
}

// touch notes that somebody needs the daemon.
func (d *Daemon) touch() { d.lastUse.Store(time.Now().UnixNano()) }

func (d *Daemon) idle() bool {
	return d.runs.Load() == 0 && d.requests.Load() == 0 && time.Since(time.Unix(0, d.lastUse.Load())) >= d.config.Idle
}

// load takes over what an earlier daemon remembered, and goes on with what ran.
func (d *Daemon) load() error {
	records, err := loadRecords(d.config.StateDir, func(path string, err error) {
		d.log.Error("what was remembered of a transfer can't be read", "path", path, "error", err.Error())
	})
	if err != nil {
		return errState(recordsFolder(d.config.StateDir), err)
	}
	for _, r := range records {
		j := &job{d: d, record: r, now: transfer.Progress{
			Files: r.Files, FilesDone: r.FilesDone, Bytes: r.Bytes, BytesDone: r.BytesDone, BytesMoved: r.Moved, SecondsLeft: -1,
		}}
		d.jobs[r.ID] = j
		switch {
		case r.State != StateRunning && r.State != StateWaiting:
		case r.Profile == "":
			d.goOn(j)
		default: // a keychain may take its time
			d.group.Go(func() { d.goOn(j) })
		}
	}
	d.tidy(time.Now())
	return nil
}

// goOn resumes a transfer that the end of a daemon interrupted. Without a key it
// waits for one.
func (d *Daemon) goOn(j *job) {
	if err := j.resume(nil); err != nil {
		if err := j.set(StateWaiting, err, nil); err != nil {
			d.log.Error("a transfer can't be remembered", "transfer_id", j.record.ID, "error", err.Error())
		}
	}
}

// tidy forgets transfers that ended a while ago.
func (d *Daemon) tidy(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ended []record
	for _, j := range d.sortedLocked() {
		if r := j.remembered(); Ended(r.State) {
			ended = append(ended, r)
		}
	}
	for i, r := range ended {
		if now.Sub(r.EndedAt) > keptFor || len(ended)-i > keptMost {
			delete(d.jobs, r.ID)
			_ = os.Remove(recordFile(d.config.StateDir, r.ID))
		}
	}
}

// newID makes the id of a transfer.
func newID() string { return uuid.NewString() }

// stop has the daemon end.
func (d *Daemon) stop() { d.stopOnce.Do(func() { close(d.stopped) }) }

// programFile is what the daemon was started from.
type programFile struct {
	path string
	size int64
	time time.Time
}

func thisProgram() programFile {
	path, err := os.Executable()
	if err != nil {
		return programFile{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return programFile{}
	}
	return programFile{path, info.Size(), info.ModTime()}
}

// replaced reports that the program was updated since.
func (p programFile) replaced() bool {
	if p.path == "" {
		return false
	}
	info, err := os.Stat(p.path)
	return err != nil || info.Size() != p.size || !info.ModTime().Equal(p.time)
}
