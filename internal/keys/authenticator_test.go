package keys_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// store is a keys.Store of which an Authenticator calls one method.
type store struct {
	keys.Store
	mu    sync.Mutex
	keys  map[[32]byte]keys.Key
	asked int
	err   error
}

func newStore(list ...keys.Key) *store {
	s := &store{keys: map[[32]byte]keys.Key{}}
	for _, k := range list {
		s.keys[k.Hash] = k
	}
	return s
}

func (s *store) KeyByHash(_ context.Context, hash [32]byte) (keys.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.err != nil {
		return keys.Key{}, s.err
	}
	k, ok := s.keys[hash]
	if !ok {
		return keys.Key{}, keys.ErrNotFound()
	}
	return k, nil
}

func (s *store) set(k keys.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[k.Hash] = k
}

func (s *store) wantAsked(t *testing.T, times int) {
	t.Helper()
	if s.asked != times {
		t.Errorf("the store was asked %d times, want %d", s.asked, times)
	}
}

func TestAuthenticate(t *testing.T) {
	k, text := newKey(t)
	a := &keys.Authenticator{Store: newStore(k), Now: func() time.Time { return now }}
	for _, header := range []string{"Key " + text, "Bearer " + text} {
		who, err := a.Authenticate(t.Context(), header)
		if want := (keys.Principal{Tenant: "acme", KeyID: k.ID, Scopes: k.Scopes}); err != nil || !reflect.DeepEqual(who, want) {
			t.Fatalf("%q: %+v, %v; want %+v", header, who, err, want)
		}
	}
}

// What is wrong with a key is nobody's business but its owner's.
func TestAuthenticateRefusesAlike(t *testing.T) {
	_, unknown := newKey(t)
	revoked, revokedText := newKey(t)
	revoked.RevokedAt = now.Add(-time.Second)
	expired, expiredText := newKey(t)
	expired.ExpiresAt = now
	swapped, swappedText := newKey(t) // the store answers with another key
	s := newStore(revoked, expired)
	other, _ := newKey(t)
	s.keys[swapped.Hash] = other
	a := &keys.Authenticator{Store: s, Now: func() time.Time { return now }, TTL: time.Minute, MissTTL: time.Minute}
	var first error
	for name, text := range map[string]string{
		"malformed": "abc", "mistyped": unknown[:45] + "!", "unknown": unknown, "revoked": revokedText, "expired": expiredText, "another": swappedText,
	} {
		for range 2 { // the second time from memory
			who, err := a.Authenticate(t.Context(), "Key "+text)
			if !fault.Is(err, fault.CodeUnauthorized) || who.Tenant != "" {
				t.Fatalf("%s: %+v, %v", name, who, err)
			}
			if first == nil {
				first = err
			}
			if !reflect.DeepEqual(err, first) {
				t.Errorf("%s is told apart: %#v and %#v", name, err, first)
			}
		}
	}
}

func TestAuthenticateWithoutAStore(t *testing.T) {
	_, text := newKey(t)
	outage := errors.New("outage")
	s := newStore()
	s.err = outage
	a := &keys.Authenticator{Store: s, TTL: time.Minute, MissTTL: time.Minute}
	for n := 1; n < 3; n++ { // an outage is not remembered
		if _, err := a.Authenticate(t.Context(), "Key "+text); !errors.Is(err, outage) || fault.Is(err, fault.CodeUnauthorized) {
			t.Fatalf("got %v", err)
		}
		s.wantAsked(t, n)
	}
	for _, header := range []string{"", "Key abc", "Basic abc"} {
		if _, err := a.Authenticate(t.Context(), header); !fault.Is(err, fault.CodeUnauthorized) {
			t.Errorf("%q: %v", header, err)
		}
	}
	s.wantAsked(t, 2)
}

func TestAuthenticatorForgetsNothingItShould(t *testing.T) {
	k, text := newKey(t)
	at := now
	s := newStore(k)
	a := &keys.Authenticator{Store: s, Now: func() time.Time { return at }, TTL: time.Minute, MissTTL: 5 * time.Second}
	ask := func(valid bool) {
		t.Helper()
		if _, err := a.Authenticate(t.Context(), "Key "+text); (err == nil) != valid {
			t.Fatalf("got %v", err)
		}
	}
	ask(true)
	k.RevokedAt = now
	s.set(k)
	at = at.Add(59 * time.Second)
	ask(true) // as stated: up to TTL
	s.wantAsked(t, 1)
	at = at.Add(time.Second)
	ask(false)
	s.wantAsked(t, 2)

	_, text = newKey(t) // unknown
	ask(false)
	ask(false)
	s.wantAsked(t, 3)
	at = at.Add(5 * time.Second)
	ask(false)
	s.wantAsked(t, 4)

	k, text = newKey(t) // expires while it is remembered
	k.ExpiresAt = at.Add(time.Second)
	s.set(k)
	ask(true)
	at = at.Add(time.Second)
	ask(false)
	s.wantAsked(t, 5)
}

func TestAuthenticatorRemembersNothingByDefault(t *testing.T) {
	k, text := newKey(t)
	s := newStore(k)
	a := &keys.Authenticator{Store: s}
	for n := 1; n < 3; n++ {
		if _, err := a.Authenticate(t.Context(), "Key "+text); err != nil {
			t.Fatal(err)
		}
		s.wantAsked(t, n)
	}
	k.RevokedAt = now
	s.set(k)
	if _, err := a.Authenticate(t.Context(), "Key "+text); err == nil {
		t.Error("a revoked key works on")
	}
}

func TestAuthenticatorIsBounded(t *testing.T) {
	s := newStore()
	a := &keys.Authenticator{Store: s, Now: func() time.Time { return now }, TTL: time.Minute, MissTTL: time.Minute, MaxEntries: 10}
	var texts []string
	for range 30 {
		_, text := newKey(t)
		texts = append(texts, text)
	}
	for range 2 {
		for _, text := range texts {
			_, _ = a.Authenticate(t.Context(), "Key "+text)
		}
	}
	if remembered := 60 - s.asked; remembered > 10 {
		t.Errorf("%d keys were remembered, want 10 at most", remembered)
	}
	if s.asked > 60 || s.asked < 50 {
		t.Errorf("the store was asked %d times", s.asked)
	}
}

func TestAuthenticatorIsConcurrent(t *testing.T) {
	k, text := newKey(t)
	a := &keys.Authenticator{Store: newStore(k), TTL: time.Nanosecond, MissTTL: time.Nanosecond, MaxEntries: 2}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				who, err := a.Authenticate(context.Background(), "Key "+text)
				if err != nil {
					t.Error(err)
					return
				}
				who.Scopes[0] = "overwritten" // a caller's copy
			}
		})
	}
	wg.Wait()
	if k.Scopes[0] != keys.ScopeRead {
		t.Error("a caller changed what is remembered")
	}
}
