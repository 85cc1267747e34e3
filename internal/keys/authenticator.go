package keys

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
)

// Authenticator checks the keys of requests. The zero value of every field but
// Store is usable. It is safe for concurrent use and must not be copied.
type Authenticator struct {
	Store Store
	Now   func() time.Time // time.Now when nil

	// TTL is how long a key that was found is remembered, and so how long a
	// revoked one may go on working. At 0 every request asks the store, and
	// revoking works at once. A key's expiry is checked at every request.
	TTL time.Duration
	// MissTTL is how long it is remembered that there is no such key.
	MissTTL time.Duration
	// MaxEntries bounds what is remembered; 0 means 1,000.
	MaxEntries int

	mu    sync.Mutex
	known map[[32]byte]answer
}

// answer is what the store said about a hash.
type answer struct {
	key   Key
	found bool
	until time.Time
}

const defaultMaxEntries = 1000

// Authenticate says who sent an Authorization header. A key that is malformed,
// unknown, revoked or expired gets the same answer.
// Errors: CodeUnauthorized; any other error means that the store did not answer.
func (a *Authenticator) Authenticate(ctx context.Context, header string) (Principal, error) {
	text, err := ParseAuthorization(header)
	if err != nil {
		return Principal{}, err
	}
	hash, err := HashText(text)
	if err != nil {
		return Principal{}, err
	}
	k, err := a.key(ctx, hash)
	if err != nil {
		return Principal{}, err
	}
	if !k.validAt(a.now()) || subtle.ConstantTimeCompare(k.Hash[:], hash[:]) != 1 {
		return Principal{}, errRefused()
	}
	return Principal{Tenant: k.Tenant, KeyID: k.ID, Scopes: slices.Clone(k.Scopes), Datasets: slices.Clone(k.Datasets)}, nil
}

// validAt reports whether a key works at a time.
func (k Key) validAt(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// key finds the key with a hash, in memory or in the store.
func (a *Authenticator) key(ctx context.Context, hash [32]byte) (Key, error) {
	if known, ok := a.remembered(hash); ok {
		if !known.found {
			return Key{}, errRefused()
		}
		return known.key, nil
	}
	asked := a.now()
	k, err := a.Store.KeyByHash(ctx, hash)
	if fault.Is(err, fault.CodeKeyNotFound) {
		a.remember(hash, answer{until: asked.Add(a.MissTTL)})
		return Key{}, errRefused()
	}
	if err != nil {
		return Key{}, fmt.Errorf("checking an API key: %w", err)
	}
	a.remember(hash, answer{key: k, found: true, until: asked.Add(a.TTL)})
	return k, nil
}

func (a *Authenticator) remembered(hash [32]byte) (answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.known[hash]
	return known, ok && a.now().Before(known.until)
}

// remember keeps an answer, if it is to be kept, in the place of one that is
// over or else of any other.
func (a *Authenticator) remember(hash [32]byte, known answer) {
	now := a.now()
	if !now.Before(known.until) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = make(map[[32]byte]answer)
	}
	if len(a.known) >= a.maxEntries() {
		a.forget(now)
	}
	a.known[hash] = known
}

// forget makes room for one answer. A map's order is random, so nobody can
// choose whose key is forgotten.
func (a *Authenticator) forget(now time.Time) {
	for hash, known := range a.known {
		if !now.Before(known.until) {
			delete(a.known, hash)
		}
	}
	for hash := range a.known {
		if len(a.known) < a.maxEntries() {
			return
		}
		delete(a.known, hash)
	}
}

func (a *Authenticator) maxEntries() int {
	if a.MaxEntries > 0 {
		return a.MaxEntries
	}
	return defaultMaxEntries
}

func (a *Authenticator) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}
