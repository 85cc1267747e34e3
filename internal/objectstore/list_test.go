package objectstore_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// keysOf pages through a listing.
func keysOf(t *testing.T, store *objectstore.Store, prefix, after string, limit int) []string {
	t.Helper()
	var keys []string
	for {
		page, more, err := store.List(t.Context(), prefix, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > limit || more && len(page) != limit {
			t.Fatalf("a page of %d has %d objects, more %t", limit, len(page), more)
		}
		for _, o := range page {
			keys = append(keys, o.Key)
		}
		if !more {
			return keys
		}
		after = keys[len(keys)-1]
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	if got := keysOf(t, store, "", "", 10); len(got) != 0 {
		t.Errorf("an empty bucket lists %q", got)
	}
	// Folders sort behind the names that begin like them: "." and "-" come before "/".
	keys := []string{
		"a-b", "a.b", "a/b", "a/b-c/d", "a/b.c", "a/bc/d", "a/c", "a0", "files/t/00/file-1", "files/t/00/file-2", "files/t/01/file-0",
		"files/u/00/file-1", "name with + % & = ? # \" and ü", "ÿ/last",
	}
	slices.Sort(keys)
	before := time.Now().Add(-2 * time.Second)
	for i, key := range keys {
		if strings.HasPrefix(key, "a/b/") {
			continue
		}
		if _, err := store.Put(t.Context(), key, bytes.NewReader(random(i)), -1); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	for _, limit := range []int{1, 2, 3, 5, len(keys), 1000, 5000} {
		if got := keysOf(t, store, "", "", limit); !slices.Equal(got, keys) {
			t.Errorf("in pages of %d: %q, want %q", limit, got, keys)
		}
		for _, after := range append(slices.Clone(keys), "a", "a/", "a/b-", "files/t/00/file-", "files/t/00/file-1\x7f", "files/t/00~", "zz") {
			want := slices.Clone(keys)
			want = slices.DeleteFunc(want, func(key string) bool { return key <= after })
			if got := keysOf(t, store, "", after, limit); !slices.Equal(got, want) {
				t.Errorf("after %q in pages of %d: %q, want %q", after, limit, got, want)
			}
		}
		for _, prefix := range []string{"a", "a/", "a/b", "files/", "files/t/0", "files/t/00/", "files/t/00/file-2", "n", "none"} {
			want := slices.Clone(keys)
			want = slices.DeleteFunc(want, func(key string) bool { return !strings.HasPrefix(key, prefix) })
			if got := keysOf(t, store, prefix, "", limit); !slices.Equal(got, want) {
				t.Errorf("under %q in pages of %d: %q, want %q", prefix, limit, got, want)
			}
		}
	}
	page, _, err := store.List(t.Context(), "a0", "", 1)
	if want := int64(slices.Index(keys, "a0")); err != nil || len(page) != 1 || page[0].SizeBytes != want ||
		page[0].ModifiedAt.Before(before) || page[0].ModifiedAt.After(time.Now().Add(2*time.Second)) {
		t.Errorf("a0 is listed as %+v, %v", page, err)
	}
}

func TestListOpenParts(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	var want []dataset.OpenParts
	for i := range 7 {
		key := fmt.Sprintf("files/t/0%d", i/3) // up to three of one key
		id, err := store.CreateParts(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, dataset.OpenParts{Key: key, ID: id})
	}
	slices.SortFunc(want, func(a, b dataset.OpenParts) int { return strings.Compare(a.Key+a.ID, b.Key+b.ID) })
	if _, err := store.CreateParts(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 2, 3, 7, 100} {
		var got []dataset.OpenParts
		for more, last := true, (dataset.OpenParts{}); more; {
			var page []dataset.OpenParts
			var err error
			page, more, err = store.ListOpenParts(t.Context(), "files/", last.Key, last.ID, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("a page of %d has %d: %v", limit, len(page), err)
			}
			for _, p := range page {
				if age := time.Since(p.StartedAt); age < -2*time.Second || age > time.Minute {
					t.Errorf("%+v was begun %s ago", p, age)
				}
				last = p
				p.StartedAt = time.Time{}
				got = append(got, p)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %+v, want %+v", limit, got, want)
		}
	}
	for _, p := range want {
		if err := store.AbortParts(t.Context(), p.Key, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got, more, err := store.ListOpenParts(t.Context(), "files/", "", "", 10); err != nil || more || len(got) != 0 {
		t.Errorf("after aborting them: %+v, %t, %v", got, more, err)
	}
}

func TestDeleteMany(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	store := objectstore.New(s3store.Client, s3store.Bucket)
	keys := []string{"never/there"}
	for i := range 20 {
		key := fmt.Sprintf("files/t/%02d/x+ &<%d>", i%3, i)
		if _, err := store.Put(t.Context(), key, strings.NewReader("x"), -1); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if _, err := store.Put(t.Context(), "kept", strings.NewReader("x"), -1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.DeleteMany(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		if got := keysOf(t, store, "", "", 100); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("left: %q", got)
		}
	}
	if err := store.DeleteMany(t.Context(), nil); err != nil {
		t.Errorf("of none: %v", err)
	}
	if err := store.DeleteMany(t.Context(), make([]string, dataset.MaxDeleted+1)); !fault.Is(err, fault.CodeInternal) {
		t.Errorf("of too many: %v", err)
	}
}
