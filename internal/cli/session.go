package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/daemon"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keychain"
	"github.com/parqueue/parqueue/internal/profile"
)

// The environment wins over profiles: it is how scripts and CI sign in.
const (
	envKey     = "PARQUEUE_API_KEY"
	envURL     = "PARQUEUE_URL"
	envProfile = "PARQUEUE_PROFILE"
	envConfig  = "PARQUEUE_CONFIG_DIR"
	envState   = "PARQUEUE_STATE_DIR"
	envStore   = "PARQUEUE_KEY_STORE"
)

// session is who a command speaks as, and to which server.
type session struct {
	profile string
}

func (s *session) addFlags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&s.profile, "profile", "", "profile to use (default $"+envProfile+", or \""+profile.Default+"\")")
}

// name is the profile that is meant.
func (s *session) name() string {
	for _, name := range []string{s.profile, os.Getenv(envProfile)} {
		if name != "" {
			return name
		}
	}
	return profile.Default
}

// store is where profiles are kept.
func (s *session) store() (profile.Store, error) {
	dir := os.Getenv(envConfig)
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return profile.Store{}, fault.New(fault.CodeInvalidRequest, "There is no folder for the configuration.", "Set HOME, or name a folder with "+envConfig+".").Because(err)
		}
		dir = filepath.Join(base, "parqueue")
	}
	return profile.Store{Path: filepath.Join(dir, "profiles.json"), Keychain: keychain.System{}}, nil
}

// identity is who is signed in, and where that is from.
type identity struct {
	profile.Profile
	from    string // of the key
	profile string // its name, or "" for a key of the environment
}

// identity finds out who is signed in. The key of a profile goes to that profile's
// server and to no other.
// Errors: CodeUnauthorized when nobody is.
func (s *session) identity() (identity, error) {
	key, url := os.Getenv(envKey), os.Getenv(envURL)
	if key != "" && url != "" && s.profile == "" {
		return identity{Profile: profile.Profile{URL: url, Key: key}, from: envKey}, nil
	}
	store, err := s.store()
	if err != nil {
		return identity{}, err
	}
	p, ok, err := store.Get(s.name())
	if err != nil {
		return identity{}, err
	}
	if s.profile == "" && key != "" {
		if url == "" && !ok {
			return identity{}, fault.Newf(fault.CodeUnauthorized, "Set "+envURL+" as well.", "%s is set, and it isn't said to which server the key belongs.", envKey)
		}
		return identity{Profile: profile.Profile{URL: p.URL, Key: key, AllowHTTP: p.AllowHTTP}, from: envKey}, nil
	}
	if !ok {
		return identity{}, fault.Newf(fault.CodeUnauthorized, "Sign in with `parqueue auth login --url URL`, or set "+envURL+" and "+envKey+".", "Nobody is signed in as %q.", s.name())
	}
	if s.profile == "" && url != "" {
		if same, err := client.CheckURL(url, p.AllowHTTP); err != nil || same != p.URL {
			return identity{}, fault.Newf(fault.CodeUnauthorized, "Set "+envKey+" as well, or unset "+envURL+".",
				"%s names another server than the one that the key of the profile %q is for.", envURL, s.name())
		}
	}
	return identity{p, "profile " + s.name(), s.name()}, nil
}

// client is one for who is signed in.
func (s *session) client() (*client.Client, error) {
	who, err := s.identity()
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URL: who.URL, Key: who.Key, AllowHTTP: who.AllowHTTP})
}

// stateDir is where transfers are remembered: where PARQUEUE_STATE_DIR says, else
// in a folder of the user's own, or in one for short-lived things where that can't
// be written to, as in a home that is read-only.
func stateDir() (string, error) {
	if dir := os.Getenv(envState); dir != "" {
		return dir, nil
	}
	dir, err := usualStateDir()
	if err == nil && mayBeMade(dir) {
		return dir, nil
	}
	if instead, failed := daemon.ShortLived("state"); failed == nil {
		return instead, nil
	}
	return dir, err
}

// noteState says where transfers are remembered when that is no usual place.
func noteState(w io.Writer) {
	if os.Getenv(envState) != "" {
		return
	}
	dir, err := stateDir()
	if usual, failed := usualStateDir(); err == nil && dir != usual {
		where := usual
		if failed != nil {
			where = "a home folder, of which there is none,"
		}
		fmt.Fprintf(w, "note: What transfers have to remember is in %s: %s can't be written to. %s names another folder.\n", dir, where, envState)
	}
}

func usualStateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "parqueue"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.New(fault.CodeInvalidRequest, "There is no folder for what transfers have to remember.", "Set HOME, or name a folder with "+envState+".").Because(err)
	}
	if runtime.GOOS == "windows" {
		return filepath.Join(home, "AppData", "Local", "parqueue"), nil
	}
	return filepath.Join(home, ".local", "state", "parqueue"), nil
}
