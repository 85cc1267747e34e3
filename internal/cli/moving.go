package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/daemon"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// moving is what the commands that move bytes have in common.
type moving struct {
	session     *session
	connections int
	rate        string
	progress    string
	asJSON      bool
	noDaemon    bool
	detach      bool
}

func (m *moving) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&m.connections, "connections", 0, "connections at most (default: as many as pay, up to 64)")
	flags.StringVar(&m.rate, "limit-rate", "", "bytes per second at most, such as 500k or 10M")
	flags.StringVar(&m.progress, "progress", "auto", "auto (text on a terminal), text, json or none")
	flags.BoolVar(&m.asJSON, "json", false, "print the result as JSON")
	flags.BoolVar(&m.noDaemon, "no-daemon", false, "do it in this process, without the daemon (also PARQUEUE_NO_DAEMON=1)")
	flags.BoolVar(&m.detach, "detach", false, "leave it to the daemon, print its id and don't wait")
}

// engine makes the engine that the flags describe.
func (m *moving) engine(c *cobra.Command) (*transfer.Engine, error) {
	rate, err := parseRate(m.rate)
	if err != nil {
		return nil, usageError{err, c.CommandPath()}
	}
	server, err := m.session.client()
	if err != nil {
		return nil, err
	}
	dir, err := stateDir()
	if err != nil {
		return nil, err
	}
	m.note(c)
	return transfer.New(server, transfer.Options{StateDir: dir, Connections: m.connections, BytesPerSecond: rate})
}

// note says what is unusual, where people and not programs read it.
func (m *moving) note(c *cobra.Command) {
	if !m.asJSON && m.progress != "json" {
		noteState(c.ErrOrStderr())
	}
}

// parseRate reads a number with a unit, of a thousand each.
func parseRate(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	digits := strings.TrimRight(text, "kKmMgGbB")
	factor := map[string]int64{"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[strings.TrimSuffix(strings.ToLower(text[len(digits):]), "b")]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || factor == 0 || n > 1e15/factor {
		return 0, fmt.Errorf("--limit-rate %q is no rate, such as 500k or 10M", text)
	}
	return n * factor, nil
}

func newUpload(s *session) *cobra.Command {
	m := moving{session: s}
	var request transfer.UploadRequest
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "upload DATASET PATH...",
		Short: "Upload files, folders and patterns in order",
		Long: "Upload sends Parquet files in parallel and appends them in order. Every footer is checked before a byte moves.\n" +
			"Files that the dataset has already are skipped. After an interruption the same command goes on where it was.\n\n" +
			"A folder means all files in it, and in the folders inside it, whose names end in .parquet. Names that begin with\n" +
			"a dot or an underscore are left out.",
		Example: "  parqueue datasets upload $ID part-1.parquet part-2.parquet\n" +
			"  parqueue datasets upload $ID data/ --dry-run\n" +
			"  parqueue datasets upload $ID 'data/*.parquet' --order mtime\n" +
			"  parqueue datasets upload $ID data/ --order data/_order.json",
		Args: atLeastArgs(2, "a dataset id and the paths of files or folders"),
		RunE: func(c *cobra.Command, args []string) error {
			tell, err := m.printer(c, "uploaded")
			if err != nil {
				return err
			}
			request.DatasetID, request.Paths = args[0], args[1:]
			if dryRun {
				return m.dryRun(c, request)
			}
			result, err := m.upload(c, request, tell)
			if err != nil {
				return err
			}
			if m.asJSON {
				return printJSON(c.OutOrStdout(), result)
			}
			fmt.Fprintf(c.ErrOrStderr(), "Uploaded %s (%s)%s.\n", files(result.Uploaded), size(result.Bytes), skipped(result.Skipped))
			return nil
		},
	}
	m.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&request.Order, "order", transfer.OrderName, "name (part-2 before part-10), mtime, given, or a file that lists the names")
	flags.BoolVar(&request.AnyOrder, "any-order", false, "append behind files that were to come later and are there already")
	flags.BoolVar(&dryRun, "dry-run", false, "check everything and show the plan, and send nothing")
	return cmd
}

func (m *moving) dryRun(c *cobra.Command, request transfer.UploadRequest) error {
	engine, err := m.engine(c)
	if err != nil {
		return err
	}
	plan, err := engine.PlanUpload(c.Context(), request)
	if err != nil {
		return err
	}
	return m.printPlan(c, plan)
}

// upload uploads, by the daemon or in this process.
func (m *moving) upload(c *cobra.Command, request transfer.UploadRequest, tell transfer.Observer) (transfer.UploadResult, error) {
	if !m.inProcess() {
		return m.uploadByDaemon(c, request, tell)
	}
	engine, err := m.engine(c)
	if err != nil {
		return transfer.UploadResult{}, err
	}
	plan, err := engine.PlanUpload(c.Context(), request)
	if err != nil {
		return transfer.UploadResult{}, err
	}
	result, err := engine.Upload(c.Context(), plan, tell)
	return result, partly(err, result.Uploaded, plan.Count)
}

func (m *moving) uploadByDaemon(c *cobra.Command, request transfer.UploadRequest, tell transfer.Observer) (result transfer.UploadResult, err error) {
	n := daemon.NewTransfer{Kind: daemon.KindUploadDataset, DatasetID: request.DatasetID, Order: request.Order, AnyOrder: request.AnyOrder}
	if n.Paths, err = absolute(request.Paths); err != nil {
		return result, err
	}
	if !transfer.IsOrder(n.Order) {
		if n.Order, err = filepath.Abs(n.Order); err != nil {
			return result, fmt.Errorf("finding %s: %w", request.Order, err)
		}
	}
	end, err := m.carry(c, n, tell, &result)
	return result, partly(err, result.Uploaded, end.Files)
}

// atLeastArgs is cobra's check with our kind of error.
func atLeastArgs(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usageError{fmt.Errorf("%s takes %s", c.CommandPath(), what), c.CommandPath()}
		}
		return nil
	}
}

// partly says how much of an upload is in the dataset, whatever stopped it.
func partly(err error, appended, of int) error {
	var f *fault.Error
	if !asFault(err, &f) || appended == 0 {
		return err
	}
	c := *f
	c.Hint = strings.TrimSpace(fmt.Sprintf("The first %d of %d files are in the dataset. %s", appended, of, f.Hint))
	return &c
}

func skipped(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %s there already", files(n))
}

// files counts files.
func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

func (m *moving) printPlan(c *cobra.Command, plan *transfer.UploadPlan) error {
	if m.asJSON {
		return printList(c.OutOrStdout(), "files", plan.Files, map[string]any{
			"dataset_id": plan.DatasetID, "upload_count": plan.Count, "upload_bytes": plan.Bytes, "upload_rows": plan.Rows, "ignored_count": plan.Ignored,
		})
	}
	table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ORDER\tACTION\tROWS\tSIZE\tNAME")
	for i, f := range plan.Files {
		fmt.Fprintf(table, "%d\t%s\t%d\t%s\t%s\n", i+1, f.Action, f.RowCount, size(f.SizeBytes), f.Name)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "Would upload %s (%s)%s.\n", files(plan.Count), size(plan.Bytes), skipped(len(plan.Files)-plan.Count))
	return nil
}

func newDownload(s *session) *cobra.Command {
	m := moving{session: s}
	var request transfer.DownloadRequest
	cmd := &cobra.Command{
		Use:   "download DATASET [FILE...]",
		Short: "Download files, or all of them, and their order",
		Long: "Download fetches files in parallel, checks them, and puts each in its place when it is whole. _order.json in the\n" +
			"same folder lists the names in order. After an interruption the same command goes on where it was.",
		Example: "  parqueue datasets download $ID --to data\n" +
			"  parqueue datasets download $ID monday.parquet tuesday.parquet --to data",
		Args: atLeastArgs(1, "a dataset id and, if not all files are wanted, their names"),
		RunE: func(c *cobra.Command, args []string) error {
			tell, err := m.printer(c, "downloaded")
			if err != nil {
				return err
			}
			request.DatasetID, request.Names = args[0], args[1:]
			result, err := m.download(c, request, tell)
			if err != nil {
				return err
			}
			if m.asJSON {
				return printJSON(c.OutOrStdout(), result)
			}
			fmt.Fprintf(c.ErrOrStderr(), "Downloaded %s (%s)%s to %s.\n", files(result.Downloaded), size(result.Bytes), skipped(result.Skipped), result.Folder)
			return nil
		},
	}
	m.addFlags(cmd)
	cmd.Flags().StringVar(&request.Folder, "to", ".", "folder to put them in")
	cmd.Flags().BoolVar(&request.Overwrite, "overwrite", false, "replace other files of the same names")
	return cmd
}

// download downloads, by the daemon or in this process.
func (m *moving) download(c *cobra.Command, request transfer.DownloadRequest, tell transfer.Observer) (result transfer.DownloadResult, err error) {
	if m.inProcess() {
		engine, err := m.engine(c)
		if err != nil {
			return result, err
		}
		return engine.Download(c.Context(), request, tell)
	}
	folder, err := filepath.Abs(request.Folder)
	if err != nil {
		return result, fmt.Errorf("finding %s: %w", request.Folder, err)
	}
	_, err = m.carry(c, daemon.NewTransfer{
		Kind: daemon.KindDownloadDataset, DatasetID: request.DatasetID, Files: request.Names, To: folder, Overwrite: request.Overwrite,
	}, tell, &result)
	return result, err
}

func newCat(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "cat DATASET [FILE...]",
		Short:   "Write files to standard output, in the dataset's order",
		Example: "  parqueue datasets cat $ID monday.parquet > monday.parquet",
		Args:    atLeastArgs(1, "a dataset id and, if not all files are wanted, their names"),
		RunE: func(c *cobra.Command, args []string) error {
			if out, ok := c.OutOrStdout().(*os.File); ok && terminal(out) {
				return fault.New(fault.CodeInvalidRequest, "Parquet is no text, and standard output is a terminal.", "Redirect it into a file or a program.")
			}
			m := moving{session: s}
			engine, err := m.engine(c)
			if err != nil {
				return err
			}
			return engine.Cat(c.Context(), args[0], args[1:], c.OutOrStdout())
		},
	}
}
