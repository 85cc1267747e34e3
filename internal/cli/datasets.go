package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
)

func newDatasets() *cobra.Command {
	var s session
	cmd := &cobra.Command{
		Use:     "datasets",
		Aliases: []string{"dataset"},
		Short:   "Make datasets, and move files into them and out again",
		Args:    exactArgs(0, "a subcommand, such as list or upload"),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	s.addFlags(cmd)
	cmd.AddCommand(newDatasetsCreate(&s), newDatasetsList(&s), newDatasetsShow(&s), newDatasetsFiles(&s),
		newUpload(&s), newDownload(&s), newCat(&s), newDeleteFile(&s), newDeleteDataset(&s), newVerify(&s))
	return cmd
}

func newDatasetsCreate(s *session) *cobra.Command {
	var name, metadata string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Make an empty dataset and print its id",
		Example: "  ID=$(parqueue datasets create --name \"week 47\")",
		Args:    exactArgs(0, "no arguments; name it with --name"),
		RunE: func(c *cobra.Command, _ []string) error {
			if metadata != "" && !json.Valid([]byte(metadata)) {
				return usageError{fmt.Errorf("--metadata is not JSON"), c.CommandPath()}
			}
			server, err := s.client()
			if err != nil {
				return err
			}
			d, err := server.CreateDataset(c.Context(), name, json.RawMessage(metadata))
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), d)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), d.ID)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "a name for people; it need not be unique")
	flags.StringVar(&metadata, "metadata", "", "a JSON object, such as '{\"source\": \"crawl 7\"}'")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newDatasetsList(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the datasets that the key reaches, newest first",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			all := []client.Dataset{}
			for d, err := range server.Datasets(c.Context()) {
				if err != nil {
					return err
				}
				all = append(all, d)
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"datasets": all})
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "DATASET ID\tFILES\tROWS\tSIZE\tCREATED\tNAME")
			for _, d := range all {
				fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\n", d.ID, d.FileCount, d.RowCount, size(d.TotalSizeBytes), day(d.CreatedAt), d.Name)
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newDatasetsShow(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show DATASET",
		Short: "Show a dataset and its schema",
		Args:  exactArgs(1, "one dataset id; see `parqueue datasets list`"),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			d, err := server.Dataset(c.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), d)
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(table, "id:\t%s\nname:\t%s\nfiles:\t%d\nrows:\t%d\nsize:\t%s\ncreated:\t%s\nchanged:\t%s\nmetadata:\t%s\n",
				d.ID, d.Name, d.FileCount, d.RowCount, size(d.TotalSizeBytes), day(d.CreatedAt), day(d.UpdatedAt), d.Metadata)
			if len(d.Schema.Fields) > 0 {
				fmt.Fprint(table, "\nCOLUMN\tTYPE\n")
			}
			for _, f := range d.Schema.Fields {
				fmt.Fprintf(table, "%s\t%s\n", f.Name, f.TypeString())
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newDatasetsFiles(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "files DATASET",
		Short: "List a dataset's files in order",
		Args:  exactArgs(1, "one dataset id; see `parqueue datasets list`"),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			if asJSON {
				return printFilesJSON(c.OutOrStdout(), server.Files(c.Context(), args[0]))
			}
			return printFiles(c.OutOrStdout(), server.Files(c.Context(), args[0], "file_name", "position", "size_bytes", "row_count", "uploaded_at"))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newDeleteFile(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "delete-file DATASET FILE",
		Short: "Take a file out of a dataset, for good; no other file moves",
		Args:  exactArgs(2, "a dataset id and a file's name"),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			f, err := server.DeleteFile(c.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"dataset_id": args[0], "file_name": f.Name, "file_id": f.ID, "position": f.Position, "deleted": true})
			}
			fmt.Fprintf(c.ErrOrStderr(), "Deleted %s; position %d stays empty.\n", f.Name, f.Position)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newDeleteDataset(s *session) *cobra.Command {
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "delete DATASET",
		Short: "Delete a dataset and all files in it, for good",
		Args:  exactArgs(1, "one dataset id; see `parqueue datasets list`"),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			d, err := server.Dataset(c.Context(), args[0])
			if err != nil {
				return err
			}
			if !yes {
				return fault.New(fault.CodeInvalidRequest, "Nothing was deleted: this can't be undone.", "Add --yes to delete it.").
					Because(fmt.Errorf("%s has %s (%s)", d.ID, files(int(d.FileCount)), size(d.TotalSizeBytes)))
			}
			deleted, err := server.DeleteDataset(c.Context(), d.ID, d.Version) // what was seen, and no more
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), deleted)
			}
			fmt.Fprintf(c.ErrOrStderr(), "Deleted %s with %s (%s).\n", d.ID, files(int(deleted.FileCount)), size(deleted.TotalSizeBytes))
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "delete it, and all that is in it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newVerify(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify DATASET",
		Short: "Check that the store has every file with its size and checksum",
		Args:  exactArgs(1, "one dataset id; see `parqueue datasets list`"),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			found, err := server.Verify(c.Context(), args[0], func(client.Verification) {})
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c.OutOrStdout(), found)
			} else {
				err = printVerification(c, found)
			}
			if err == nil && len(found.Problems) > 0 {
				return fault.Newf(fault.CodeChecksumMismatch, "Upload them again from their source: delete-file takes one out, and a new one comes at the end.",
					"%d of %d files are damaged or missing in the store.", len(found.Problems), found.Checked)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printVerification(c *cobra.Command, found client.Verification) error {
	table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	if len(found.Problems) > 0 {
		fmt.Fprintln(table, "POSITION\tPROBLEM\tNAME")
	}
	for _, p := range found.Problems {
		fmt.Fprintf(table, "%d\t%s\t%s\n", p.Position, p.Problem, p.FileName)
	}
	fmt.Fprintf(table, "%d files checked, %d sound\n", found.Checked, found.Sound)
	return table.Flush()
}

// size writes a number of bytes for people, in the units that disks are sold in.
func size(bytes int64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes), -1
	for value >= 999.5 && unit < len("kMGTPE")-1 {
		value /= 1000
		unit++
	}
	if value < 9.95 {
		return fmt.Sprintf("%.1f %cB", value, "kMGTPE"[unit])
	}
	return fmt.Sprintf("%.0f %cB", value, "kMGTPE"[unit])
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }
