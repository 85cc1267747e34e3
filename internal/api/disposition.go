package api

import (
	"errors"
	"net/url"
	"strings"
)

// disposition is what a form part's Content-Disposition header says, as it was
// sent: no path is cut off and nothing is cleaned, so that a name can be refused
// for what it is. The standard library's reader keeps the last segment of a path
// and prefers filename* without telling.
type disposition struct {
	name     string
	fileName string
	hasFile  bool // a file name was given, be it empty
}

var errDisposition = errors.New("malformed Content-Disposition")

// errTwoNames says that filename and filename* differ.
var errTwoNames = errors.New("two different file names")

// parseDisposition reads the header as browsers write it (the HTML standard's
// multipart/form-data encoding: a quote is %22, a line break %0D or %0A, nothing
// else is escaped), and the \" of other clients.
// https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
func parseDisposition(header string) (disposition, error) {
	var d disposition
	kind, rest, _ := strings.Cut(header, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "form-data") {
		return d, errDisposition
	}
	seen := make(map[string]string, 3)
	for strings.TrimSpace(rest) != "" {
		name, value, after, err := nextParameter(rest)
		if err != nil {
			return d, err
		}
		if _, twice := seen[name]; twice {
			return d, errDisposition
		}
		seen[name], rest = value, after
	}
	d.name = seen["name"]
	plain, hasPlain := seen["filename"]
	extended, hasExtended := seen["filename*"]
	d.fileName, d.hasFile = unescapeFormName(plain), hasPlain || hasExtended
	if hasExtended {
		decoded, err := decodeExtended(extended)
		if err != nil {
			return d, err
		}
		if hasPlain && decoded != d.fileName {
			return d, errTwoNames
		}
		d.fileName = decoded
	}
	return d, nil
}

// nextParameter cuts one name=value off the front of a header's rest.
func nextParameter(s string) (name, value, rest string, err error) {
	name, s, ok := strings.Cut(s, "=")
	name = strings.ToLower(strings.TrimSpace(name))
	if !ok || name == "" || strings.ContainsAny(name, `";`) {
		return "", "", "", errDisposition
	}
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return name, strings.TrimSpace(value), rest, nil
	}
	value, rest, ok = cutQuoted(s[1:])
	rest = strings.TrimLeft(rest, " \t")
	if !ok || (rest != "" && rest[0] != ';') {
		return "", "", "", errDisposition
	}
	return name, value, strings.TrimPrefix(rest, ";"), nil
}

// cutQuoted reads up to the closing quote. A backslash escapes a quote and
// nothing else: in a name such as ..\..\x it is a character of the name.
func cutQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"' && strings.Contains(s[i+2:], `"`):
			b.WriteByte('"')
			i++
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// unescapeFormName undoes the three escapes of the HTML standard.
func unescapeFormName(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return strings.NewReplacer("%22", `"`, "%0D", "\r", "%0A", "\n", "%0d", "\r", "%0a", "\n").Replace(s)
}

// decodeExtended reads the value of filename* (RFC 8187), in UTF-8.
func decodeExtended(s string) (string, error) {
	charset, rest, ok := strings.Cut(s, "'")
	if !ok || !strings.EqualFold(charset, "utf-8") {
		return "", errDisposition
	}
	_, encoded, ok := strings.Cut(rest, "'")
	if !ok {
		return "", errDisposition
	}
	decoded, err := url.PathUnescape(encoded)
	if err != nil {
		return "", errDisposition
	}
	return decoded, nil
}
