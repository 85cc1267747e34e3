package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// start is what a start of the server does about the admin key.
func start(t *testing.T, dir string) (text string, store *sqlite.Catalog, err error) {
	t.Helper()
	store, err = sqlite.Open(t.Context(), CatalogFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	path, err := ensureAdminKey(t.Context(), store, dir)
	if err != nil {
		return "", store, err
	}
	b, _ := os.ReadFile(path)
	return strings.TrimSpace(string(b)), store, nil
}

func valid(store keys.Store, text string) bool {
	a := keys.Authenticator{Store: store}
	who, err := a.Authenticate(context.Background(), "Key "+text)
	return err == nil && who.Has(keys.ScopeAdmin) && who.Tenant == localTenant
}

func TestFirstStartMakesAKeyAndLaterOnesKeepIt(t *testing.T) {
	dir := t.TempDir()
	first, store, err := start(t, dir)
	if err != nil || !valid(store, first) {
		t.Fatalf("%q, %v", first, err)
	}
	info, err := os.Stat(filepath.Join(dir, adminKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	again, store, err := start(t, dir)
	if err != nil || again != first || !valid(store, first) {
		t.Fatalf("the second start has %q, %v", again, err)
	}
	if all, _ := store.Keys(t.Context(), ""); len(all) != 1 {
		t.Fatalf("%d keys", len(all))
	}
}

// A start that was cut off after writing the file, before storing the key.
func TestKeyOfAnInterruptedStartIsTakenUp(t *testing.T) {
	dir := t.TempDir()
	_, text, err := firstKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := writePrivate(filepath.Join(dir, adminKeyFile), text+"\n"); err != nil {
		t.Fatal(err)
	}
	got, store, err := start(t, dir)
	if err != nil || got != text || !valid(store, text) {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestRevokedAdminKeyStaysRevoked(t *testing.T) {
	dir := t.TempDir()
	text, store, err := start(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := store.Keys(t.Context(), "")
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if _, err := store.RevokeKey(t.Context(), all[0].ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, store, err = start(t, dir); err != nil || valid(store, text) {
		t.Fatalf("a start makes a revoked key valid; %v", err)
	}
}

func TestNoKeyIsMadeWhereTheFileWasPutAway(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := start(t, dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, adminKeyFile)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := start(t, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("a new key was written: %v", err)
	}
}

func TestDamagedKeyFileStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, adminKeyFile), []byte("not a key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, store, err := start(t, dir)
	if fault.CodeOf(err) != fault.CodeInvalidRequest {
		t.Fatalf("got %v", err)
	}
	if all, _ := store.Keys(t.Context(), ""); len(all) != 0 {
		t.Fatalf("%d keys were made", len(all))
	}
}
