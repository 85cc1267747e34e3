package dataset

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/parqueue/parqueue/internal/fault"
)

// Limits of what a caller names and describes.
const (
	MaxNameBytes     = 255      // of a file's or a dataset's name, in UTF-8
	MaxMetadataBytes = 16 << 10 // of a dataset's metadata, as JSON without white space
)

const fileNameHint = "Rename the file and send it again. A name has 1 to 255 bytes of UTF-8 in Unicode's composed form (NFC), " +
	"without slashes, backslashes, control or invisible formatting characters, does not begin or end with a dot or a space, " +
	"and is not what Windows calls a device, such as CON or LPT1."

// CheckFileName refuses a name that some system would read as another one: a
// path, a device, a name that looks like a different name. It never changes a
// name: what comes back from a download is what was sent.
func CheckFileName(name string) error {
	if why := fileNameFault(name); why != "" {
		return fault.New(fault.CodeInvalidFileName, "The file name "+why+".", fileNameHint).With("file_name", printable(name))
	}
	return nil
}

// fileNameFault says what is wrong with a name, or "".
func fileNameFault(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > MaxNameBytes:
		return "is longer than 255 bytes"
	case !utf8.ValidString(name):
		return "is not valid UTF-8"
	case name == "." || name == "..":
		return "is a folder's"
	case strings.ContainsAny(name, `/\`):
		return `contains a path separator (/ or \)`
	case strings.ContainsFunc(name, invisible):
		return "contains a control character or an invisible formatting character"
	case strings.Trim(name, ". ") != name:
		return "begins or ends with a dot or a space"
	case windowsDevice(name):
		return "is a device's name on Windows"
	case !norm.NFC.IsNormalString(name):
		return "is not in Unicode's composed form (NFC)"
	}
	return ""
}

// invisible reports characters that a person cannot see in a name: controls,
// line and paragraph separators, and formats, among them those that turn the
// direction of writing.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// windowsDevice reports the names that Windows gives to devices, whatever their
// case and extension.
// https://learn.microsoft.com/windows/win32/fileio/naming-a-file
func windowsDevice(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	port, isCOM := strings.CutPrefix(base, "COM")
	if !isCOM {
		var isLPT bool
		if port, isLPT = strings.CutPrefix(base, "LPT"); !isLPT {
			return false
		}
	}
	switch port {
	case "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
		return true
	}
	return false
}

// printable cuts a refused name to what an answer can carry.
func printable(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	name = strings.Map(func(r rune) rune {
		if invisible(r) {
			return '\uFFFD'
		}
		return r
	}, name)
	for i := range name {
		if i >= 64 {
			return name[:i] + "…"
		}
	}
	return name
}

// checkDatasetName refuses names that no list could show.
func checkDatasetName(name string) error {
	if len(name) > MaxNameBytes || !utf8.ValidString(name) || strings.ContainsFunc(name, invisible) {
		return fault.New(fault.CodeInvalidName, "The dataset's name is longer than 255 bytes or has characters that can't be shown.",
			"Give a name of up to 255 bytes of UTF-8 without control characters, or none.")
	}
	return nil
}

// checkMetadata returns metadata without white space; nil stays nil.
func checkMetadata(metadata json.RawMessage) (json.RawMessage, error) {
	if len(metadata) == 0 {
		return nil, nil
	}
	bad := fault.New(fault.CodeInvalidMetadata, "The metadata is not a JSON object of up to 16 KiB.",
		`Send "metadata" as an object, such as {"source": "crawl 7"}, or leave it out.`)
	if len(metadata) > 4*MaxMetadataBytes {
		return nil, bad
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(metadata, &object); err != nil || object == nil {
		return nil, bad
	}
	compact, err := json.Marshal(metadata) // Marshal compacts a RawMessage
	if err != nil || len(compact) > MaxMetadataBytes {
		return nil, bad
	}
	return compact, nil
}
