package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/server"
)

// keyStore says which keys a command is about: a local server's, or those of a
// deployed table.
type keyStore struct {
	dataDir string
	table   string
}

func newKeys() *cobra.Command {
	var at keyStore
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Create, list and revoke API keys",
		Long: "Keys are kept in a local server's data folder (--data), which may be running meanwhile,\n" +
			"or in the DynamoDB table of a deployment (--table), reached with the AWS credentials of the environment.",
		Args: exactArgs(0, "a subcommand: create, list or revoke"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&at.dataDir, "data", defaultDataDir, "data folder of a local server")
	flags.StringVar(&at.table, "table", "", "DynamoDB table of a deployment, instead of --data")
	cmd.AddCommand(newKeysCreate(&at), newKeysList(&at), newKeysRevoke(&at))
	return cmd
}

// use opens the store for one call.
func (at *keyStore) use(ctx context.Context, call func(keys.Store) error) error {
	if at.table != "" {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return fmt.Errorf("reading the AWS configuration: %w", err)
		}
		return at.explain(call(dynamo.New(dynamodb.NewFromConfig(cfg), at.table)))
	}
	path := server.CatalogFile(at.dataDir)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return server.ErrNoData(at.dataDir)
	}
	catalog, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(call(catalog), catalog.Close())
}

// explain says what to look at when AWS did not do what was asked.
func (at *keyStore) explain(err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return fault.Newf(fault.CodeUnavailable, "Check the table's name (`sam list stack-outputs` shows it), AWS_REGION and the credentials.",
		"The table %s can't be used.", at.table).Because(err)
}

func newKeysCreate(at *keyStore) *cobra.Command {
	var tenant, name string
	var scopes, datasets []string
	var validFor time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a key and print it, once",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			now := time.Now().UTC()
			var expires time.Time
			if c.Flags().Changed("valid-for") {
				expires = now.Add(validFor)
			}
			key, text, err := keys.New(tenant, name, asScopes(scopes), datasets, expires, now)
			if err != nil {
				return err
			}
			err = at.use(c.Context(), func(s keys.Store) error { return s.AddKey(c.Context(), key) })
			if err != nil {
				return err
			}
			if asJSON {
				row := keyRow(key)
				row["key"] = text
				return printJSON(c.OutOrStdout(), row)
			}
			fmt.Fprintf(c.ErrOrStderr(), "Made %s for tenant %s. The key is shown this once:\n", key.ID, key.Tenant)
			_, err = fmt.Fprintln(c.OutOrStdout(), text)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&tenant, "tenant", "local", "whose key it is: 1 to 64 of a-z, 0-9 and -")
	flags.StringVar(&name, "name", "", "what it is for")
	flags.StringSliceVar(&scopes, "scopes", []string{"read", "write"}, "rights: read, write, admin")
	flags.StringSliceVar(&datasets, "datasets", nil, "the only datasets it reaches (all, if not given)")
	flags.DurationVar(&validFor, "valid-for", 0, "time until it expires, such as 720h (never, if not given)")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func asScopes(words []string) []keys.Scope {
	scopes := make([]keys.Scope, len(words))
	for i, w := range words {
		scopes[i] = keys.Scope(strings.TrimSpace(w))
	}
	return scopes
}

func newKeysList(at *keyStore) *cobra.Command {
	var tenant string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List keys, oldest first; never their text",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			var all []keys.Key
			err := at.use(c.Context(), func(s keys.Store) (err error) {
				all, err = s.Keys(c.Context(), tenant)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				rows := make([]map[string]any, len(all))
				for i, k := range all {
					rows[i] = keyRow(k)
				}
				return printJSON(c.OutOrStdout(), map[string]any{"keys": rows})
			}
			return printKeys(c.OutOrStdout(), all)
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "only this tenant's")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newKeysRevoke(at *keyStore) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke KEY_ID",
		Short: "Revoke a key: at once locally, within 60 seconds in a deployment",
		Args:  exactArgs(1, "one key id; see `parqueue keys list`"),
		RunE: func(c *cobra.Command, args []string) error {
			return at.use(c.Context(), func(s keys.Store) error {
				key, err := s.RevokeKey(c.Context(), args[0], time.Now().UTC())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s was revoked at %s\n", key.ID, key.RevokedAt.Format(time.RFC3339))
				return err
			})
		},
	}
}

// keyRow is a key as JSON shows it.
func keyRow(k keys.Key) map[string]any {
	row := map[string]any{
		"key_id": k.ID, "tenant": k.Tenant, "name": k.Name, "scopes": k.Scopes, "prefix": k.Prefix,
		"created_at": k.CreatedAt.Format(time.RFC3339), "status": keyStatus(k, time.Now()),
	}
	if len(k.Datasets) > 0 {
		row["datasets"] = k.Datasets
	}
	if !k.ExpiresAt.IsZero() {
		row["expires_at"] = k.ExpiresAt.Format(time.RFC3339)
	}
	if !k.RevokedAt.IsZero() {
		row["revoked_at"] = k.RevokedAt.Format(time.RFC3339)
	}
	return row
}

func keyStatus(k keys.Key, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	}
	return "valid"
}

func printKeys(w io.Writer, all []keys.Key) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY ID\tTENANT\tBEGINS\tSCOPES\tSTATUS\tCREATED\tNAME")
	for _, k := range all {
		scopes := make([]string, len(k.Scopes))
		for i, s := range k.Scopes {
			scopes[i] = string(s)
		}
		fmt.Fprintf(table, "%s\t%s\t%s…\t%s\t%s\t%s\t%s\n", k.ID, k.Tenant, k.Prefix, strings.Join(scopes, ","),
			keyStatus(k, time.Now()), k.CreatedAt.Format(time.RFC3339), k.Name)
	}
	return table.Flush()
}
