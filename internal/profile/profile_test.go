package profile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/profile"
)

func TestProfiles(t *testing.T) {
	store := profile.Store{Path: filepath.Join(t.TempDir(), "new", "profiles.json")}
	if _, ok, err := store.Get("a"); ok || err != nil {
		t.Fatal(ok, err)
	}
	a, b := profile.Profile{URL: "https://a", Key: "k"}, profile.Profile{URL: "http://b", Key: "l", AllowHTTP: true}
	for name, p := range map[string]profile.Profile{"a": a, "b": b} {
		if kept, err := store.Put(name, p, profile.KeepAuto); kept != profile.KeepFile || err != nil {
			t.Fatal(kept, err)
		}
	}
	if got, ok, err := store.Get("b"); got != b || !ok || err != nil {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
	if there, err := store.Delete("b"); !there || err != nil {
		t.Error(there, err)
	}
	if there, err := store.Delete("b"); there || err != nil {
		t.Error(there, err)
	}
	if got, _, _ := store.Get("a"); got != a {
		t.Errorf("the other one is %+v", got)
	}
	info, err := os.Stat(store.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, name := range []string{"", "-a", "a/b", "a b"} {
		if _, err := store.Put(name, a, profile.KeepFile); !fault.Is(err, fault.CodeInvalidRequest) {
			t.Errorf("the name %q: %v", name, err)
		}
	}
}

// A file that others can read, or that is damaged, is not used and not replaced.
func TestUnusableFile(t *testing.T) {
	for text, mode := range map[string]os.FileMode{`{"profiles":{}}`: 0o644, `{"profiles":`: 0o600, `{"profiles":null}`: 0o600, ``: 0o600, `{"profiles":{"a":{}}}`: 0o620} {
		store := profile.Store{Path: filepath.Join(t.TempDir(), "profiles.json")}
		if err := os.WriteFile(store.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(store.Path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put("a", profile.Profile{}, profile.KeepFile); !fault.Is(err, fault.CodeInvalidRequest) {
			t.Errorf("%q, %v: %v", text, mode, err)
		}
		if now, _ := os.ReadFile(store.Path); string(now) != text {
			t.Errorf("it is %q now", now)
		}
	}
}

// chain is a keychain in memory.
type chain struct {
	has    map[string]string
	locked bool
}

var errLocked = errors.New("locked")

func (c *chain) Set(account, secret string) error {
	if c.locked {
		return errLocked
	}
	c.has[account] = secret
	return nil
}

func (c *chain) Get(account string) (string, error) {
	secret, ok := c.has[account]
	if c.locked || !ok {
		return "", errLocked
	}
	return secret, nil
}

func (c *chain) Delete(account string) error {
	if c.locked {
		return errLocked
	}
	delete(c.has, account)
	return nil
}

// A key in the keychain is not in the file, comes back, and goes with its profile.
// A keychain that is locked is told about, and never taken for none.
func TestKeychain(t *testing.T) {
	c := &chain{has: map[string]string{}}
	store := profile.Store{Path: filepath.Join(t.TempDir(), "profiles.json"), Keychain: c}
	p := profile.Profile{URL: "https://a", Key: "the-key"}
	for range 2 { // the second takes the place of the first
		if kept, err := store.Put("a", p, profile.KeepAuto); kept != profile.KeepKeychain || err != nil {
			t.Fatal(kept, err)
		}
	}
	if text, err := os.ReadFile(store.Path); err != nil || bytes.Contains(text, []byte("the-key")) || len(c.has) != 1 {
		t.Errorf("%s, %v, %v", text, err, c.has)
	}
	if got, ok, err := store.Get("a"); got.Key != "the-key" || !ok || err != nil {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
	c.locked = true
	if _, _, err := store.Get("a"); !fault.Is(err, fault.CodeUnauthorized) {
		t.Errorf("locked: %v", err)
	}
	if _, err := store.Put("b", p, profile.KeepKeychain); !fault.Is(err, fault.CodeInvalidRequest) {
		t.Errorf("locked: %v", err)
	}
	if kept, err := store.Put("b", p, profile.KeepAuto); kept != profile.KeepFile || err != nil {
		t.Errorf("locked: %v, %v", kept, err)
	}
	if there, err := store.Delete("a"); there || err == nil {
		t.Errorf("signed out of a key that stays: %v, %v", there, err)
	}
	c.locked = false
	if kept, err := store.Put("a", p, profile.KeepFile); kept != profile.KeepFile || err != nil || len(c.has) != 0 {
		t.Errorf("%v, %v, %v", kept, err, c.has)
	}
	if _, err := store.Put("a", p, profile.KeepKeychain); err != nil {
		t.Fatal(err)
	}
	if there, err := store.Delete("a"); !there || err != nil || len(c.has) != 0 {
		t.Errorf("%v, %v, %v", there, err, c.has)
	}
}
