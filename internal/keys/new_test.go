package keys_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))

func newKey(t testing.TB) (keys.Key, string) {
	t.Helper()
	k, text, err := keys.New("acme", "laptop", []keys.Scope{keys.ScopeWrite, keys.ScopeRead, keys.ScopeWrite}, nil, time.Time{}, now)
	if err != nil {
		t.Fatal(err)
	}
	return k, text
}

func TestNew(t *testing.T) {
	expires := now.Add(time.Hour)
	k, text, err := keys.New("acme", "laptop", []keys.Scope{keys.ScopeWrite, keys.ScopeRead, keys.ScopeWrite}, []string{"dataset-2", "dataset-1", "dataset-2"}, expires, now)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := keys.HashText(text)
	if err != nil {
		t.Fatal(err)
	}
	want := keys.Key{
		ID: k.ID, Tenant: "acme", Name: "laptop",
		Scopes: []keys.Scope{keys.ScopeRead, keys.ScopeWrite}, Datasets: []string{"dataset-1", "dataset-2"},
		CreatedAt: now.UTC().Truncate(time.Microsecond), ExpiresAt: expires.UTC().Truncate(time.Microsecond),
		Hash: hash, Prefix: text[:12],
	}
	if !reflect.DeepEqual(k, want) {
		t.Errorf("made %+v, want %+v", k, want)
	}
	if !strings.HasPrefix(k.ID, "key-") || len(k.ID) != 40 {
		t.Errorf("its id is %q", k.ID)
	}
	if other, _ := newKey(t); other.ID <= k.ID || other.Datasets != nil || !other.ExpiresAt.IsZero() {
		t.Errorf("after %s came %+v", k.ID, other)
	}
}

func TestNewRefuses(t *testing.T) {
	read := []keys.Scope{keys.ScopeRead}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint("dataset-", i)
	}
	for name, call := range map[string]func() (keys.Key, string, error){
		"no tenant":        func() (keys.Key, string, error) { return keys.New("", "", read, nil, time.Time{}, now) },
		"capital tenant":   func() (keys.Key, string, error) { return keys.New("Acme", "", read, nil, time.Time{}, now) },
		"tenant with #":    func() (keys.Key, string, error) { return keys.New("a#b", "", read, nil, time.Time{}, now) },
		"tenant with an é": func() (keys.Key, string, error) { return keys.New("é", "", read, nil, time.Time{}, now) },
		"tenant with a /":  func() (keys.Key, string, error) { return keys.New("a/b", "", read, nil, time.Time{}, now) },
		"long tenant": func() (keys.Key, string, error) {
			return keys.New(strings.Repeat("a", 65), "", read, nil, time.Time{}, now)
		},
		"long name": func() (keys.Key, string, error) {
			return keys.New("a", strings.Repeat("a", 256), read, nil, time.Time{}, now)
		},
		"name with a newline":  func() (keys.Key, string, error) { return keys.New("a", "a\nb", read, nil, time.Time{}, now) },
		"name that is no text": func() (keys.Key, string, error) { return keys.New("a", "\xff", read, nil, time.Time{}, now) },
		"no scope":             func() (keys.Key, string, error) { return keys.New("a", "", nil, nil, time.Time{}, now) },
		"unknown scope": func() (keys.Key, string, error) {
			return keys.New("a", "", []keys.Scope{"root"}, nil, time.Time{}, now)
		},
		"empty scope": func() (keys.Key, string, error) {
			return keys.New("a", "", []keys.Scope{"read", ""}, nil, time.Time{}, now)
		},
		"bad dataset":   func() (keys.Key, string, error) { return keys.New("a", "", read, []string{"a/b"}, time.Time{}, now) },
		"empty dataset": func() (keys.Key, string, error) { return keys.New("a", "", read, []string{""}, time.Time{}, now) },
		"many datasets": func() (keys.Key, string, error) { return keys.New("a", "", read, many, time.Time{}, now) },
		"expired":       func() (keys.Key, string, error) { return keys.New("a", "", read, nil, now, now) },
		"far future":    func() (keys.Key, string, error) { return keys.New("a", "", read, nil, now.AddDate(1000, 0, 0), now) },
	} {
		k, text, err := call()
		if !fault.Is(err, fault.CodeInvalidRequest) || text != "" || k.ID != "" {
			t.Errorf("%s: made %v, %v", name, k, err)
		}
		if e, ok := err.(*fault.Error); ok && (e.Message == "" || e.Hint == "") {
			t.Errorf("%s: says %q, %q", name, e.Message, e.Hint)
		}
	}
}

// Whatever prints or logs a key shows neither its text nor its hash.
func TestKeyKeepsItsSecret(t *testing.T) {
	k, text := newKey(t)
	var shown bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		fmt.Fprintf(&shown, format+" ", k)
		fmt.Fprintf(&shown, format+" ", &k)
		fmt.Fprintf(&shown, format+" ", []keys.Key{k})
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&shown, nil), slog.NewTextHandler(&shown, nil)} {
		slog.New(h).Info("key", "key", k, "pointer", &k, "list", []keys.Key{k})
	}
	if err := json.NewEncoder(&shown).Encode(k); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(shown.String(), k.ID) {
		t.Errorf("the key's id is not shown in %s", shown.String())
	}
	bytesOf := strings.Trim(fmt.Sprint(k.Hash[:4]), "[]")
	for _, secret := range []string{text[:13], text[8:], hex.EncodeToString(k.Hash[:]), fmt.Sprintf("%X", k.Hash), bytesOf, strings.ReplaceAll(bytesOf, " ", ",")} {
		if strings.Contains(shown.String(), secret) {
			t.Errorf("%q is shown in %s", secret, shown.String())
		}
	}
}

func TestPrincipal(t *testing.T) {
	for _, c := range []struct {
		have, asked keys.Scope
		want        bool
	}{
		{keys.ScopeRead, keys.ScopeRead, true}, {keys.ScopeRead, keys.ScopeWrite, false}, {keys.ScopeRead, keys.ScopeAdmin, false},
		{keys.ScopeWrite, keys.ScopeRead, true}, {keys.ScopeWrite, keys.ScopeWrite, true}, {keys.ScopeWrite, keys.ScopeAdmin, false},
		{keys.ScopeAdmin, keys.ScopeRead, true}, {keys.ScopeAdmin, keys.ScopeWrite, true}, {keys.ScopeAdmin, keys.ScopeAdmin, true},
	} {
		if got := (keys.Principal{Scopes: []keys.Scope{c.have}}).Has(c.asked); got != c.want {
			t.Errorf("%s includes %s: %v", c.have, c.asked, got)
		}
	}
	if (keys.Principal{}).Has(keys.ScopeRead) {
		t.Error("no scope includes read")
	}
	limited := keys.Principal{Datasets: []string{"dataset-1"}}
	if !limited.Reaches("dataset-1") || limited.Reaches("dataset-2") || !(keys.Principal{}).Reaches("dataset-2") {
		t.Error("a limited key reaches the wrong datasets")
	}
}
