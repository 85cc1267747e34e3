// Package cli is the command line: parqueue and its subcommands. Results go to
// standard output, everything else to standard error; an error is a line that
// begins with "error:" and one that begins with "hint:" and says what to do.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the network or the server gave
// out and the same command may be run again, 4 not signed in or not allowed, 130
// interrupted. `parqueue doctor` ends with 1 when it found something and with 3
// when it failed.
//
// The package needs no IAM actions of its own; `parqueue keys --table` needs
// those of the key store in internal/catalog/dynamo, and `parqueue doctor --table`
// those of Keys, Datasets, DeletedDatasets, Files, File, FileRecords and Progress there and, of
// internal/objectstore, those of List, ListOpenParts and Stat.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/fault"
)

// Exit codes.
const (
	exitFailed      = 1
	exitFound       = 1 // doctor's, which fails with exitBlind
	exitUsage       = 2
	exitBlind       = 3
	exitUnavailable = 3
	exitAuth        = 4
	exitInterrupted = 130 // as shells have it for Ctrl-C
)

// Main runs a command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(stderr, "error: %v\nhint: Run `%s --help`.\n", usage, usage.command)
		return exitUsage
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "error: Interrupted.\nhint: Run the same command again; an upload or download goes on where it was.")
		return exitInterrupted
	}
	code := exitCode(err)
	var exit exitError
	if errors.As(err, &exit) {
		err, code = exit.error, exit.code
	}
	asJSON, _ := command.Flags().GetBool("json")
	switch {
	case err != nil && asJSON:
		printErrorJSON(stderr, err)
	case err != nil:
		printError(stderr, err)
	}
	return code
}

// exitError ends with an exit code of its own, without an error if it has none.
type exitError struct {
	error
	code int
}

// exitCode is what a script learns of an error.
func exitCode(err error) int {
	switch fault.CodeOf(err) {
	case fault.CodeUnavailable:
		return exitUnavailable
	case fault.CodeUnauthorized, fault.CodeForbidden:
		return exitAuth
	}
	return exitFailed
}

// printError shows a fault as a person needs it. The cause is shown as well:
// whoever runs the command line is the operator.
func printError(w io.Writer, err error) {
	var f *fault.Error
	if !errors.As(err, &f) {
		fmt.Fprintf(w, "error: %v\n", err)
		return
	}
	fmt.Fprintf(w, "error: %s\n", f.Message)
	printProblems(w, f)
	if cause := f.Unwrap(); cause != nil {
		fmt.Fprintf(w, "cause: %v\n", cause)
	}
	if f.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", f.Hint)
	}
}

// usageError is a command line that cannot be understood.
type usageError struct {
	error
	command string
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "parqueue",
		Short:         "Parquet, in order: a store for ordered datasets of Parquet files",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0]), "parqueue"}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRun: func(c *cobra.Command, _ []string) {
			if c.Name() == "serve" {
				spareTime()
			} else {
				spareMemory()
			}
		},
	}
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageError{err, c.CommandPath()} })
	root.AddCommand(newServe(), newAuth(), newDatasets(), newAssets(), newTransfers(), newDaemon(), newKeys(), newDoctor(), newVersion())
	return root
}

// spareTime has the server collect garbage less often: it holds little that lasts, and
// collecting was more than a quarter of what it did for small files. GOGC and
// GOMEMLIMIT win.
func spareTime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(512 << 20) // above it garbage is collected as often as it takes
	}
}

// spareMemory has what runs beside somebody's other programs take up less memory
// for a little more work: a plan of a hundred thousand files, above all. GOGC wins.
func spareMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// exactArgs is cobra's check with our kind of error.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s takes %s", c.CommandPath(), what), c.CommandPath()}
		}
		return nil
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "parqueue", version())
			return err
		},
	}
}

// version is this program's.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
