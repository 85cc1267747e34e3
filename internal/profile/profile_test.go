package profile_test

import (
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
		if err := store.Put(name, p); err != nil {
			t.Fatal(err)
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
		if err := store.Put(name, a); !fault.Is(err, fault.CodeInvalidRequest) {
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
		if err := store.Put("a", profile.Profile{}); !fault.Is(err, fault.CodeInvalidRequest) {
			t.Errorf("%q, %v: %v", text, mode, err)
		}
		if now, _ := os.ReadFile(store.Path); string(now) != text {
			t.Errorf("it is %q now", now)
		}
	}
}
