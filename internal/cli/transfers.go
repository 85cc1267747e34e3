package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/transfer"
)

func newTransfers() *cobra.Command {
	var s session
	cmd := &cobra.Command{
		Use:   "transfers",
		Short: "Look after uploads and downloads that are not done",
		Long:  "An upload or download that was interrupted goes on when its command is run again. Until then it is listed here.",
		Args:  exactArgs(0, "a subcommand: list or cancel"),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	s.addFlags(cmd)
	cmd.AddCommand(newTransfersList(), newTransfersCancel(&s))
	return cmd
}

func newTransfersList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the transfers of this machine that are not done, oldest first",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := stateDir()
			if err != nil {
				return err
			}
			all, err := transfer.Transfers(dir)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"transfers": append([]transfer.Transfer{}, all...)})
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "TRANSFER ID\tKIND\tSTATE\tFILES\tSIZE\tBEGUN\tDATASET ID")
			for _, t := range all {
				state := "interrupted"
				if t.Running {
					state = "running"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", t.ID, t.Kind, state, t.Files, size(t.Bytes), day(t.CreatedAt), t.DatasetID)
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newTransfersCancel(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel TRANSFER",
		Short: "Give an interrupted transfer up and remove what it left behind",
		Long:  "Cancel removes the bytes of an upload that were not appended, and the partial files of a download. What is done stays.",
		Args:  exactArgs(1, "one transfer id; see `parqueue transfers list`"),
		RunE: func(c *cobra.Command, args []string) error {
			m := moving{session: s}
			engine, err := m.engine(c)
			if err != nil {
				return err
			}
			if err := engine.Cancel(c.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "Cancelled %s.\n", args[0])
			return nil
		},
	}
}
