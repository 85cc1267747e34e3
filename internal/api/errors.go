package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/parqueue/parqueue/internal/fault"
)

// contentJSON has no charset: documented samples compare it letter by letter.
const contentJSON = "application/json"

// statusOf is the HTTP status of a kind of failure. It is never 2xx, and never
// 524, which makes a client send again a file that it has already read to its end.
func statusOf(code fault.Code) int {
	switch code {
	case fault.CodeUnauthorized:
		return http.StatusUnauthorized
	case fault.CodeForbidden:
		return http.StatusForbidden
	case fault.CodeDatasetNotFound, fault.CodeFileNotFound, fault.CodeRouteNotFound, fault.CodeKeyNotFound, fault.CodeUploadNotFound,
		fault.CodeRejectionNotFound, fault.CodeAssetNotFound:
		return http.StatusNotFound
	case fault.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case fault.CodeFileExists, fault.CodeSchemaMismatch, fault.CodeVersionMismatch, fault.CodeConflict, fault.CodeUploadClosed, fault.CodeUploadIncomplete,
		fault.CodeOrderStopped, fault.CodeAliasTaken:
		return http.StatusConflict
	case fault.CodeFileChanged, fault.CodeAssetChanged:
		return http.StatusPreconditionFailed
	case fault.CodeRequestTooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.CodeRangeNotSatisfiable:
		return http.StatusRequestedRangeNotSatisfiable
	case fault.CodeUnsupportedMediaType:
		return http.StatusUnsupportedMediaType
	case fault.CodeIdempotencyKeyReused:
		return http.StatusUnprocessableEntity
	case fault.CodeUnavailable:
		return http.StatusServiceUnavailable
	case fault.CodeStorageFull:
		return http.StatusInsufficientStorage
	case fault.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// faultOf is the fault in an error's chain. Any other error is nobody's business
// but the operator's.
func faultOf(err error) *fault.Error {
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	return fault.Internal("serving a request", err)
}

// renderError is the one place that turns an error into an answer.
func renderError(w http.ResponseWriter, r *request, err error) {
	f := faultOf(err)
	status := statusOf(f.Code)
	// Of the answer that there would have been.
	for _, name := range []string{"Content-Length", "Content-Range", "Accept-Ranges", "ETag", checksumHeader} {
		w.Header().Del(name)
	}
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Key realm="parqueue"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusRequestedRangeNotSatisfiable:
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%v", f.Details["size_bytes"]))
	}
	writeJSON(w, status, f.Body())
}

// encode is json.Marshal without the escapes that only HTML needs: people read
// answers in a terminal, where list<string> should look like itself.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, fault.Internal("encoding an answer", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// writeJSON answers with a value that was made to be encoded.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	body, err := encode(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentJSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err = w.Write(append(body, '\n'))
	return err
}
