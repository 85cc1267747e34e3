// Package keys makes, reads and checks API keys. A key is shown once, when it
// is made; what is stored is its hash. The Store interface is implemented by
// the catalog packages.
//
// The package needs no IAM actions of its own; see the implementations of Store.
package keys

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
)

// Scope is a right that a key has.
type Scope string

// The scopes. Admin includes write, and write includes read.
const (
	ScopeRead  Scope = "read"  // list and download
	ScopeWrite Scope = "write" // create, upload, delete
	ScopeAdmin Scope = "admin" // everything the tenant can do
)

// Key is what is stored of an API key.
type Key struct {
	ID        string    // "key-" and a UUIDv7; names the key in lists and logs
	Tenant    string    // whose key it is: 1 to 64 of a-z, 0-9 and "-"
	Name      string    // for people
	Scopes    []Scope   // at least one
	Datasets  []string  // the only datasets it reaches; none means all of the tenant's
	CreatedAt time.Time // UTC
	ExpiresAt time.Time // UTC; zero means never
	RevokedAt time.Time // UTC; zero means not revoked
	Hash      [32]byte  `json:"-"` // SHA-256 of the key's text; shown to nobody
	Prefix    string    // the first 12 characters of the text, to recognise it by
}

// String names the key without anything that helps to guess it.
func (k Key) String() string { return k.ID + " of " + k.Tenant + " (" + k.Prefix + "…)" }

// GoString keeps %#v as quiet as String.
func (k Key) GoString() string { return "keys.Key(" + k.String() + ")" }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.String("tenant", k.Tenant), slog.String("prefix", k.Prefix))
}

// ErrNotFound is a store's answer for a key that is not there.
func ErrNotFound() *fault.Error {
	return fault.New(fault.CodeKeyNotFound, "There is no such API key.", "`parqueue keys list` shows the keys and their ids.")
}

// Principal is who a request comes from, once its key has been checked. Tenant
// comes from the key's record and from nowhere else.
type Principal struct {
	Tenant   string
	KeyID    string
	Scopes   []Scope
	Datasets []string
}

// Has reports whether the principal's scopes include s.
func (p Principal) Has(s Scope) bool {
	for _, have := range p.Scopes {
		if have == s || have == ScopeAdmin || (have == ScopeWrite && s == ScopeRead) {
			return true
		}
	}
	return false
}

// Reaches reports whether the key may see a dataset of its tenant at all.
func (p Principal) Reaches(datasetID string) bool {
	return len(p.Datasets) == 0 || slices.Contains(p.Datasets, datasetID)
}

// Store keeps the records of keys. Every read sees every write that was
// acknowledged before it began.
type Store interface {
	// AddKey stores a new key. It may be repeated with the same ID and Hash.
	AddKey(ctx context.Context, k Key) error

	// KeyByHash returns the key with a hash, revoked and expired ones too.
	// Errors: fault.CodeKeyNotFound.
	KeyByHash(ctx context.Context, hash [32]byte) (Key, error)

	// Keys returns a tenant's keys, oldest first, or everybody's when tenant is "".
	Keys(ctx context.Context, tenant string) ([]Key, error)

	// RevokeKey marks a key as revoked at a time; revoking it again keeps the
	// first time. It returns the key as it is then.
	// Errors: fault.CodeKeyNotFound.
	RevokeKey(ctx context.Context, id string, at time.Time) (Key, error)
}
