package embeddeds3

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestTidy(t *testing.T) {
	t.Parallel()
	staging := t.TempDir()
	now := time.Now()
	for path, age := range map[string]time.Duration{
		"multipart/a/young":                    7 * 24 * time.Hour,
		"multipart/a/old":                      193 * time.Hour,
		"multipart/a/half.0123-1.inprogress":   time.Minute,
		"multipart/b/lonely":                   200 * time.Hour,
		"multipart/b/hidden.0123-1.inprogress": 200 * time.Hour,
	} {
		dir := filepath.Join(staging, path)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "1"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(staging, "half-written"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tidy(staging, now); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, pattern := range []string{"*", "multipart/*", "multipart/*/*"} {
		paths, err := filepath.Glob(filepath.Join(staging, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			relative, _ := filepath.Rel(staging, p)
			left = append(left, relative)
		}
	}
	want := []string{"multipart", "multipart/a", "multipart/a/half", "multipart/a/young"}
	if !slices.Equal(left, want) {
		t.Errorf("left is %q, want %q", left, want)
	}
}
