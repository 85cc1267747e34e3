package asset

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/parqueue/parqueue/internal/fault"
)

// Limits of what people say of an asset.
const (
	MaxOwnerIDBytes     = 128
	MaxTitleBytes       = 512
	MaxDescriptionBytes = 8 << 10
	MaxAliasBytes       = 128
	MaxTags             = 20 // so that all of them can change in one transaction of DynamoDB's
	MaxTagBytes         = 64
	MaxMetadataBytes    = 64 << 10 // as JSON without white space
	MaxMetadataDepth    = 64       // of objects and lists in one another; what reads JSON has a limit, and not the same one
)

// CheckOwner refuses what is no owner's name.
// Errors: CodeInvalidRequest.
func CheckOwner(o Owner) error {
	if o.Type != Project && o.Type != Collection {
		return fault.New(fault.CodeInvalidRequest, `The field "owner_type" is neither "project" nor "collection".`,
			`Send "project" or "collection"; a dataset is a collection.`)
	}
	if !validOwnerID(o.ID) {
		return fault.Newf(fault.CodeInvalidRequest, `Name the project or the collection, such as "reports-2026", or give a dataset's id for a collection.`,
			`The field "owner_id" has to have 1 to %d letters, digits, dots, underscores and hyphens.`, MaxOwnerIDBytes)
	}
	return nil
}

func validOwnerID(id string) bool {
	if id == "" || len(id) > MaxOwnerIDBytes {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	})
}

// Check refuses what can't be said of an asset, and returns the rest as it is kept:
// the metadata without white space, and nothing that is empty.
// Errors: CodeInvalidName, CodeInvalidRequest, CodeInvalidMetadata.
func (c Changes) Check() (Changes, error) {
	if c.Title != nil && !shownOnOneLine(*c.Title, MaxTitleBytes) {
		return c, fault.Newf(fault.CodeInvalidName, "Give a title of one line of UTF-8 without control characters, or none.",
			"The title is longer than %d bytes or has characters that can't be shown.", MaxTitleBytes)
	}
	if c.Description != nil && !shown(*c.Description, MaxDescriptionBytes) {
		return c, fault.Newf(fault.CodeInvalidName, "Give a description of UTF-8 text without control characters but line breaks and tabs, or none.",
			"The description is longer than %d bytes or has characters that can't be shown.", MaxDescriptionBytes)
	}
	if c.Alias != nil && *c.Alias != "" && !label(*c.Alias, MaxAliasBytes) {
		return c, fault.Newf(fault.CodeInvalidName, labelHint,
			"The alias is longer than %d bytes, begins or ends with a space, or has characters that can't be told apart by sight.", MaxAliasBytes)
	}
	if c.Tags != nil {
		tags, err := checkTags(*c.Tags)
		if err != nil {
			return c, err
		}
		c.Tags = &tags
	}
	if c.Metadata != nil {
		metadata, err := checkMetadata(*c.Metadata)
		if err != nil {
			return c, err
		}
		c.Metadata = &metadata
	}
	return c, nil
}

const labelHint = "Give one line of UTF-8 in Unicode's composed form (NFC), without control or invisible formatting characters."

// CheckFilter refuses a filter that no asset could match because of how it is
// written.
// Errors: CodeInvalidRequest, CodeInvalidName.
func CheckFilter(f Filter) error {
	if (f.Owner != Owner{}) {
		if err := CheckOwner(f.Owner); err != nil {
			return err
		}
	}
	if f.Tag != "" && !label(f.Tag, MaxTagBytes) || f.Alias != "" && !label(f.Alias, MaxAliasBytes) {
		return fault.New(fault.CodeInvalidName, labelHint, "No asset has such a tag or alias.")
	}
	return nil
}

// checkTags sees that each tag is sound and there once; none is nil.
func checkTags(tags []string) ([]string, error) {
	if len(tags) > MaxTags {
		return nil, fault.Newf(fault.CodeInvalidRequest, "Put the rest into the metadata.", "An asset has %d tags at most, not %d.", MaxTags, len(tags))
	}
	if len(tags) == 0 {
		return nil, nil
	}
	seen := make(map[string]bool, len(tags))
	for _, tag := range tags {
		if !label(tag, MaxTagBytes) {
			return nil, fault.Newf(fault.CodeInvalidName, labelHint,
				"A tag is empty, longer than %d bytes, begins or ends with a space, or has characters that can't be told apart by sight.", MaxTagBytes)
		}
		if seen[tag] {
			return nil, fault.New(fault.CodeInvalidRequest, "Name every tag once.", "A tag is in the list twice.").With("tag", tag)
		}
		seen[tag] = true
	}
	return tags, nil
}

// checkMetadata returns metadata without white space; null and nothing are nil.
func checkMetadata(metadata json.RawMessage) (json.RawMessage, error) {
	text := bytes.TrimSpace(metadata)
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	bad := fault.New(fault.CodeInvalidMetadata, "The metadata is not a JSON object of up to 64 KiB and 64 levels.",
		`Send "metadata" as an object, such as {"instrument": "LIGO"}, or leave it out.`)
	if len(text) > 4*MaxMetadataBytes || text[0] != '{' || !utf8.Valid(text) {
		return nil, bad
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil || compact.Len() > MaxMetadataBytes || depth(compact.Bytes()) > MaxMetadataDepth {
		return nil, bad
	}
	return compact.Bytes(), nil
}

// depth is how deep objects and lists of a JSON text are in one another.
func depth(text []byte) int {
	deepest, now, quoted := 0, 0, false
	for n := 0; n < len(text); n++ {
		switch c := text[n]; {
		case quoted && c == '\\':
			n++ // what is escaped ends no string
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// shown reports text of several lines that can be shown.
func shown(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.Is(unicode.Cc, r) && r != '\n' && r != '\r' && r != '\t'
	})
}

func shownOnOneLine(text string, most int) bool {
	return shown(text, most) && !strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) })
}

// label reports text that names something: two that look the same are the same.
func label(text string, most int) bool {
	return text != "" && shownOnOneLine(text, most) && strings.TrimSpace(text) == text && norm.NFC.IsNormalString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Cf, r) })
}
