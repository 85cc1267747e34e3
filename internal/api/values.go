package api

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/parqueue/parqueue/internal/fault"
)

// Values of other kinds than text, as JSON or as a form's text.

// size returns a number of bytes, or 0 when the field is not there.
func (f fields) size(name string) (int64, error) {
	raw, ok := f[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	if err != nil || n < 0 {
		return 0, fault.Newf(fault.CodeInvalidRequest, "Send it as a number without quotes.", "The field %q has to be a whole number of bytes.", name)
	}
	return n, nil
}

// requiredSize is size for a field that has to be there.
func (f fields) requiredSize(name, hint string) (int64, error) {
	if _, ok := f[name]; !ok {
		return 0, fault.Newf(fault.CodeInvalidRequest, hint, "The field %q is missing.", name)
	}
	return f.size(name)
}

// flag returns true or false, or otherwise when the field is not there.
func (f fields) flag(name string, otherwise bool) (bool, error) {
	raw, ok := f[name]
	if !ok {
		return otherwise, nil
	}
	switch strings.Trim(string(raw), `"`) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fault.Newf(fault.CodeInvalidRequest, "Send it without quotes.", "The field %q has to be true or false.", name)
}

// encoded returns the bytes of a field in base64, or nil when it is not there.
func (f fields) encoded(name string) ([]byte, error) {
	text, err := f.text(name)
	if err != nil || text == "" {
		return nil, err
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fault.Newf(fault.CodeInvalidRequest, "Encode the bytes in standard base64 with padding, on one line.", "The field %q is not base64.", name)
	}
	return decoded, nil
}

// requiredList returns a list of strings that has to be there.
func (f fields) requiredList(name, hint string) ([]string, error) {
	raw, ok := f[name]
	if !ok {
		return nil, fault.Newf(fault.CodeInvalidRequest, hint, "The field %q is missing.", name)
	}
	var pointers []*string // null would read as ""
	if raw[0] != '[' || json.Unmarshal(raw, &pointers) != nil {
		return nil, fault.Newf(fault.CodeInvalidRequest, hint, "The field %q is %s, and has to be a list of strings.", name, jsonKind(raw))
	}
	list := make([]string, len(pointers))
	for i, p := range pointers {
		if p == nil {
			return nil, fault.Newf(fault.CodeInvalidRequest, hint, "The list %q has null in it.", name)
		}
		list[i] = *p
	}
	return list, nil
}
