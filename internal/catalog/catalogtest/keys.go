package catalogtest

import (
	"crypto/sha256"
	"reflect"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

func keyTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"a key comes back as it was stored": func(t *testing.T, e *env) {
			for _, expires := range []time.Time{{}, e.clock.Now().Add(time.Hour)} {
				for _, datasets := range [][]string{nil, {"dataset-1", "dataset-2"}} {
					k := e.newKey(t, e.tenant, expires, datasets...)
					for range 2 { // adding it again changes nothing
						if err := e.AddKey(e.ctx, k); err != nil {
							t.Fatal(err)
						}
					}
					got, err := e.KeyByHash(e.ctx, k.Hash)
					if err != nil || !reflect.DeepEqual(got, k) {
						t.Fatalf("got %+v %v, want %+v (%v)", got, got.Datasets, k, err)
					}
				}
			}
			list, err := e.Keys(e.ctx, e.tenant)
			if err != nil || len(list) != 4 {
				t.Fatalf("%d keys, %v", len(list), err)
			}
		},
		"an unknown key": func(t *testing.T, e *env) {
			_, err := e.KeyByHash(e.ctx, sha256.Sum256([]byte("nobody's")))
			wantCode(t, err, fault.CodeKeyNotFound)
			for _, id := range []string{"key-nobody", "", "#", "\xff"} {
				_, err = e.RevokeKey(e.ctx, id, e.clock.Now())
				wantCode(t, err, fault.CodeKeyNotFound)
			}
		},
		"keys are listed oldest first": func(t *testing.T, e *env) {
			other := newName("tenant-")
			var mine, both []string
			for i := range 9 {
				k := e.newKey(t, e.tenant, time.Time{})
				if i%3 == 2 {
					k.Tenant = other
				} else {
					mine = append(mine, k.ID)
				}
				both = append(both, k.ID)
				if err := e.AddKey(e.ctx, k); err != nil {
					t.Fatal(err)
				}
			}
			if got := e.keyIDs(t, e.tenant); !reflect.DeepEqual(got, mine) {
				t.Errorf("got %v, want %v", got, mine)
			}
			var everybody []string
			for _, id := range e.keyIDs(t, "") { // other tests' keys are among them
				if len(everybody) < len(both) && id == both[len(everybody)] {
					everybody = append(everybody, id)
				}
			}
			if !reflect.DeepEqual(everybody, both) {
				t.Errorf("everybody's keys hold %v, want %v", everybody, both)
			}
			if got := e.keyIDs(t, newName("tenant-")); len(got) != 0 {
				t.Errorf("a tenant without keys has %v", got)
			}
		},
		"a revoked key stays revoked": func(t *testing.T, e *env) {
			k := e.newKey(t, e.tenant, time.Time{})
			if err := e.AddKey(e.ctx, k); err != nil {
				t.Fatal(err)
			}
			first := e.clock.Now()
			for _, at := range []time.Time{first, e.clock.Now()} {
				got, err := e.RevokeKey(e.ctx, k.ID, at)
				if err != nil || !got.RevokedAt.Equal(first) {
					t.Fatalf("revoked at %v, want %v (%v)", got.RevokedAt, first, err)
				}
			}
			if err := e.AddKey(e.ctx, k); err != nil { // a late repetition
				t.Fatal(err)
			}
			k.RevokedAt = first
			got, err := e.KeyByHash(e.ctx, k.Hash)
			if err != nil || !reflect.DeepEqual(got, k) {
				t.Fatalf("got %+v, want %+v (%v)", got, k, err)
			}
			if list, err := e.Keys(e.ctx, e.tenant); err != nil || !reflect.DeepEqual(list, []keys.Key{k}) {
				t.Fatalf("listed %+v, %v", list, err)
			}
		},
		"two keys cannot share an id or a hash": func(t *testing.T, e *env) {
			k, other := e.newKey(t, e.tenant, time.Time{}), e.newKey(t, e.tenant, time.Time{})
			if err := e.AddKey(e.ctx, k); err != nil {
				t.Fatal(err)
			}
			sameHash, sameID := other, other
			sameHash.Hash, sameID.ID = k.Hash, k.ID
			for _, bad := range []keys.Key{sameHash, sameID} {
				if err := e.AddKey(e.ctx, bad); err == nil {
					t.Errorf("%v was added beside %v", bad, k)
				}
			}
			if got := e.keyIDs(t, e.tenant); !reflect.DeepEqual(got, []string{k.ID}) {
				t.Errorf("listed %v", got)
			}
		},
	}
}

func (e *env) newKey(t testing.TB, tenant string, expires time.Time, datasets ...string) keys.Key {
	t.Helper()
	k, _, err := keys.New(tenant, "name of "+tenant, []keys.Scope{keys.ScopeRead, keys.ScopeWrite}, datasets, expires, e.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (e *env) keyIDs(t testing.TB, tenant string) []string {
	t.Helper()
	list, err := e.Keys(e.ctx, tenant)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range list {
		ids = append(ids, k.ID)
	}
	return ids
}
