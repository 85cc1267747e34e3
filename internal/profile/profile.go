// Package profile keeps which servers a person is signed in to: a URL and a key
// under a name, in a file that its owner alone can read. The key itself is in the
// system's keychain where there is one.
//
// The package needs no IAM actions.
package profile

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/parqueue/parqueue/internal/fault"
)

// Default is the name of the profile that is used when none is named.
const Default = "default"

// Profile is a server and the key to it.
type Profile struct {
	URL       string `json:"url"`
	Key       string `json:"key,omitempty"`
	Keychain  string `json:"keychain,omitempty"`   // the account that has the key, when the file hasn't
	AllowHTTP bool   `json:"allow_http,omitempty"` // send the key over plain HTTP
}

// Keychain keeps secrets under accounts; see package keychain.
type Keychain interface {
	Set(account, secret string) error
	Get(account string) (string, error)
	Delete(account string) error
}

// Where a key is kept.
const (
	KeepAuto     = "auto"     // in the keychain if there is one, else in the file
	KeepKeychain = "keychain" // there, or not at all
	KeepFile     = "file"
)

// Store is a file of profiles.
type Store struct {
	Path     string
	Keychain Keychain // nil for none
}

// content is the file.
type content struct {
	Profiles map[string]Profile `json:"profiles"`
}

// fileLimit bounds the file.
const fileLimit = 1 << 20

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName refuses names that a command line could take for something else.
// Errors: CodeInvalidRequest.
func CheckName(text string) error {
	if !name.MatchString(text) {
		return fault.Newf(fault.CodeInvalidRequest, "Use 1 to 64 letters, digits, dots, dashes and underscores.", "%.64q can't be the name of a profile.", text)
	}
	return nil
}

// Get returns a profile with its key; ok is false when there is none.
// Errors: CodeInvalidRequest for a file that can't be read or that others can;
// CodeUnauthorized when the keychain doesn't give the key.
func (s Store) Get(name string) (p Profile, ok bool, err error) {
	c, err := s.read()
	if err != nil {
		return Profile{}, false, err
	}
	p, ok = c.Profiles[name]
	if p.Keychain == "" {
		return p, ok, nil
	}
	err = errors.New("it isn't used here")
	if s.Keychain != nil {
		p.Key, err = s.Keychain.Get(p.Keychain)
	}
	if err != nil {
		return Profile{}, false, fault.Newf(fault.CodeUnauthorized,
			"Unlock the keychain, or sign in again with `parqueue auth login --key-store file`; PARQUEUE_URL and PARQUEUE_API_KEY do without.",
			"The key of the profile %q is in the keychain, which doesn't give it.", name).Because(err)
	}
	return p, ok, nil
}

// Put adds a profile, or replaces it, and keeps its key where keep says. It tells
// where that is: KeepKeychain or KeepFile.
// Errors: as for Get, and CodeInvalidRequest when the file can't be written, or the
// keychain doesn't take what is to be kept nowhere else.
func (s Store) Put(name string, p Profile, keep string) (kept string, err error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	c, err := s.read()
	if err != nil {
		return "", err
	}
	old := c.Profiles[name]
	if kept, err = s.keep(name, &p, old, keep); err != nil {
		return "", err
	}
	c.Profiles[name] = p
	if err := s.write(c); err != nil {
		return "", err
	}
	if old.Keychain != "" && old.Keychain != p.Keychain && s.Keychain != nil {
		_ = s.Keychain.Delete(old.Keychain) // it belongs to nobody any more
	}
	return kept, nil
}

// keep puts the key of a profile into the keychain, if it is to be there.
func (s Store) keep(name string, p *Profile, old Profile, keep string) (kept string, err error) {
	if keep == KeepFile || s.Keychain == nil && keep == KeepAuto {
		return KeepFile, nil
	}
	err = errors.New("it isn't used here")
	account := old.Keychain
	if account == "" {
		account = name + "-" + rand.Text()[:8] // of another configuration folder there may be one with the same name
	}
	if s.Keychain != nil {
		err = s.try(account, p.Key)
	}
	switch {
	case err == nil:
		p.Keychain, p.Key = account, ""
		return KeepKeychain, nil
	case keep == KeepAuto:
		return KeepFile, nil
	}
	return "", fault.New(fault.CodeInvalidRequest, "The keychain doesn't take the key.", "Unlock it, or keep the key in a file that only you can read, with --key-store file.").Because(err)
}

// try keeps a key and sees that it comes back.
func (s Store) try(account, key string) error {
	if err := s.Keychain.Set(account, key); err != nil {
		return err
	}
	back, err := s.Keychain.Get(account)
	if err == nil && back != key {
		err = errors.New("another key came back")
	}
	return err
}

// Delete removes a profile, and reports whether there was one.
// Errors: as for Put.
func (s Store) Delete(name string) (bool, error) {
	c, err := s.read()
	if err != nil {
		return false, err
	}
	p, ok := c.Profiles[name]
	if !ok {
		return false, nil
	}
	if p.Keychain != "" && s.Keychain != nil {
		if err := s.Keychain.Delete(p.Keychain); err != nil {
			return false, fault.Newf(fault.CodeInvalidRequest, "Unlock it and sign out again, or revoke the key.", "The keychain doesn't let go of the key of the profile %q.", name).Because(err)
		}
	}
	delete(c.Profiles, name)
	return true, s.write(c)
}

func (s Store) read() (content, error) {
	c := content{Profiles: map[string]Profile{}}
	f, err := os.Open(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, s.unusable("can't be read", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return c, s.unusable("can't be read", err)
	}
	if tooOpen(info) {
		return c, fault.Newf(fault.CodeInvalidRequest, "Run `chmod 600` on it; if others may have read it, revoke the keys in it and sign in again.",
			"%s holds API keys, and other users of this machine can read it.", s.Path)
	}
	text, err := io.ReadAll(io.LimitReader(f, fileLimit))
	if err != nil {
		return c, s.unusable("can't be read", err)
	}
	if err := json.Unmarshal(text, &c); err != nil || c.Profiles == nil {
		return c, s.unusable("is damaged", err)
	}
	return c, nil
}

func (s Store) unusable(why string, cause error) error {
	return fault.Newf(fault.CodeInvalidRequest, "Make it right or move it away, then sign in again with `parqueue auth login`.", "%s, which holds who is signed in, %s.", s.Path, why).Because(cause)
}

func (s Store) unwritable(cause error) error {
	return fault.Newf(fault.CodeInvalidRequest,
		"Make its folder writable, or name another one with PARQUEUE_CONFIG_DIR; PARQUEUE_URL and PARQUEUE_API_KEY sign in without a file.",
		"%s, which is to hold who is signed in, can't be written.", s.Path).Because(cause)
}

// write replaces the file in one step.
func (s Store) write(c content) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the profiles: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o700); err != nil {
		return s.unwritable(err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.Path), ".new-*") // made with mode 0600
	if err != nil {
		return s.unwritable(err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.Path)
	}
	if err != nil {
		return s.unwritable(err)
	}
	return nil
}
