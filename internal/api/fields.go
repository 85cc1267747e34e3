package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/parqueue/parqueue/internal/fault"
)

// fieldsLimit bounds the body of every request that carries no file.
const fieldsLimit = 128 << 10

// fields are the named values of a request, however they were sent.
type fields map[string]json.RawMessage

// readFields reads a JSON object, a URL-encoded form, or nothing. A form's type
// on a JSON text is taken for JSON: it is what curl says of any --data.
func readFields(r *request) (fields, error) { return readFieldsUpTo(r, fieldsLimit) }

// readFieldsUpTo is readFields for an endpoint with another limit.
func readFieldsUpTo(r *request, limit int64) (fields, error) {
	if err := checkEncoding(r); err != nil {
		return nil, err
	}
	body, err := readAtMost(r.Body, limit)
	if err != nil {
		return nil, err
	}
	text := bytes.TrimSpace(body)
	if len(text) == 0 {
		return fields{}, nil // whatever the type says: older clients say JSON and send nothing
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case kind == contentJSON, kind == "application/x-www-form-urlencoded" && text[0] == '{':
		return parseObject(text)
	case kind == "application/x-www-form-urlencoded":
		return parseForm(string(text))
	}
	return nil, fault.Newf(fault.CodeUnsupportedMediaType, "Send a JSON object with the header Content-Type: application/json.",
		"This endpoint reads JSON, and %s.", contentTypeOf(r))
}

// contentTypeOf says what a request calls its body.
func contentTypeOf(r *request) string {
	if given := r.Header.Get("Content-Type"); given != "" {
		return "the request's Content-Type is " + strconv.Quote(clip(given))
	}
	return "the request has no Content-Type"
}

// checkEncoding refuses compressed bodies, which would be taken for what they
// are not.
func checkEncoding(r *request) error {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return nil
	default:
		return fault.Newf(fault.CodeUnsupportedMediaType, "Send the body as it is; Parquet files are compressed inside.",
			"The request's body has the Content-Encoding %q.", clip(encoding))
	}
}

// readDatasetFields reads the fields of a request that is about one dataset.
func readDatasetFields(r *request) (f fields, datasetID string, err error) {
	if f, err = readFields(r); err != nil {
		return nil, "", err
	}
	datasetID, err = f.datasetID(r)
	return f, datasetID, err
}

// readAtMost reads a small body whole.
func readAtMost(body io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, bodyFault(err)
	}
	if int64(len(text)) > limit {
		return nil, fault.Newf(fault.CodeRequestTooLarge, "Send only the fields that the endpoint names.",
			"The request's body is larger than %d KiB.", limit>>10)
	}
	return text, nil
}

// bodyFault is the answer to a body that cannot be read to its end.
func bodyFault(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return errUploadTooLarge(tooLarge.Limit)
	}
	return fault.New(fault.CodeIncompleteBody, "The request's body stopped before its end, so nothing was stored.",
		"Send the whole request again.").Because(err)
}

var errTwice = errors.New("a name is given twice")

// parseObject reads one JSON object and refuses a name that is given twice: one
// reader would take the first value and another the last.
func parseObject(text []byte) (fields, error) {
	if !utf8.Valid(text) {
		return nil, fault.New(fault.CodeInvalidJSON, "The request's body is not valid UTF-8.", "Send the JSON in UTF-8.")
	}
	object, err := decodeObject(text)
	switch {
	case errors.Is(err, errTwice):
		return nil, fault.New(fault.CodeInvalidJSON, "The JSON object names a field twice.", "Name every field once.")
	case err != nil:
		return nil, fault.New(fault.CodeInvalidJSON, "The request's body is not one JSON object.", jsonHint(text)).Because(err)
	}
	return object, nil
}

func jsonHint(text []byte) string {
	if bytes.Contains(text, []byte("=")) && !bytes.ContainsAny(text, "{[\"") {
		return "The body is a form, and its Content-Type says JSON. Send a JSON object, or leave the header out."
	}
	return `Send an object, such as {"dataset_id": "dataset-…"}.`
}

func decodeObject(text []byte) (fields, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.Join(errors.New("not an object"), err)
	}
	object := fields{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		key := name.(string) // the decoder answers with nothing else here
		if _, ok := object[key]; ok {
			return nil, errTwice
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		object[key] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("text after the object")
	}
	return object, nil
}

// parseForm reads a URL-encoded form, in which every value is a string.
func parseForm(text string) (fields, error) {
	form, err := url.ParseQuery(text)
	if err != nil {
		return nil, fault.New(fault.CodeInvalidRequest, "The request's body is not a URL-encoded form.",
			"Send a JSON object with the header Content-Type: application/json.")
	}
	object := fields{}
	for name, values := range form {
		if len(values) > 1 {
			return nil, givenTwice(name)
		}
		object[name], _ = json.Marshal(values[0]) // a string always encodes
	}
	return object, nil
}

func givenTwice(name string) error {
	return fault.Newf(fault.CodeInvalidRequest, "Send it once.", "The field %q is given twice.", clip(name))
}

// text returns a string field. "" means that it is not there; null and every
// other type is refused.
func (f fields) text(name string) (string, error) {
	raw, ok := f[name]
	if !ok {
		return "", nil
	}
	var value string
	if raw[0] != '"' || json.Unmarshal(raw, &value) != nil {
		return "", fault.Newf(fault.CodeInvalidRequest, "Send it as text in quotes.", "The field %q is %s, and has to be a string.", name, jsonKind(raw))
	}
	if strings.ContainsRune(value, utf8.RuneError) && !strings.ContainsRune(string(raw), utf8.RuneError) && !strings.Contains(strings.ToLower(string(raw)), `\ufffd`) {
		return "", fault.Newf(fault.CodeInvalidRequest, "Send whole characters.", "The field %q has half a surrogate pair.", name)
	}
	return value, nil
}

// required returns a string field that has to be there and not be empty.
func (f fields) required(name, hint string) (string, error) {
	value, err := f.text(name)
	if err != nil {
		return "", err
	}
	if value == "" {
		return "", fault.Newf(fault.CodeInvalidRequest, hint, "The field %q is missing.", name)
	}
	return value, nil
}

// count returns a whole number from 1 to most, or 0 when the field is not there.
func (f fields) count(name string, most int) (int, error) {
	raw, ok := f[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	if err != nil || n < 1 || n > most {
		return 0, fault.Newf(fault.CodeInvalidRequest, "Leave it out to get as many as fit.", "The field %q has to be a whole number from 1 to %d.", name, most)
	}
	return n, nil
}

// datasetID returns the id under the name that the route has for it, or under
// the other one.
func (f fields) datasetID(r *request) (string, error) {
	name, other := r.dialect.idField(), dialect{stages: !r.dialect.stages}.idField()
	if _, ok := f[name]; !ok {
		if _, ok := f[other]; ok {
			name = other
		}
	}
	id, err := f.required(name, `Send {"`+name+`": "dataset-…"}; list-datasets shows the ids.`)
	if err != nil {
		return "", err
	}
	r.dataset = clip(id)
	return id, nil
}

// idField is the name of the field with a dataset's id.
func (d dialect) idField() string {
	if d.stages {
		return "stage_id"
	}
	return "dataset_id"
}

func jsonKind(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	case '"':
		return "a string"
	}
	return "a number"
}

// clip bounds what an answer repeats of a request.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	for i := range s {
		if i >= 64 {
			return s[:i] + "…"
		}
	}
	return s
}
