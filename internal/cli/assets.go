package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/daemon"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

func newAssets() *cobra.Command {
	var s session
	cmd := &cobra.Command{
		Use:     "assets",
		Aliases: []string{"asset"},
		Short:   "Keep files of any format, with a title, tags and metadata",
		Long: "An asset is a file of any format that belongs to a project or a collection; both are there as soon as they have an\n" +
			"asset. A dataset is a collection, and its files are assets.",
		Args: exactArgs(0, "a subcommand, such as upload or list"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	s.addFlags(cmd)
	cmd.AddCommand(newAssetsUpload(&s), newAssetsDownload(&s), newAssetsList(&s), newAssetsShow(&s), newAssetsSet(&s), newAssetsVersions(&s), newAssetsDelete(&s))
	return cmd
}

// ownerFlags name whose an asset is.
type ownerFlags struct{ project, collection string }

func (o *ownerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.project, "project", "", "project that it belongs to")
	cmd.Flags().StringVar(&o.collection, "collection", "", "collection that it belongs to; a dataset's id is one")
	cmd.MarkFlagsMutuallyExclusive("project", "collection")
}

// owner is empty when none is named.
func (o *ownerFlags) owner() (kind, id string) {
	switch {
	case o.project != "":
		return "project", o.project
	case o.collection != "":
		return "collection", o.collection
	}
	return "", ""
}

// infoFlags say what there is to say of an asset.
type infoFlags struct {
	transfer.AssetInfo
	metadata string
}

func (i *infoFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&i.Title, "title", "", "a title for people")
	flags.StringVar(&i.Description, "description", "", "a description")
	flags.StringVar(&i.Alias, "alias", "", "a short name that no other asset of the owner has")
	flags.StringSliceVar(&i.Tags, "tag", nil, "a tag; give it several times for several")
	flags.StringVar(&i.metadata, "metadata", "", `a JSON object, such as '{"source": "crawl 7"}'`)
}

func (i *infoFlags) read(c *cobra.Command) error {
	if i.metadata == "" {
		return nil
	}
	if !json.Valid([]byte(i.metadata)) {
		return usageError{errors.New("--metadata is not JSON"), c.CommandPath()}
	}
	i.Metadata = json.RawMessage(i.metadata)
	return nil
}

func newAssetsUpload(s *session) *cobra.Command {
	m := moving{session: s}
	var owner ownerFlags
	var info infoFlags
	var request transfer.AssetUpload
	cmd := &cobra.Command{
		Use:   "upload FILE",
		Short: "Upload a file as an asset, or as new content of one",
		Long:  "Upload prints the asset's id. After an interruption the same command goes on where it was.",
		Example: "  parqueue assets upload model.bin --project churn --title 'Model 3' --tag model\n" +
			"  parqueue assets upload model.bin --asset $ASSET",
		Args: exactArgs(1, "one file"),
		RunE: func(c *cobra.Command, args []string) error {
			request.Path = args[0]
			request.OwnerType, request.OwnerID = owner.owner()
			if (request.OwnerID == "") == (request.AssetID == "") {
				return usageError{fmt.Errorf("%s takes one of --project, --collection and --asset", c.CommandPath()), c.CommandPath()}
			}
			if err := info.read(c); err != nil {
				return err
			}
			request.Info = info.AssetInfo
			tell, err := m.printer(c, "uploaded")
			if err != nil {
				return err
			}
			result, err := m.uploadAsset(c, request, tell)
			if err != nil {
				return err
			}
			if m.asJSON {
				return printJSON(c.OutOrStdout(), result)
			}
			if _, err := fmt.Fprintln(c.OutOrStdout(), result.AssetID); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "Uploaded %s (%s), version %d.\n", result.FileName, size(result.Bytes), result.Version)
			return nil
		},
	}
	m.addFlags(cmd)
	owner.add(cmd)
	info.add(cmd)
	cmd.Flags().StringVar(&request.AssetID, "asset", "", "asset that gets new content")
	for _, name := range []string{"project", "collection", "title", "description", "alias", "tag", "metadata"} {
		cmd.MarkFlagsMutuallyExclusive("asset", name)
	}
	return cmd
}

// uploadAsset uploads, by the daemon or in this process.
func (m *moving) uploadAsset(c *cobra.Command, request transfer.AssetUpload, tell transfer.Observer) (result transfer.AssetUploadResult, err error) {
	if m.inProcess() {
		engine, err := m.engine(c)
		if err != nil {
			return result, err
		}
		return engine.UploadAsset(c.Context(), request, tell)
	}
	path, err := filepath.Abs(request.Path)
	if err != nil {
		return result, fmt.Errorf("finding %s: %w", request.Path, err)
	}
	_, err = m.carry(c, daemon.NewTransfer{
		Kind: daemon.KindUploadAsset, Path: path, AssetID: request.AssetID, OwnerType: request.OwnerType, OwnerID: request.OwnerID, AssetInfo: request.Info,
	}, tell, &result)
	return result, err
}

func newAssetsDownload(s *session) *cobra.Command {
	m := moving{session: s}
	var request transfer.AssetDownload
	cmd := &cobra.Command{
		Use:     "download ASSET",
		Short:   "Download an asset's content, the latest or a version of it",
		Long:    "Download prints the path of the file. After an interruption the same command goes on where it was.",
		Example: "  parqueue assets download $ASSET --to models --version 2",
		Args:    exactArgs(1, "one asset id; see `parqueue assets list`"),
		RunE: func(c *cobra.Command, args []string) error {
			request.AssetID = args[0]
			if request.Version < 0 {
				return usageError{errors.New("--version is a number from 1"), c.CommandPath()}
			}
			tell, err := m.printer(c, "downloaded")
			if err != nil {
				return err
			}
			result, err := m.downloadAsset(c, request, tell)
			if err != nil {
				return err
			}
			if m.asJSON {
				return printJSON(c.OutOrStdout(), result)
			}
			done := "Downloaded"
			if result.Skipped {
				done = "There already:"
			}
			if _, err := fmt.Fprintln(c.OutOrStdout(), result.Path); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "%s version %d (%s).\n", done, result.Version, size(result.Bytes))
			return nil
		},
	}
	m.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&request.Folder, "to", ".", "folder to put it in")
	flags.Int64Var(&request.Version, "version", 0, "version of the content (default: the latest)")
	flags.BoolVar(&request.Overwrite, "overwrite", false, "replace another file of the same name")
	return cmd
}

// downloadAsset downloads, by the daemon or in this process.
func (m *moving) downloadAsset(c *cobra.Command, request transfer.AssetDownload, tell transfer.Observer) (result transfer.AssetDownloadResult, err error) {
	if m.inProcess() {
		engine, err := m.engine(c)
		if err != nil {
			return result, err
		}
		return engine.DownloadAsset(c.Context(), request, tell)
	}
	folder, err := filepath.Abs(request.Folder)
	if err != nil {
		return result, fmt.Errorf("finding %s: %w", request.Folder, err)
	}
	_, err = m.carry(c, daemon.NewTransfer{
		Kind: daemon.KindDownloadAsset, AssetID: request.AssetID, Version: request.Version, To: folder, Overwrite: request.Overwrite,
	}, tell, &result)
	return result, err
}

func newAssetsList(s *session) *cobra.Command {
	var owner ownerFlags
	var filter client.AssetFilter
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List assets: all, or those of an owner, with a tag or an alias",
		Example: "  parqueue assets list --project churn --tag model",
		Args:    exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			filter.OwnerType, filter.OwnerID = owner.owner()
			all := []client.Asset{}
			for a, err := range server.Assets(c.Context(), filter) {
				if err != nil {
					return err
				}
				all = append(all, a)
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"assets": all})
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "ASSET ID\tOWNER\tVERSION\tSIZE\tCHANGED\tTITLE")
			for _, a := range all {
				fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", a.ID, a.OwnerID, a.Version, size(a.SizeBytes), day(a.UpdatedAt), a.Title)
			}
			return table.Flush()
		},
	}
	owner.add(cmd)
	cmd.Flags().StringVar(&filter.Tag, "tag", "", "only those with the tag")
	cmd.Flags().StringVar(&filter.Alias, "alias", "", "only those with the alias")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newAssetsShow(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ASSET",
		Short: "Show what there is to know of an asset",
		Args:  exactArgs(1, "one asset id; see `parqueue assets list`"),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			a, err := server.Asset(c.Context(), args[0])
			if err != nil {
				return err
			}
			return printAsset(c, a, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printAsset(c *cobra.Command, a client.Asset, asJSON bool) error {
	if asJSON {
		return printJSON(c.OutOrStdout(), a)
	}
	table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "id:\t%s\n%s:\t%s\ntitle:\t%s\ndescription:\t%s\nalias:\t%s\ntags:\t%s\nmetadata:\t%s\n",
		a.ID, a.OwnerType, a.OwnerID, a.Title, a.Description, a.Alias, strings.Join(a.Tags, ", "), a.Metadata)
	fmt.Fprintf(table, "file:\t%s\nsize:\t%s\nversion:\t%d\ncreated:\t%s\nchanged:\t%s\netag:\t%s\n",
		a.FileName, size(a.SizeBytes), a.Version, day(a.CreatedAt), day(a.UpdatedAt), a.ETag)
	return table.Flush()
}

func newAssetsSet(s *session) *cobra.Command {
	var info infoFlags
	var clearing []string
	var ifMatch string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "set ASSET",
		Short: "Change what is said of an asset; what isn't named stays",
		Example: "  parqueue assets set $ASSET --title 'Model 4' --tag model --tag best\n" +
			"  parqueue assets set $ASSET --clear alias,tags",
		Args: exactArgs(1, "one asset id; see `parqueue assets list`"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := info.read(c); err != nil {
				return err
			}
			fields, err := info.changed(c, clearing)
			if err != nil {
				return err
			}
			server, err := s.client()
			if err != nil {
				return err
			}
			a, err := server.SetAsset(c.Context(), args[0], fields, ifMatch)
			if err != nil {
				return err
			}
			return printAsset(c, a, asJSON)
		},
	}
	info.add(cmd)
	cmd.Flags().StringSliceVar(&clearing, "clear", nil, "what to clear: title, description, alias, tags, metadata")
	cmd.Flags().StringVar(&ifMatch, "if-match", "", "change it only if it still has this etag; see show")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// changed is what the flags say to change.
func (i *infoFlags) changed(c *cobra.Command, clearing []string) (client.AssetChanges, error) {
	var changes client.AssetChanges
	none := json.RawMessage("null")
	fields := []struct {
		flag, name string
		set, clear func()
	}{
		{"title", "title", func() { changes.Title = &i.Title }, func() { changes.Title = new(string) }},
		{"description", "description", func() { changes.Description = &i.Description }, func() { changes.Description = new(string) }},
		{"alias", "alias", func() { changes.Alias = &i.Alias }, func() { changes.Alias = new(string) }},
		{"tag", "tags", func() { changes.Tags = &i.Tags }, func() { changes.Tags = &[]string{} }},
		{"metadata", "metadata", func() { changes.Metadata = &i.Metadata }, func() { changes.Metadata = &none }},
	}
	left := len(clearing)
	for _, f := range fields {
		given, cleared := c.Flags().Changed(f.flag), slices.Contains(clearing, f.name)
		switch {
		case given && !cleared:
			f.set()
		case cleared && !given:
			f.clear()
			left--
		}
	}
	if left > 0 {
		return changes, usageError{errors.New("--clear: name title, description, alias, tags or metadata, each once, and not what is set"), c.CommandPath()}
	}
	if changes == (client.AssetChanges{}) {
		return changes, usageError{fmt.Errorf("%s takes something to change, such as --title", c.CommandPath()), c.CommandPath()}
	}
	return changes, nil
}

func newAssetsVersions(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "versions ASSET",
		Short: "List the versions of an asset's content, the latest first",
		Args:  exactArgs(1, "one asset id; see `parqueue assets list`"),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			all := []client.AssetVersion{}
			for v, err := range server.AssetVersions(c.Context(), args[0]) {
				if err != nil {
					return err
				}
				all = append(all, v)
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"versions": all})
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "VERSION\tSIZE\tCREATED\tFILE")
			for _, v := range all {
				fmt.Fprintf(table, "%d\t%s\t%s\t%s\n", v.Version, size(v.SizeBytes), day(v.CreatedAt), v.FileName)
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newAssetsDelete(s *session) *cobra.Command {
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "delete ASSET",
		Short: "Delete an asset with all its versions, for good",
		Args:  exactArgs(1, "one asset id; see `parqueue assets list`"),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := s.client()
			if err != nil {
				return err
			}
			a, err := server.Asset(c.Context(), args[0])
			if err != nil {
				return err
			}
			if !yes {
				return fault.New(fault.CodeInvalidRequest, "Nothing was deleted: this can't be undone.", "Add --yes to delete it.").
					Because(fmt.Errorf("%s is %q (%s, version %d)", a.ID, a.Title, size(a.SizeBytes), a.Version))
			}
			if err := server.DeleteAsset(c.Context(), a.ID); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"asset_id": a.ID, "deleted": true})
			}
			fmt.Fprintf(c.ErrOrStderr(), "Deleted %s (%s).\n", a.ID, a.Title)
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "delete it, and all its versions")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
