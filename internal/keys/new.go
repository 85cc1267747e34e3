package keys

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/fault"
)

const (
	idPrefix     = "key-"
	maxTenant    = 64
	maxName      = 255 // bytes
	maxDatasets  = 100
	maxDatasetID = 64
)

// lastExpiry is the latest time at which a key may expire; a mistyped year
// lies behind it.
func lastExpiry() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }

// New makes a key of a tenant and the text to show, once, to whoever will use
// it. datasets may be empty, for all of the tenant's; a zero expires means
// never.
// Errors: CodeInvalidRequest.
func New(tenant, name string, scopes []Scope, datasets []string, expires, now time.Time) (Key, string, error) {
	now, expires = now.UTC().Truncate(time.Microsecond), expires.UTC().Truncate(time.Microsecond)
	if err := check(tenant, name, scopes, datasets, expires, now); err != nil {
		return Key{}, "", err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Key{}, "", fault.Internal("making an API key", err)
	}
	text, hash, prefix, err := Generate(rand.Reader)
	if err != nil {
		return Key{}, "", err
	}
	return Key{
		ID: idPrefix + id.String(), Tenant: tenant, Name: name,
		Scopes: distinct(scopes), Datasets: distinct(datasets),
		CreatedAt: now, ExpiresAt: expires, Hash: hash, Prefix: prefix,
	}, text, nil
}

func check(tenant, name string, scopes []Scope, datasets []string, expires, now time.Time) error {
	if err := CheckTenant(tenant); err != nil {
		return err
	}
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return invalid("Give a shorter name without control characters.", "A key's name has up to %d bytes of UTF-8.", maxName)
	}
	if len(scopes) == 0 {
		return invalid("Give at least one of read, write and admin.", "A key needs a scope.")
	}
	for _, s := range scopes {
		if s != ScopeRead && s != ScopeWrite && s != ScopeAdmin {
			return invalid("The scopes are read, write and admin.", "There is no scope %.32q.", string(s))
		}
	}
	if len(datasets) > maxDatasets {
		return invalid("Leave the datasets out to reach all of the tenant's.", "A key is limited to %d datasets at most.", maxDatasets)
	}
	for _, d := range datasets {
		if !plain(d, maxDatasetID) {
			return invalid("Give ids as list-datasets shows them.", "%.80q is not a dataset's id.", d)
		}
	}
	if !expires.IsZero() && (!expires.After(now) || expires.After(lastExpiry())) {
		return invalid("Give a time in the future, before the year 2200, or none.", "The key would expire at %s.", expires.Format(time.RFC3339))
	}
	return nil
}

// CheckTenant refuses what no tenant can be called.
// Errors: CodeInvalidRequest.
func CheckTenant(tenant string) error {
	if !plain(tenant, maxTenant) {
		return invalid("Use a name such as acme or team-7.", "A tenant's name is 1 to %d of a-z, 0-9 and -.", maxTenant)
	}
	return nil
}

func invalid(hint, format string, args ...any) *fault.Error {
	return fault.Newf(fault.CodeInvalidRequest, hint, format, args...)
}

// plain reports 1 to atMost of a-z, 0-9 and "-".
func plain(s string, atMost int) bool {
	return s != "" && len(s) <= atMost && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// distinct returns a sorted copy without repetitions; nothing stays nil.
func distinct[T ~string](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	if list = slices.Compact(list); len(list) == 0 {
		return nil
	}
	return list
}
