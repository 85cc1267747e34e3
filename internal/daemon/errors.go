package daemon

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"

	"github.com/parqueue/parqueue/internal/fault"
)

// statusOf is the HTTP status of a kind of failure, as the API has them.
func statusOf(code fault.Code) int {
	switch code {
	case fault.CodeUnauthorized:
		return http.StatusUnauthorized
	case fault.CodeForbidden:
		return http.StatusForbidden
	case fault.CodeTransferNotFound, fault.CodeRouteNotFound:
		return http.StatusNotFound
	case fault.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case fault.CodeConflict, fault.CodeProtocolMismatch:
		return http.StatusConflict
	case fault.CodeRequestTooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.CodeUnavailable:
		return http.StatusServiceUnavailable
	case fault.CodeStorageFull:
		return http.StatusInsufficientStorage
	case fault.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// errorBody is an error as JSON. The cause is told: who asks is the user whose
// machine this is.
func errorBody(err error) json.RawMessage {
	var f *fault.Error
	body := map[string]any{}
	if errors.As(err, &f) {
		body = f.Body()
		if cause := f.Unwrap(); cause != nil {
			body["cause"] = cause.Error()
		}
	} else {
		maps.Copy(body, fault.Internal("", err).Body())
		body["error"], body["message"] = "Something went wrong in the daemon.", "Something went wrong in the daemon."
		body["hint"] = "Run the same again; `parqueue daemon logs` shows what the daemon did."
		body["cause"] = err.Error()
	}
	text, failed := json.Marshal(body)
	if failed != nil {
		return json.RawMessage(`{"error":"Something went wrong in the daemon.","code":"internal"}`)
	}
	return text
}

// Fault rebuilds an error that a daemon made.
func Fault(text json.RawMessage) *fault.Error {
	var body map[string]any
	if json.Unmarshal(text, &body) != nil {
		body = map[string]any{}
	}
	code, _ := body["code"].(string)
	message, _ := body["error"].(string)
	hint, _ := body["hint"].(string)
	if code == "" || message == "" {
		return fault.New(fault.CodeUnavailable, "The daemon's answer can't be understood.", "Stop it with `parqueue daemon stop`: the next command starts another one.")
	}
	f := fault.New(fault.Code(code), message, hint)
	if cause, _ := body["cause"].(string); cause != "" {
		f = f.Because(errors.New(cause))
	}
	for _, known := range []string{"code", "error", "message", "hint", "cause"} {
		delete(body, known)
	}
	f.Details = body
	return f
}

func errNoTransfer(id string) error {
	return fault.Newf(fault.CodeTransferNotFound, "`parqueue transfers list --all` shows those that there are.", "There is no transfer %.64q.", id)
}
