package cli

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/daemon"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

func newTransfers() *cobra.Command {
	var s session
	cmd := &cobra.Command{
		Use:   "transfers",
		Short: "Look after uploads and downloads that are not done",
		Long: "The daemon's transfers, and those of --no-daemon that were interrupted. Those go on when their command is run\n" +
			"again; the daemon's do so by themselves, or with resume.",
		Args: exactArgs(0, "a subcommand: list, pause, resume or cancel"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	s.addFlags(cmd)
	cmd.AddCommand(newTransfersList(), newTransfersPause(), newTransfersResume(&s), newTransfersCancel(&s))
	return cmd
}

// stateInterrupted is what a transfer of a process that has ended is in.
const stateInterrupted = "interrupted"

// listed is a transfer of this machine, whoever runs it.
type listed struct {
	daemon.Transfer
	Running bool `json:"running"` // by some process, now
}

// transfersHere lists the transfers of this machine: the daemon's, or what one
// will go on with, and those of other processes.
func transfersHere(ctx context.Context, stateDir string) ([]listed, error) {
	d, _, err := daemon.Find(ctx, stateDir)
	var owned []daemon.Transfer
	switch {
	case errors.Is(err, daemon.ErrNone):
		owned, err = daemon.Remembered(stateDir)
	case err == nil:
		defer d.Close()
		owned, err = d.Transfers(ctx)
	}
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	all := []listed{}
	for _, t := range owned {
		known[t.ID] = true
		all = append(all, listed{t, t.State == daemon.StateRunning})
	}
	journals, err := transfer.Transfers(stateDir)
	if err != nil {
		return nil, err
	}
	for _, t := range journals {
		if !known[t.ID] {
			all = append(all, ofJournal(t))
		}
	}
	return all, nil
}

// ofJournal shows a transfer that the daemon has nothing to do with.
func ofJournal(t transfer.Transfer) listed {
	l := listed{daemon.Transfer{
		ID: t.ID, Kind: daemon.KindUploadDataset, State: stateInterrupted, CreatedAt: t.CreatedAt, Server: t.Server,
		DatasetID: t.DatasetID, Folder: t.Folder, Files: t.Files, Bytes: t.Bytes, SecondsLeft: -1,
	}, t.Running}
	if t.Kind == transfer.KindDownload {
		l.Kind = daemon.KindDownloadDataset
	}
	if t.Running {
		l.State = daemon.StateRunning
	}
	return l
}

func newTransfersList() *cobra.Command {
	var asJSON, everything bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the transfers of this machine that are not done, oldest first",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := stateDir()
			if err != nil {
				return err
			}
			all, err := transfersHere(c.Context(), dir)
			if err != nil {
				return err
			}
			shown := []listed{}
			for _, t := range all {
				if everything || t.State != daemon.StateDone && t.State != daemon.StateCancelled {
					shown = append(shown, t)
				}
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"transfers": shown})
			}
			return printTransfers(c, shown)
		},
	}
	cmd.Flags().BoolVar(&everything, "all", false, "those of the last day that are done or cancelled as well")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printTransfers(c *cobra.Command, all []listed) error {
	table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TRANSFER ID\tKIND\tSTATE\tDONE\tFILES\tSIZE\tBEGUN\tOF")
	for _, t := range all {
		done := "-"
		if t.State != stateInterrupted && t.Bytes > 0 {
			done = fmt.Sprintf("%d%%", percent(t.BytesDone, t.Bytes))
		}
		of := t.DatasetID
		if t.AssetID != "" {
			of = t.AssetID
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", t.ID, t.Kind, t.State, done, t.Files, size(t.Bytes), day(t.CreatedAt), of)
	}
	return table.Flush()
}

// owner is the daemon that a transfer belongs to, started if need be. none is true
// for a transfer of another process, or one that is unknown.
func owner(c *cobra.Command, id string) (d *daemon.Client, status daemon.Status, none bool, err error) {
	dir, err := stateDir()
	if err != nil {
		return nil, status, false, err
	}
	d, status, err = daemon.Find(c.Context(), dir)
	if errors.Is(err, daemon.ErrNone) {
		owned, err := daemon.Remembered(dir)
		if err != nil {
			return nil, status, false, err
		}
		for _, t := range owned {
			if t.ID == id {
				d, status, err := theDaemon(c.Context(), 0)
				return d, status, false, err
			}
		}
		return nil, status, true, nil
	}
	if err != nil {
		return nil, status, false, err
	}
	_, err = d.Transfer(c.Context(), id)
	if fault.Is(err, fault.CodeTransferNotFound) {
		return nil, status, true, nil
	}
	return d, status, false, err
}

// errNotOwned says what can be done with a transfer that the daemon doesn't have.
func errNotOwned(id string) error {
	dir, err := stateDir()
	if err != nil {
		return err
	}
	t, err := transfer.Find(dir, id)
	if err != nil {
		return err
	}
	if t.Running {
		return fault.New(fault.CodeConflict, "Another process runs the transfer, without the daemon.", "Press Ctrl-C there: the same command goes on later.")
	}
	return fault.New(fault.CodeConflict, "The transfer was begun without the daemon.", "Run the command again that began it: it goes on where it was.")
}

// change has the daemon that owns a transfer do something to it, as whom the daemon
// is to be told.
func change(c *cobra.Command, id, what string, as func(daemon.Status) *daemon.Server) error {
	d, status, none, err := owner(c, id)
	switch {
	case err != nil:
		return err
	case none:
		return errNotOwned(id)
	}
	_, err = d.Change(c.Context(), id, what, as(status))
	return err
}

// nobody is told to the daemon where no key is needed.
func nobody(daemon.Status) *daemon.Server { return nil }

func newTransfersPause() *cobra.Command {
	return &cobra.Command{
		Use:   "pause TRANSFER",
		Short: "Stop a transfer until it is resumed",
		Args:  exactArgs(1, "one transfer id; see `parqueue transfers list`"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := change(c, args[0], "pause", nobody); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "Paused; `parqueue transfers resume %s` goes on.\n", args[0])
			return nil
		},
	}
}

func newTransfersResume(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "resume TRANSFER",
		Short: "Go on with a transfer that was paused, waits or failed",
		Args:  exactArgs(1, "one transfer id; see `parqueue transfers list`"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := change(c, args[0], "resume", s.signature); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "It goes on; `parqueue transfers list` shows how far it is.\n")
			return nil
		},
	}
}

// signature is who is signed in, for a daemon; nil if nobody is.
func (s *session) signature(status daemon.Status) *daemon.Server {
	who, err := s.identity()
	if err != nil {
		return nil // the daemon may know the key
	}
	return serverFor(s, who, status)
}

func newTransfersCancel(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel TRANSFER",
		Short: "Give a transfer up and remove what it left behind",
		Long:  "Cancel removes the bytes of an upload that were not appended, and the partial files of a download. What is done stays.",
		Args:  exactArgs(1, "one transfer id; see `parqueue transfers list`"),
		RunE: func(c *cobra.Command, args []string) error {
			d, status, none, err := owner(c, args[0])
			switch {
			case err != nil:
				return err
			case none:
				m := moving{session: s}
				engine, err := m.engine(c)
				if err != nil {
					return err
				}
				err = engine.Cancel(c.Context(), args[0])
				if err != nil {
					return err
				}
			default:
				if _, err := d.Change(c.Context(), args[0], "cancel", s.signature(status)); err != nil {
					return err
				}
			}
			fmt.Fprintf(c.ErrOrStderr(), "Cancelled %s.\n", args[0])
			return nil
		},
	}
}
