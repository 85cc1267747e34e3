package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/server"
	"github.com/parqueue/parqueue/internal/sweep"
)

// examined is a catalog that can be inspected, and that knows the tenants.
type examined interface {
	dataset.Catalog
	sweep.Inspected
	dataset.Purges
	keys.Store
}

// patient says what doctor is about: a local server's data or a deployment's.
type patient struct {
	dataDir, table, bucket string
}

func newDoctor() *cobra.Command {
	var at patient
	var grace time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find what crashes left behind, and files whose bytes are not what they were",
		Long: "Doctor looks at every object and every listed file and changes nothing. What crashes left behind it counts;\n" +
			"the sweeper of a running server or deployment removes it. It looks at a local server's data folder (--data),\n" +
			"which may be running meanwhile, or at a deployment (--table and --bucket) with the AWS credentials of the environment.\n" +
			"Exit codes: 0 all is well, 1 it found something, 2 wrong usage, 3 it could not look.",
		Args: exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if (at.table == "") != (at.bucket == "") {
				return usageError{errors.New("--table and --bucket belong together"), c.CommandPath()}
			}
			found, err := at.examine(c.Context(), grace)
			if err != nil {
				return exitError{err, exitBlind}
			}
			if asJSON {
				err = printJSON(c.OutOrStdout(), found)
			} else {
				err = printDiagnosis(c.OutOrStdout(), found)
			}
			switch {
			case err != nil:
				return exitError{err, exitBlind}
			case len(found.Counts) > 0:
				return exitError{nil, exitFound}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&at.dataDir, "data", defaultDataDir, "data folder of a local server")
	flags.StringVar(&at.table, "table", "", "DynamoDB table of a deployment, instead of --data")
	flags.StringVar(&at.bucket, "bucket", "", "S3 bucket of a deployment")
	flags.DurationVar(&grace, "grace", sweep.DefaultTiming().Grace, "leave out objects that are younger: they may be on their way")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// examine opens the stores and inspects them.
func (at patient) examine(ctx context.Context, grace time.Duration) (sweep.Diagnosis, error) {
	if at.table == "" {
		data, err := server.OpenData(ctx, at.dataDir)
		if err != nil {
			return sweep.Diagnosis{}, err
		}
		found, err := inspect(ctx, data.Catalog, data.Objects, grace)
		return found, errors.Join(err, data.Close())
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return sweep.Diagnosis{}, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	endpoint := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"))
	objects := objectstore.New(objectstore.NewClient(cfg, endpoint), at.bucket)
	found, err := inspect(ctx, dynamo.New(dynamodb.NewFromConfig(cfg), at.table), objects, grace)
	var known *fault.Error
	if err != nil && !errors.As(err, &known) {
		err = fault.Newf(fault.CodeUnavailable, "Check the names of the table and the bucket (`sam list stack-outputs` shows them), AWS_REGION and the credentials.",
			"The table %s and the bucket %s can't be read.", at.table, at.bucket).Because(err)
	}
	return found, err
}

func inspect(ctx context.Context, catalog examined, objects *objectstore.Store, grace time.Duration) (sweep.Diagnosis, error) {
	all, err := catalog.Keys(ctx, "")
	if err != nil {
		return sweep.Diagnosis{}, err
	}
	tenants := make([]string, len(all))
	for i, k := range all {
		tenants[i] = k.Tenant
	}
	return sweep.Inspection{
		Store: objects, Catalog: catalog, Verifier: dataset.NewService(catalog, objects),
		Tenants: tenants, Grace: grace, Now: time.Now, Deleting: func(ctx context.Context) ([]sweep.Finding, error) { return deleting(ctx, catalog) },
	}.Run(ctx)
}

// deleting finds the datasets that were deleted and not purged to the end.
func deleting(ctx context.Context, catalog dataset.Purges) (found []sweep.Finding, err error) {
	const limit = 100
	for after, more := (dataset.DeletedDataset{}), true; more; {
		page, err := catalog.DeletedDatasets(ctx, after, limit)
		if err != nil {
			return nil, fmt.Errorf("looking for deleted datasets: %w", err)
		}
		for _, d := range page {
			found = append(found, sweep.Finding{Kind: sweep.Deleting, Tenant: d.Tenant, DatasetID: d.ID, At: d.DeletedAt})
			after = d
		}
		more = len(page) == limit
	}
	return found, nil
}

// advice is what doctor says of each kind, the worst first.
var advice = []struct {
	kind sweep.Kind
	what string
}{
	{sweep.Missing, "listed files without an object. Their bytes are lost: delete the files, and upload them again."},
	{sweep.WrongSize, "listed files with an object of another size than was uploaded. Delete the files, and upload them again."},
	{sweep.WrongChecksum, "listed files with an object of another checksum than was uploaded. Delete the files, and upload them again."},
	{sweep.Orphan, "objects of no file, since a crash came before it was listed. The sweeper removes them."},
	{sweep.Expired, "objects of large uploads whose time is over. The sweeper removes them."},
	{sweep.Leftover, "objects of files that were deleted and uploads that were aborted. The sweeper removes them."},
	{sweep.Deleting, "datasets that were deleted and are still being removed. The sweeper goes on with it."},
	{sweep.Foreign, "objects that are unknown to this catalog and older than it, or whose keys are no file's. The sweeper leaves them alone: look whose they are."},
}

// shown is how many findings of a kind are shown to people.
const shown = 10

func printDiagnosis(w io.Writer, d sweep.Diagnosis) error {
	fmt.Fprintf(w, "Looked at %d objects (%d bytes), %d open uploads in parts, and %d files in %d datasets.\n",
		d.Objects, d.Bytes, d.OpenParts, d.Files, d.Datasets)
	if len(d.Counts) == 0 {
		_, err := fmt.Fprintln(w, "All is well.")
		return err
	}
	for _, a := range advice {
		c := d.Counts[a.kind]
		if c.Number == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s (%d, %d bytes): %s\n", a.kind, c.Number, c.Bytes, a.what)
		left := shown
		for _, f := range d.Findings {
			if f.Kind == a.kind && left > 0 {
				fmt.Fprintf(w, "  %s\n", describe(f))
				left--
			}
		}
		if c.Number > shown {
			fmt.Fprintf(w, "  and %d more; --json shows 100 of them\n", c.Number-shown)
		}
	}
	return nil
}

// describe names a finding in a line.
func describe(f sweep.Finding) string {
	switch {
	case f.FileName != "":
		return fmt.Sprintf("%q in %s of %s, %d bytes", f.FileName, f.DatasetID, f.Tenant, f.SizeBytes)
	case f.Key == "":
		return fmt.Sprintf("%s of %s, deleted %s", f.DatasetID, f.Tenant, f.At.Format(time.RFC3339))
	case f.Parts:
		return fmt.Sprintf("%s, in parts, begun %s", f.Key, f.At.Format(time.RFC3339))
	}
	return fmt.Sprintf("%s, %d bytes, stored %s", f.Key, f.SizeBytes, f.At.Format(time.RFC3339))
}
