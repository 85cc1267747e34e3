package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/daemon"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// envNoDaemon has commands do without the daemon.
const envNoDaemon = "PARQUEUE_NO_DAEMON"

// inProcess reports that a command is to do without the daemon.
func (m *moving) inProcess() bool { return m.noDaemon || os.Getenv(envNoDaemon) != "" }

// Of a daemon that ends while a transfer is watched: another one is started.
const (
	daemonTries = 5
	pauseTime   = 15 * time.Second
)

// errDetached is a transfer that nobody waits for.
var errDetached = exitError{nil, 0}

// carry has the daemon do a transfer and shows its progress until it has ended. A
// daemon that is killed meanwhile is started again and goes on. result gets what
// the transfer ended with, also when it failed.
func (m *moving) carry(c *cobra.Command, n daemon.NewTransfer, tell transfer.Observer, result any) (transfer.Progress, error) {
	who, err := m.session.identity()
	if err != nil {
		return transfer.Progress{}, err
	}
	if n.Limits, err = m.limits(c); err != nil {
		return transfer.Progress{}, err
	}
	m.note(c)
	for tries := 1; ; tries++ {
		end, err := m.watch(c, n, who, tell)
		switch {
		case fault.Is(err, fault.CodeUnavailable) && tries < daemonTries:
			continue
		case err != nil:
			return transfer.Progress{}, err
		}
		if len(end.Result) > 0 {
			if err := json.Unmarshal(end.Result, result); err != nil {
				return end.Progress, fmt.Errorf("reading the daemon's result: %w", err)
			}
		}
		return end.Progress, endError(end)
	}
}

// watch asks for the transfer and follows it to its end.
func (m *moving) watch(c *cobra.Command, n daemon.NewTransfer, who identity, tell transfer.Observer) (daemon.Event, error) {
	d, status, err := theDaemon(c.Context(), 0)
	if err != nil {
		return daemon.Event{}, unlessUnavailable(err)
	}
	defer d.Close()
	n.Server = serverFor(m.session, who, status)
	t, err := d.Start(c.Context(), n)
	if err != nil {
		return daemon.Event{}, err
	}
	if m.detach {
		return daemon.Event{}, m.printDetached(c, t)
	}
	end, err := d.Watch(c.Context(), t.ID, func(e daemon.Event) {
		if tell != nil && e.Type != transfer.EventEnd {
			tell(e.Event)
		}
	})
	if c.Context().Err() != nil {
		// Whoever presses Ctrl-C wants it to stop.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), pauseTime)
		defer cancel()
		_, _ = d.Change(ctx, t.ID, "pause", nil) // or it has ended
		err = context.Cause(c.Context())
	}
	if tell != nil && (err == nil || c.Context().Err() != nil) {
		last := end.Event
		last.Type, last.Transfer = transfer.EventEnd, t.ID
		tell(last)
	}
	return end, err
}

// unlessUnavailable keeps what starting a daemon ends with from being tried again.
func unlessUnavailable(err error) error {
	if fault.Is(err, fault.CodeUnavailable) {
		return exitError{err, exitFailed}
	}
	return err
}

func (m *moving) printDetached(c *cobra.Command, t daemon.Transfer) error {
	if m.asJSON {
		if err := printJSON(c.OutOrStdout(), t); err != nil {
			return err
		}
		return errDetached
	}
	fmt.Fprintf(c.ErrOrStderr(), "The daemon carries it on; `parqueue transfers list` shows how far it is.\n")
	if _, err := fmt.Fprintln(c.OutOrStdout(), t.ID); err != nil {
		return err
	}
	return errDetached
}

// limits are those of the one transfer.
func (m *moving) limits(c *cobra.Command) (*daemon.Limits, error) {
	rate, err := parseRate(m.rate)
	if err != nil {
		return nil, usageError{err, c.CommandPath()}
	}
	if m.connections == 0 && rate == 0 {
		return nil, nil
	}
	return &daemon.Limits{Connections: m.connections, BytesPerSecond: rate}, nil
}

// serverFor says to the daemon who is signed in: by the profile's name where it
// finds that itself, and can again after a restart.
func serverFor(s *session, who identity, status daemon.Status) *daemon.Server {
	if store, err := s.store(); err == nil && who.profile != "" && store.Path == status.ProfilesDir {
		return &daemon.Server{Profile: who.profile}
	}
	return &daemon.Server{URL: who.URL, APIKey: who.Key, AllowHTTP: who.AllowHTTP}
}

// endError is the error that a transfer ended with.
func endError(end daemon.Event) error {
	switch end.State {
	case daemon.StateDone:
		return nil
	case daemon.StateCancelled:
		return fault.New(fault.CodeConflict, "The transfer was cancelled.", "Run the same command again to begin anew.")
	}
	return daemonFault(end.Error)
}

// daemonFault is an error of the daemon, as the engine in this process would have
// made it.
func daemonFault(text json.RawMessage) *fault.Error {
	f := daemon.Fault(text)
	var with struct {
		Problems []transfer.Problem `json:"problems"`
		Count    int                `json:"problem_count"`
	}
	if _, ok := f.Details["problems"]; ok && json.Unmarshal(text, &with) == nil {
		f = f.With("problems", with.Problems).With("problem_count", with.Count)
	}
	return f
}

// absolute makes paths that mean the same in another folder. A pattern keeps its
// meaning where the folder's own name has characters of patterns.
func absolute(paths []string) ([]string, error) {
	all := make([]string, len(paths))
	for i, path := range paths {
		whole, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", path, err)
		}
		all[i] = whole
		if _, err := os.Lstat(whole); err == nil || filepath.IsAbs(path) || !strings.ContainsAny(path, "*?[") || runtime.GOOS == "windows" {
			continue
		}
		if dir, err := os.Getwd(); err == nil {
			all[i] = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir) + "/" + path
		}
	}
	return all, nil
}
