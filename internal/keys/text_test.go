package keys

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/parqueue/parqueue/internal/fault"
)

func generate(t testing.TB) string {
	t.Helper()
	text, hash, prefix, err := Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if hash != sha256.Sum256([]byte(text)) || prefix != text[:12] {
		t.Fatalf("%s came with the hash %x and the prefix %q", text, hash, prefix)
	}
	return text
}

func TestGenerate(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		text := generate(t)
		if len(text) != 46 || !strings.HasPrefix(text, "pq_live_") || strings.Trim(text[8:], alphabet) != "" {
			t.Fatalf("made %q", text)
		}
		if seen[text] {
			t.Fatalf("made %q twice", text)
		}
		seen[text] = true
		if hash, err := HashText(text); err != nil || hash != sha256.Sum256([]byte(text)) {
			t.Fatalf("%q: %v", text, err)
		}
	}
}

// A key made of known bytes: whoever changes the format sees it here.
func TestGenerateIsStable(t *testing.T) {
	counting := make([]byte, 256)
	for i := range counting {
		counting[i] = byte(i)
	}
	text, _, _, err := Generate(bytes.NewReader(counting))
	if want := "pq_live_0123456789ABCDEFGHIJKLMNOPQRSTUV4GhV08"; err != nil || text != want {
		t.Fatalf("made %q, want %q (%v)", text, want, err)
	}
}

func TestGenerateFavorsNoCharacter(t *testing.T) {
	// Every byte value as often as any other: so must be every character. The
	// bytes that would favor some are 248 to 255.
	even := make([]byte, 0, 256*62)
	for range 62 {
		for b := range 256 {
			even = append(even, byte(b))
		}
	}
	counts := map[byte]int{}
	for part := range slices.Chunk(even, 16) {
		for _, c := range appendSecret([]byte(textPrefix), part)[len(textPrefix):] {
			counts[c]++
		}
	}
	for _, c := range []byte(alphabet) {
		if counts[c] != 4*62 {
			t.Errorf("%q comes %d times, want %d", c, counts[c], 4*62)
		}
	}
}

func TestGenerateNeedsRandomness(t *testing.T) {
	none := errors.New("no entropy")
	if text, _, _, err := Generate(iotest.ErrReader(none)); !errors.Is(err, none) || text != "" {
		t.Errorf("of nothing it made %q, %v", text, err)
	}
	if text, _, _, err := Generate(bytes.NewReader(make([]byte, 10))); err == nil {
		t.Errorf("of 10 bytes it made %q", text)
	}
}

func TestChecksumFindsEveryTypingMistake(t *testing.T) {
	text := generate(t)
	for i := len(textPrefix); i < len(text); i++ {
		for _, c := range []byte(alphabet) {
			if c == text[i] {
				continue
			}
			typo := text[:i] + string(c) + text[i+1:]
			if _, err := HashText(typo); !fault.Is(err, fault.CodeUnauthorized) {
				t.Fatalf("%q passes as %q: %v", typo, text, err)
			}
		}
		if i+1 < len(text) && text[i] != text[i+1] {
			swapped := text[:i] + text[i+1:i+2] + text[i:i+1] + text[i+2:]
			if _, err := HashText(swapped); err == nil {
				t.Fatalf("%q passes as %q", swapped, text)
			}
		}
	}
}

func TestHashTextRefusesWithOneSentence(t *testing.T) {
	text := generate(t)
	for _, bad := range []string{
		"", "pq_live_", text[1:], text[:45], text + "0", "pq_test_" + text[8:], strings.ToUpper(text), " " + text[1:],
		text[:20] + "é" + text[22:], text[:20] + "_" + text[21:], text[:20] + "\x00" + text[21:], text[:20] + "\xff" + text[21:],
		strings.Repeat("a", 1<<20),
	} {
		if _, err := HashText(bad); !reflect.DeepEqual(err, error(errRefused())) {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
}

func TestParseAuthorization(t *testing.T) {
	missing, refused := error(errMissing()), error(errRefused())
	for _, c := range []struct {
		header, text string
		err          error
	}{
		{"Key abc", "abc", nil},
		{"key abc", "abc", nil},
		{"KEY abc", "abc", nil},
		{"Bearer abc", "abc", nil},
		{"bEARER  \t abc \t", "abc", nil},
		{"  Key abc", "abc", nil},
		{"Key a b", "a b", nil}, // no key has a space; HashText says so
		{"", "", missing},
		{"Key", "", missing},
		{"Key ", "", missing},
		{"abc", "", missing},
		{"Basic abc", "", missing},
		{"Keyabc", "", missing},
		{"Key\tabc", "", missing},
		{"Key: abc", "", missing},
		{"Key " + strings.Repeat("a", 10<<10), "", refused},
	} {
		text, err := ParseAuthorization(c.header)
		if text != c.text || !reflect.DeepEqual(err, c.err) {
			t.Errorf("%.40q: got %q, %v; want %q, %v", c.header, text, err, c.text, c.err)
		}
	}
}

func FuzzParseAuthorization(f *testing.F) {
	text, _, _, _ := Generate(bytes.NewReader(make([]byte, 256)))
	for _, seed := range []string{"", "Key " + text, "Bearer " + text, "Basic x", "Key", "\x00 \xff", "Key  " + text + " "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		text, err := ParseAuthorization(header)
		if (err == nil) != (text != "") {
			t.Fatalf("%q gives %q, %v", header, text, err)
		}
		if err != nil {
			if !fault.Is(err, fault.CodeUnauthorized) {
				t.Fatalf("%q: %v", header, err)
			}
			return
		}
		if !strings.Contains(header, text) || strings.Trim(text, " \t") != text || len(text) > maxHeader {
			t.Fatalf("%q gives %q", header, text)
		}
		hash, err := HashText(text)
		if err == nil && (hash != sha256.Sum256([]byte(text)) || len(text) != textLength) {
			t.Fatalf("%q is taken for a key", text)
		}
		if err != nil && !fault.Is(err, fault.CodeUnauthorized) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
