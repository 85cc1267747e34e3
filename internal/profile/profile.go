// Package profile keeps which servers a person is signed in to: a URL and a key
// under a name, in a file that its owner alone can read.
//
// The package needs no IAM actions.
package profile

import (
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
	Key       string `json:"key"`
	AllowHTTP bool   `json:"allow_http,omitempty"` // send the key over plain HTTP
}

// Store is a file of profiles.
type Store struct{ Path string }

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

// Get returns a profile; ok is false when there is none.
// Errors: CodeInvalidRequest for a file that can't be read or that others can.
func (s Store) Get(name string) (p Profile, ok bool, err error) {
	c, err := s.read()
	if err != nil {
		return Profile{}, false, err
	}
	p, ok = c.Profiles[name]
	return p, ok, nil
}

// Put adds a profile, or replaces it.
// Errors: as for Get, and CodeInvalidRequest when the file can't be written.
func (s Store) Put(name string, p Profile) error {
	if err := CheckName(name); err != nil {
		return err
	}
	c, err := s.read()
	if err != nil {
		return err
	}
	c.Profiles[name] = p
	return s.write(c)
}

// Delete removes a profile, and reports whether there was one.
// Errors: as for Put.
func (s Store) Delete(name string) (bool, error) {
	c, err := s.read()
	if err != nil {
		return false, err
	}
	if _, ok := c.Profiles[name]; !ok {
		return false, nil
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

// write replaces the file in one step.
func (s Store) write(c content) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the profiles: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o700); err != nil {
		return s.unusable("can't be written", err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.Path), ".new-*") // made with mode 0600
	if err != nil {
		return s.unusable("can't be written", err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.Path)
	}
	if err != nil {
		return s.unusable("can't be written", err)
	}
	return nil
}
