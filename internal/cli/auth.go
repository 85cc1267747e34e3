package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/profile"
)

func newAuth() *cobra.Command {
	var s session
	cmd := &cobra.Command{
		Use:   "auth",
		Short: "Sign in to a server, and out again",
		Long: "Profiles hold a server's URL and a key to it. The key is in the system's keychain where there is one, and otherwise\n" +
			"with the URL in profiles.json in the configuration folder, which only you can read.\n" +
			"PARQUEUE_URL and PARQUEUE_API_KEY win over them.",
		Args: exactArgs(0, "a subcommand: login, status or logout"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	s.addFlags(cmd)
	cmd.AddCommand(newLogin(&s), newStatus(&s), newLogout(&s))
	return cmd
}

func newLogin(s *session) *cobra.Command {
	var url, keyFile, keep string
	var allowHTTP bool
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in with an API key: typed, from standard input, or from a file",
		Example: "  parqueue auth login --url https://abc.execute-api.eu-central-1.amazonaws.com/Prod\n" +
			"  parqueue auth login --url http://127.0.0.1:8080 --key-file .parqueue/admin.key\n" +
			"  pass parqueue | parqueue auth login --url https://… --profile work",
		Args: exactArgs(0, "no arguments, and the key never on the command line"),
		RunE: func(c *cobra.Command, _ []string) error {
			if keep != profile.KeepAuto && keep != profile.KeepKeychain && keep != profile.KeepFile {
				return usageError{fmt.Errorf("--key-store %q is none of auto, keychain and file", keep), c.CommandPath()}
			}
			base, err := client.CheckURL(url, allowHTTP)
			if err != nil {
				return err
			}
			key, err := readKey(c, keyFile)
			if err != nil {
				return err
			}
			who, err := client.New(client.Config{URL: base, Key: key, AllowHTTP: allowHTTP})
			if err != nil {
				return err
			}
			account, err := who.Account(c.Context())
			if err != nil {
				return err
			}
			store, err := s.store()
			if err != nil {
				return err
			}
			kept, err := store.Put(s.name(), profile.Profile{URL: base, Key: key, AllowHTTP: allowHTTP}, keep)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "Signed in to %s as tenant %s (%s), profile %q.\n", base, account.Tenant, strings.Join(account.Scopes, ", "), s.name())
			if kept == profile.KeepKeychain {
				fmt.Fprintln(c.ErrOrStderr(), "The key is in the system's keychain.")
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&url, "url", os.Getenv(envURL), "the server's URL")
	flags.StringVar(&keyFile, "key-file", "", "file that holds the key")
	flags.StringVar(&keep, "key-store", cmp.Or(os.Getenv(envStore), profile.KeepAuto), "where to keep the key: keychain, file, or auto: the keychain if there is one")
	flags.BoolVar(&allowHTTP, "allow-http", false, "send the key over plain HTTP to another machine")
	return cmd
}

// keyLimit bounds what is read for a key.
const keyLimit = 4 << 10

// readKey reads a key from a file, from a person, or from standard input. Its
// checksum tells a typing error before the key is sent anywhere.
func readKey(c *cobra.Command, file string) (string, error) {
	text, err := keyText(c, file)
	if err != nil {
		return "", fault.New(fault.CodeInvalidRequest, "The key can't be read.", "Type it, pipe it in, or name a file with --key-file.").Because(err)
	}
	key := strings.TrimSpace(string(text))
	if _, err := keys.HashText(key); err != nil {
		return "", fault.New(fault.CodeUnauthorized, "That is not an API key.", "Copy all of it, from pq_live_ on. `parqueue keys create` makes one; a local server's first is in admin.key in its data folder.")
	}
	return key, nil
}

func keyText(c *cobra.Command, file string) ([]byte, error) {
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, keyLimit))
	}
	if in, ok := c.InOrStdin().(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		return askKey(c, int(in.Fd()))
	}
	return io.ReadAll(io.LimitReader(c.InOrStdin(), keyLimit))
}

// askKey reads a key that is typed without being shown. Ctrl-C leaves the
// terminal as it was.
func askKey(c *cobra.Command, fd int) ([]byte, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(c.ErrOrStderr(), "API key: ")
	defer fmt.Fprintln(c.ErrOrStderr())
	typed := make(chan []byte, 1)
	go func() {
		text, _ := term.ReadPassword(fd)
		typed <- text
	}()
	select {
	case text := <-typed:
		return text, nil
	case <-c.Context().Done():
		return nil, errors.Join(context.Cause(c.Context()), term.Restore(fd, before))
	}
}

func newStatus(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show who is signed in, and whether the server takes the key",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			who, err := s.identity()
			if err != nil {
				return err
			}
			server, err := client.New(client.Config{URL: who.URL, Key: who.Key, AllowHTTP: who.AllowHTTP})
			if err != nil {
				return err
			}
			account, err := server.Account(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"url": server.URL(), "tenant": account.Tenant, "scopes": account.Scopes, "key_from": who.from})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "server:   %s\ntenant:   %s\nscopes:   %s\nkey from: %s\n", server.URL(), account.Tenant, strings.Join(account.Scopes, ", "), who.from)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newLogout(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Forget the key of a profile; it stays valid until it is revoked",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := s.store()
			if err != nil {
				return err
			}
			there, err := store.Delete(s.name())
			if err != nil {
				return err
			}
			if !there {
				return fault.Newf(fault.CodeUnauthorized, "Name the profile with --profile.", "Nobody is signed in as %q.", s.name())
			}
			fmt.Fprintf(c.ErrOrStderr(), "Signed out of the profile %q.\n", s.name())
			if os.Getenv(envKey) != "" {
				return errors.New(envKey + " is still set, and still used")
			}
			return nil
		},
	}
}
