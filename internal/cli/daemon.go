package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/daemon"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/profile"
)

func newDaemon() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Look after the transfer daemon, which carries uploads and downloads",
		Long: "Uploads and downloads run in a process of their own, the daemon, so that a terminal may be closed meanwhile. The\n" +
			"first of them starts it, and it ends when nobody has needed it for ten minutes. What was under way when it ended\n" +
			"goes on when it is started again. With --no-daemon, or PARQUEUE_NO_DAEMON=1, a command does without.",
		Args: exactArgs(0, "a subcommand: start, stop, status, limits, logs or run"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(newDaemonStart(), newDaemonStop(), newDaemonStatus(), newDaemonLimits(), newDaemonLogs(), newDaemonRun())
	return cmd
}

// starting is how this program starts its daemon.
func starting(stateDir string, idle time.Duration) (daemon.Starting, error) {
	program, err := os.Executable()
	if err != nil {
		return daemon.Starting{}, fmt.Errorf("finding this program: %w", err)
	}
	command := []string{program, "daemon", "run", "--log-file", "--json"}
	if idle > 0 {
		command = append(command, "--idle", idle.String())
	}
	return daemon.Starting{StateDir: stateDir, Version: version(), Command: command, Without: []string{envKey, envURL, envProfile}}, nil
}

// theDaemon is the daemon of this user, which is started if there is none.
func theDaemon(ctx context.Context, idle time.Duration) (*daemon.Client, daemon.Status, error) {
	dir, err := stateDir()
	if err != nil {
		return nil, daemon.Status{}, err
	}
	how, err := starting(dir, idle)
	if err != nil {
		return nil, daemon.Status{}, err
	}
	return daemon.Ensure(ctx, how)
}

func newDaemonStart() *cobra.Command {
	var asJSON bool
	var idle time.Duration
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start the daemon if none runs, and say where it is",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			d, status, err := theDaemon(c.Context(), idle)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(d.Address)
			}
			fmt.Fprintf(c.ErrOrStderr(), "The transfer daemon runs (process %d).\n", status.PID)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print its address as JSON, on one line")
	addIdle(cmd, &idle)
	return cmd
}

func addIdle(cmd *cobra.Command, idle *time.Duration) {
	cmd.Flags().DurationVar(idle, "idle", 0, "end after so long without transfers and clients (default 10m)")
}

func newDaemonRun() *cobra.Command {
	var c daemon.Config
	var asJSON, logFile bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Long:  "Run is what start does in the background. It suits a service manager: SIGTERM ends it, and what was under way goes on\nwith the next start.",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if c.StateDir, err = stateDir(); err != nil {
				return err
			}
			out := cmd.ErrOrStderr()
			if logFile {
				log, err := daemon.OpenLog(c.StateDir)
				if err != nil {
					return err
				}
				defer log.Close()
				out = log
			}
			var s session
			store, err := s.store()
			if err != nil {
				return err
			}
			c.Version, c.ProfilesDir = version(), store.Path
			c.Loopback = c.Loopback || runtime.GOOS == "windows"
			c.Identify = func(name string) (client.Config, error) { return signedIn(store, name) }
			c.Log = slog.New(slog.NewJSONHandler(out, nil))
			return daemon.Run(cmd.Context(), c, func(a daemon.Address) {
				if !logFile {
					fmt.Fprintf(cmd.ErrOrStderr(), "ready: %s%s\n", a.Socket, a.URL)
				}
			})
		},
	}
	flags := cmd.Flags()
	addIdle(cmd, &c.Idle)
	flags.BoolVar(&logFile, "log-file", false, "log to the file that `parqueue daemon logs` shows")
	flags.BoolVar(&asJSON, "json", false, "print an error as JSON")
	flags.BoolVar(&c.Loopback, "loopback", false, "listen on a port of this machine, as on Windows")
	_ = flags.MarkHidden("loopback") // it fails for a flag that is not there
	return cmd
}

// signedIn is the server and the key of a profile.
func signedIn(store profile.Store, name string) (client.Config, error) {
	if name == "" {
		name = profile.Default
	}
	p, ok, err := store.Get(name)
	if err != nil {
		return client.Config{}, err
	}
	if !ok {
		return client.Config{}, fault.Newf(fault.CodeUnauthorized, "Sign in with `parqueue auth login --url URL`.", "Nobody is signed in as %q.", name)
	}
	return client.Config{URL: p.URL, Key: p.Key, AllowHTTP: p.AllowHTTP}, nil
}

func newDaemonStop() *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "Stop the daemon; what runs goes on when it is started again",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := stateDir()
			if err != nil {
				return err
			}
			status, err := daemon.Stop(c.Context(), dir)
			switch {
			case errors.Is(err, daemon.ErrNone):
				fmt.Fprintln(c.ErrOrStderr(), "No transfer daemon runs.")
				return nil
			case err != nil:
				return err
			case status.Running > 0:
				fmt.Fprintf(c.ErrOrStderr(), "Stopped. Transfers that were under way: %d; `parqueue daemon start` goes on with them.\n", status.Running)
			default:
				fmt.Fprintln(c.ErrOrStderr(), "Stopped.")
			}
			return nil
		},
	}
}

// runningDaemon is the daemon if one runs.
// Errors: CodeUnavailable when none does.
func runningDaemon(c *cobra.Command) (*daemon.Client, daemon.Status, error) {
	dir, err := stateDir()
	if err != nil {
		return nil, daemon.Status{}, err
	}
	d, status, err := daemon.Find(c.Context(), dir)
	if errors.Is(err, daemon.ErrNone) {
		return nil, status, exitError{fault.New(fault.CodeUnavailable, "No transfer daemon runs.", "`parqueue daemon start` starts it; an upload or download does so by itself."), exitFailed}
	}
	return d, status, err
}

func newDaemonStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether the daemon runs, and what it does; exit code 1 if it doesn't run",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			_, status, err := runningDaemon(c)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), status)
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(table, "process:\t%d\nversion:\t%s\nsince:\t%s\ntransfers:\t%d\nlimits:\t%s\nstate:\t%s\n",
				status.PID, status.Version, day(status.StartedAt), status.Running, limitsText(status.Limits), status.StateDir)
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func limitsText(l daemon.Limits) string {
	connections, rate := "as many connections as pay", "any rate"
	if l.Connections > 0 {
		connections = fmt.Sprintf("%d connections", l.Connections)
	}
	if l.BytesPerSecond > 0 {
		rate = size(l.BytesPerSecond) + "/s"
	}
	return connections + ", " + rate
}

func newDaemonLimits() *cobra.Command {
	var connections int
	var rate string
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Set what all transfers together may take, also while they run",
		Example: "  parqueue daemon limits --limit-rate 10M\n" +
			"  parqueue daemon limits --limit-rate 0 --connections 0",
		Args: exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			d, status, err := theDaemon(c.Context(), 0)
			if err != nil {
				return err
			}
			l := status.Limits
			if c.Flags().Changed("connections") {
				l.Connections = connections
			}
			if c.Flags().Changed("limit-rate") {
				if l.BytesPerSecond, err = parseRate(rate); err != nil && rate != "0" {
					return usageError{err, c.CommandPath()}
				}
			}
			if err := d.SetLimits(c.Context(), l); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), limitsText(l))
			return err
		},
	}
	cmd.Flags().IntVar(&connections, "connections", 0, "connections at most; 0 is no limit")
	cmd.Flags().StringVar(&rate, "limit-rate", "", "bytes per second at most, such as 500k or 10M; 0 is no limit")
	return cmd
}

func newDaemonLogs() *cobra.Command {
	return &cobra.Command{
		Use:   "logs",
		Short: "Print what the daemon has logged",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := stateDir()
			if err != nil {
				return err
			}
			for _, path := range []string{daemon.LogFile(dir) + ".1", daemon.LogFile(dir)} {
				if err := printFile(c.OutOrStdout(), path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			return nil
		},
	}
}

func printFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
