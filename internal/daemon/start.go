package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/parqueue/parqueue/internal/fault"
)

// Starting says how a daemon is started when there is none.
type Starting struct {
	StateDir string
	Version  string   // of this program
	Command  []string // the program and arguments that run a daemon in the foreground
	Without  []string // variables that it is not to have: they hold keys
}

// Bounds of starting a daemon.
const (
	startTime  = 15 * time.Second
	startTries = 4 // of daemons that are killed before they answer
	lockTime   = time.Second
	lookEvery  = 10 * time.Millisecond
)

// Ensure returns a client of the daemon, which it starts if there is none. One that
// runs and is of an older version is replaced while it has nothing to do.
// Errors: CodeProtocolMismatch for one that can't be replaced and is not
// understood; CodeInvalidRequest, CodeUnavailable when none can be started.
func Ensure(ctx context.Context, s Starting) (*Client, Status, error) {
	c, status, err := Find(ctx, s.StateDir)
	switch {
	case fault.Is(err, fault.CodeProtocolMismatch):
		if status.Protocol > Protocol {
			return nil, status, errNewer(status.Version)
		}
		if status.Running > 0 {
			return nil, status, errBusy(status)
		}
	case errors.Is(err, ErrNone):
		return s.start(ctx)
	case err != nil:
		return nil, status, err
	case status.Running > 0 || !status.Outdated && !newer(s.Version, status.Version):
		return c, status, nil
	}
	if err := replace(ctx, s.StateDir, c, status.PID); err != nil {
		return nil, status, err
	}
	return s.start(ctx)
}

// newer compares versions; those that are none, of programs that were built from
// a working tree, can't be.
func newer(mine, other string) bool {
	return semver.IsValid(mine) && semver.IsValid(other) && semver.Compare(mine, other) > 0
}

func errNewer(version string) error {
	return fault.Newf(fault.CodeProtocolMismatch,
		"Use the newer program, or stop its daemon with `parqueue daemon stop`; --no-daemon does without.",
		"The transfer daemon that runs is of a newer version (%s) than this program.", version)
}

func errBusy(s Status) error {
	return fault.Newf(fault.CodeProtocolMismatch,
		"Wait until its transfers are done, or stop it with `parqueue daemon stop`: they go on with the next daemon. --no-daemon does without.",
		"The transfer daemon that runs is of an older version (%s), and has transfers that run (%d).", s.Version, s.Running)
}

// replace stops a daemon and waits until it has gone.
func replace(ctx context.Context, stateDir string, c *Client, pid int) error {
	if err := c.Stop(ctx); err != nil && !fault.Is(err, fault.CodeUnavailable) {
		return err
	}
	return awaitEnd(ctx, stateDir, pid)
}

// awaitEnd waits until a daemon doesn't answer any more.
func awaitEnd(ctx context.Context, stateDir string, pid int) error {
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); {
		_, status, err := Find(ctx, stateDir)
		if errors.Is(err, ErrNone) || status.PID != pid {
			return ctx.Err()
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return fault.Newf(fault.CodeUnavailable, "Wait a moment, or end it by its process id.", "The transfer daemon (process %d) doesn't end.", pid)
}

// Stop ends the daemon and waits until it has gone.
// Errors: ErrNone when there is none.
func Stop(ctx context.Context, stateDir string) (Status, error) {
	c, status, err := Find(ctx, stateDir)
	if err != nil && !fault.Is(err, fault.CodeProtocolMismatch) {
		return status, err
	}
	return status, replace(ctx, stateDir, c, status.PID)
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(lookEvery):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// start runs a daemon that outlives this process, and waits until it answers. When
// several processes do so at once, one daemon gets the lock and all find it. One that
// is killed before it answers is started again, whoever started it.
func (s Starting) start(ctx context.Context) (*Client, Status, error) {
	deadline := time.Now().Add(startTime)
	for tries := 1; ; tries++ {
		c, status, err := s.startOnce(ctx, deadline)
		late := time.Now().After(deadline)
		switch {
		case errors.Is(err, errKilled) && tries < startTries && !late:
		case fault.Is(err, fault.CodeConflict) && !late: // who had the lock does not answer
		case fault.Is(err, fault.CodeConflict):
			return nil, status, errStart(err)
		default:
			return c, status, err
		}
	}
}

func (s Starting) startOnce(ctx context.Context, deadline time.Time) (*Client, Status, error) {
	if err := os.MkdirAll(recordsFolder(s.StateDir), 0o700); err != nil {
		return nil, Status{}, errState(recordsFolder(s.StateDir), err)
	}
	said, err := os.CreateTemp(Folder(s.StateDir), ".start-*")
	if err != nil {
		return nil, Status{}, errState(Folder(s.StateDir), err)
	}
	defer os.Remove(said.Name())
	defer said.Close()
	cmd := exec.Command(s.Command[0], s.Command[1:]...) //nolint:gosec // this program
	cmd.Stdout, cmd.Stderr, cmd.Dir = said, said, root()
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(s.Without, name)
	})
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, Status{}, errStart(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return s.await(ctx, said, ended, deadline)
}

// await waits for the daemon that was started, or for a moment for one that was
// quicker. Errors: CodeConflict when that one doesn't answer.
func (s Starting) await(ctx context.Context, said io.ReadWriteSeeker, ended chan error, deadline time.Time) (*Client, Status, error) {
	failed := errStart(errors.New("it doesn't answer"))
	for time.Now().Before(deadline) {
		c, status, err := Find(ctx, s.StateDir)
		if err == nil || !errors.Is(err, ErrNone) {
			return c, status, err
		}
		select {
		case failed = <-ended:
			if failed = s.whyEnded(said, failed); !fault.Is(failed, fault.CodeConflict) {
				return nil, status, failed
			}
			ended = nil // another daemon has the lock, and will answer
			deadline = time.Now().Add(lockTime)
		default:
		}
		if err := pause(ctx); err != nil {
			return nil, status, err
		}
	}
	return nil, Status{}, failed
}

// errKilled is the end of a daemon that didn't end by itself.
var errKilled = errors.New("it was killed")

// whyEnded reads the error that a daemon ended with, as JSON, from what it said.
func (s Starting) whyEnded(said io.ReadWriteSeeker, err error) error {
	if _, failed := said.Seek(0, io.SeekStart); failed != nil {
		return errStart(err)
	}
	text, _ := io.ReadAll(io.LimitReader(said, 64<<10))
	text = bytes.TrimSpace(text)
	if len(text) > 0 && text[0] == '{' {
		return Fault(text)
	}
	if len(text) == 0 { // or there is no room to say it
		if _, failed := said.Write([]byte("{}\n")); failed != nil {
			return errState(Folder(s.StateDir), failed)
		}
	}
	why := errors.New("it ended")
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() < 0 {
		why = errKilled
	}
	return errStart(fmt.Errorf("%w: %.500s", errors.Join(err, why), text))
}

func errStart(cause error) error {
	return fault.New(fault.CodeUnavailable, "The transfer daemon can't be started.", "Do without it with --no-daemon, or see what `parqueue daemon run` says.").Because(cause)
}
