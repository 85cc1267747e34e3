package cli

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/server"
	"github.com/parqueue/parqueue/internal/sweep"
)

// defaultDataDir is where the local server keeps its data.
const defaultDataDir = ".parqueue"

func newServe() *cobra.Command {
	var c server.Config
	var quiet bool
	var sweepEvery time.Duration
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the whole of Parqueue in this process, on loopback",
		Long: "Serve runs the API, the catalog and the object store in one process and keeps everything in one folder.\n" +
			"The first start makes an admin key and writes it to admin.key in that folder.",
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if quiet {
				level = slog.LevelWarn
			}
			if sweepEvery > 0 {
				timing := sweep.Timing{Every: sweepEvery, FullEvery: sweepEvery, Grace: sweepEvery}
				c.Sweeping = server.Sweeping{First: sweepEvery, Every: sweepEvery, Timing: timing}
			}
			c.Log = slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return server.Run(cmd.Context(), c, func(r server.Ready) {
				fmt.Fprintf(cmd.OutOrStdout(), "ready: %s (data: %s)\n%s\n", r.URL, r.DataDir, curlLine(r))
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "address to listen on, host:port; port 0 takes a free one")
	flags.StringVar(&c.DataDir, "data", defaultDataDir, "folder that holds everything")
	flags.BoolVar(&c.AllowRemote, "allow-remote", false, "listen on an address that other machines reach")
	flags.StringVar(&c.AllowOrigin, "allow-origin", "", "origin whose web pages may call the API, such as http://localhost:5173, or * for all")
	flags.BoolVar(&quiet, "quiet", false, "log warnings and errors only")
	flags.DurationVar(&sweepEvery, "sweep-every", 0, "for tests: sweep that often, and so soon after what a crash left")
	_ = flags.MarkHidden("sweep-every") // it fails for a flag that is not there
	return cmd
}

// curlLine is a command that works as it is pasted into a shell.
func curlLine(r server.Ready) string {
	return fmt.Sprintf(`curl -X POST -H "Authorization: Key $(cat %s)" %s`, shellQuote(r.KeyFile), shellQuote(r.URL+"/list-datasets"))
}

// shellQuote makes one word of a path for a POSIX shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
