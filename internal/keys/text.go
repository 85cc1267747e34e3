package keys

import (
	"crypto/sha256"
	"crypto/subtle"
	"hash/crc32"
	"io"
	"strings"

	"github.com/parqueue/parqueue/internal/fault"
)

// A key's text is textPrefix, 32 random characters and a checksum of 6, all of
// base62: a scanner recognises a leaked key by its prefix, a double click marks
// all of it, and a typing mistake is found without asking the store.
const (
	textPrefix   = "pq_live_"
	secretLength = 32 // of 62 characters: 190 bits
	sumLength    = 6  // 62^6 exceeds 2^32
	textLength   = len(textPrefix) + secretLength + sumLength
	shownLength  = 12 // of the text is kept to recognise a key by
	alphabet     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	maxHeader    = 256 // of an Authorization header's bytes
	unbiased     = 256 - 256%len(alphabet)
)

// Generate makes a new key from random, which is crypto/rand.Reader everywhere
// but in tests. The text is shown to the caller once and kept nowhere.
func Generate(random io.Reader) (text string, hash [32]byte, prefix string, err error) {
	b := make([]byte, 0, textLength)
	b = append(b, textPrefix...)
	buf := make([]byte, 2*secretLength)
	for len(b) < len(textPrefix)+secretLength {
		if _, err := io.ReadFull(random, buf); err != nil {
			return "", [32]byte{}, "", fault.Internal("making an API key", err)
		}
		b = appendSecret(b, buf)
	}
	b = appendSum(b)
	text = string(b)
	return text, sha256.Sum256(b), Prefix(text), nil
}

// appendSecret appends a character for every random byte that favours none of
// them, until the secret is long enough.
func appendSecret(b, random []byte) []byte {
	for _, r := range random {
		if len(b) == len(textPrefix)+secretLength {
			break
		}
		if int(r) < unbiased {
			b = append(b, alphabet[int(r)%len(alphabet)])
		}
	}
	return b
}

// appendSum appends the checksum of all that precedes it. CRC-32 finds every
// mistake within four neighbouring characters.
func appendSum(b []byte) []byte {
	sum := crc32.ChecksumIEEE(b)
	var digits [sumLength]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%uint32(len(alphabet))]
		sum /= uint32(len(alphabet))
	}
	return append(b, digits[:]...)
}

// HashText returns the hash that a key is stored under, if the text can be a
// key at all.
// Errors: CodeUnauthorized.
func HashText(text string) ([32]byte, error) {
	if len(text) != textLength || !strings.HasPrefix(text, textPrefix) {
		return [32]byte{}, errRefused()
	}
	for _, c := range []byte(text[len(textPrefix):]) {
		if !strings.Contains(alphabet, string(rune(c))) {
			return [32]byte{}, errRefused()
		}
	}
	whole := appendSum([]byte(text[:textLength-sumLength]))
	if subtle.ConstantTimeCompare(whole, []byte(text)) != 1 {
		return [32]byte{}, errRefused()
	}
	return sha256.Sum256(whole), nil
}

// Prefix is what is kept of a well-formed key's text to recognise the key by.
func Prefix(text string) string { return text[:shownLength] }

// ParseAuthorization takes the key's text out of an Authorization header,
// `Key <text>` or `Bearer <text>`. It does not look at the text.
// Errors: CodeUnauthorized.
func ParseAuthorization(header string) (text string, err error) {
	if len(header) > maxHeader {
		return "", errRefused()
	}
	scheme, rest, _ := strings.Cut(strings.Trim(header, " \t"), " ")
	text = strings.Trim(rest, " \t")
	if text == "" || (!strings.EqualFold(scheme, "Key") && !strings.EqualFold(scheme, "Bearer")) {
		return "", errMissing()
	}
	return text, nil
}

const authorizationHint = "Send the header `Authorization: Key <your API key>`; `parqueue keys create` makes a key."

// errMissing is the answer to a request without a key.
func errMissing() *fault.Error {
	return fault.New(fault.CodeUnauthorized, "No API key was sent.", authorizationHint)
}

// errRefused is the one answer to every key that does not work: it does not
// tell whether the key is mistyped, unknown, expired or revoked.
func errRefused() *fault.Error {
	return fault.New(fault.CodeUnauthorized, "The API key is not valid.", authorizationHint)
}
