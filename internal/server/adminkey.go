package server

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// The first key belongs to this tenant.
const (
	localTenant  = "local"
	adminKeyFile = "admin.key"
)

// ensureAdminKey makes the first admin key of a data folder and writes it where
// its owner can read it. The file comes first: a crash between the two leaves a
// file whose key is taken up by the next start, never a key that nobody has.
func ensureAdminKey(ctx context.Context, store keys.Store, dataDir string) (string, error) {
	path := filepath.Join(dataDir, adminKeyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, addFirstKey(ctx, store, path)
	}
	if err != nil {
		return "", err
	}
	return path, takeUp(ctx, store, strings.TrimSpace(string(text)), path)
}

// addFirstKey makes a key where there is none yet. A folder that has keys and no
// file is one whose owner put the file away.
func addFirstKey(ctx context.Context, store keys.Store, path string) error {
	existing, err := store.Keys(ctx, "")
	if err != nil || len(existing) > 0 {
		return err
	}
	key, text, err := firstKey()
	if err != nil {
		return err
	}
	if err := writePrivate(path, text+"\n"); err != nil {
		return err
	}
	return store.AddKey(ctx, key)
}

func firstKey() (keys.Key, string, error) {
	return keys.New(localTenant, "first admin key", []keys.Scope{keys.ScopeAdmin}, nil, time.Time{}, time.Now())
}

// takeUp stores the key that an interrupted start wrote down. One that is stored
// already stays as it is, revoked or not.
func takeUp(ctx context.Context, store keys.Store, text, path string) error {
	hash, err := keys.HashText(text)
	if err != nil {
		return fault.Newf(fault.CodeInvalidRequest, "Put the key back, or move the file away and make a key with `parqueue keys create`.",
			"%s does not hold an API key.", path)
	}
	_, err = store.KeyByHash(ctx, hash)
	if !fault.Is(err, fault.CodeKeyNotFound) {
		return err
	}
	key, _, err := firstKey()
	if err != nil {
		return err
	}
	key.Hash, key.Prefix = hash, keys.Prefix(text)
	return store.AddKey(ctx, key)
}

// writePrivate writes a file that its owner alone can read, whole or not at all.
func writePrivate(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
