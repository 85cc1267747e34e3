// Package fault is Parqueue's one error type: what went wrong, under a code
// that never changes, in a sentence a person can read, with a hint that says
// what to do next. The domain and every technology behind it return *Error for
// whatever a caller can act on; any other error is a defect or an outage, is
// logged, and reaches the caller as CodeInternal without its text.
//
// The package needs no IAM actions.
package fault

import (
	"errors"
	"fmt"
)

// Code names a kind of failure. Codes are part of the API: clients branch on
// them, so a code is never renamed and never changes its meaning.
type Code string

// The codes, grouped by who has to act.
const (
	// The request itself is wrong; sending it again unchanged cannot succeed.
	CodeInvalidRequest       Code = "invalid_request"        // a field is missing, given twice, or of the wrong type
	CodeInvalidJSON          Code = "invalid_json"           // the body is not one JSON object
	CodeInvalidMultipart     Code = "invalid_multipart"      // the form cannot be read, or has too many parts
	CodeIncompleteBody       Code = "incomplete_body"        // the body stopped before its end
	CodeUnsupportedMediaType Code = "unsupported_media_type" // the Content-Type is not one that the endpoint takes
	CodeInvalidFileName      Code = "invalid_file_name"      // the name could be misread by some system; it is refused, never cleaned
	CodeInvalidName          Code = "invalid_name"           // a dataset's name, or a title, an alias or a tag of an asset, outside the rules
	CodeInvalidMetadata      Code = "invalid_metadata"       // metadata is no JSON object, or too large
	CodeRequestTooLarge      Code = "request_too_large"      // more bytes than this way in carries
	CodeMethodNotAllowed     Code = "method_not_allowed"     // the endpoint exists, the method does not
	CodeRouteNotFound        Code = "route_not_found"        // no such endpoint
	CodeChecksumMismatch     Code = "checksum_mismatch"      // the bytes that arrived are not those that were announced
	CodeRangeNotSatisfiable  Code = "range_not_satisfiable"  // the file has none of the bytes of the range
	CodeInvalidOrder         Code = "invalid_order"          // a list of names in the inbox can't be read, or is not for this dataset
	CodeMisplaced            Code = "misplaced"              // an object of the inbox is not at incoming/<dataset_id>/<file_name>

	// The file is not one that a dataset can hold.
	CodeNotParquet         Code = "not_parquet"         // no Parquet magic, or too short to be Parquet
	CodeTruncatedParquet   Code = "truncated_parquet"   // it begins as Parquet and does not end as Parquet
	CodeInvalidParquet     Code = "invalid_parquet"     // the footer contradicts itself, the file or the format
	CodeEncryptedParquet   Code = "encrypted_parquet"   // the footer or a column is encrypted
	CodeParquetLimit       Code = "parquet_limit"       // sound, but beyond a documented limit
	CodeUnsupportedParquet Code = "unsupported_parquet" // sound, but of a kind that a dataset does not take
	CodeSchemaMismatch     Code = "schema_mismatch"     // the schema is not the dataset's

	// The state of the store says no.
	CodeFileExists           Code = "file_exists"            // the name is taken in this dataset
	CodeFileNotFound         Code = "file_not_found"         // no such name in this dataset
	CodeDatasetNotFound      Code = "dataset_not_found"      // no such dataset, or not the caller's
	CodeIdempotencyKeyReused Code = "idempotency_key_reused" // the key came with another request before
	CodeFileChanged          Code = "file_changed"           // the name has another file by now than the one that was named
	CodeVersionMismatch      Code = "version_mismatch"       // the dataset is not of the version that the caller named
	CodeConflict             Code = "conflict"               // too many writers at once; try again
	CodeStorageFull          Code = "storage_full"           // no room left where the bytes go
	CodeKeyNotFound          Code = "key_not_found"          // no API key with that id
	CodeUploadNotFound       Code = "upload_not_found"       // no such upload, or not the caller's
	CodeRejectionNotFound    Code = "rejection_not_found"    // no such rejected object of the inbox, or not the caller's
	CodeUploadClosed         Code = "upload_closed"          // the upload was appended or aborted, or its time is over
	CodeUploadIncomplete     Code = "upload_incomplete"      // parts of the upload are missing, or it was not completed
	CodeOrderStopped         Code = "order_stopped"          // a file that a list in the inbox names was refused
	CodeAssetNotFound        Code = "asset_not_found"        // no such asset or version of one, or not the caller's
	CodeAliasTaken           Code = "alias_taken"            // another asset of the owner has the alias
	CodeAssetChanged         Code = "asset_changed"          // the asset is not as the If-Match of the request says

	// The transfer daemon of a client's machine says no.
	CodeTransferNotFound Code = "transfer_not_found" // no such transfer
	CodeProtocolMismatch Code = "protocol_mismatch"  // client and daemon are of different versions

	// Who is asking.
	CodeUnauthorized Code = "unauthorized" // no key, or not one that is valid now
	CodeForbidden    Code = "forbidden"    // the key is valid and lacks the scope

	// Not the caller's doing.
	CodeUnavailable Code = "unavailable" // overloaded or stopping; try again
	CodeInternal    Code = "internal"    // anything that is nobody's business but the operator's
)

// Error is a failure that a caller can act on.
type Error struct {
	Code    Code
	Message string         // one sentence, for people; safe to send to the caller
	Hint    string         // what to do next; may be empty
	Details map[string]any // further JSON members of the answer; may be nil
	cause   error          // for the log only
}

// New returns an error with a code, a sentence and a hint.
func New(code Code, message, hint string) *Error {
	return &Error{Code: code, Message: message, Hint: hint}
}

// Newf is New with a formatted sentence.
func Newf(code Code, hint, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Internal wraps an error whose text is for the log alone. doing says what was
// being done, as in "appending to the catalog".
func Internal(doing string, cause error) *Error {
	return &Error{
		Code:    CodeInternal,
		Message: "Something went wrong on the server.",
		Hint:    "Nothing is wrong with the request. Try again; if it keeps failing, give the operator the request id.",
		cause:   fmt.Errorf("%s: %w", doing, cause),
	}
}

// With returns a copy that carries a detail under name.
func (e *Error) With(name string, value any) *Error {
	c := *e
	c.Details = make(map[string]any, len(e.Details)+1)
	for k, v := range e.Details {
		c.Details[k] = v
	}
	c.Details[name] = value
	return &c
}

// Because returns a copy that carries a cause for the log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Body is the error as a JSON object, wherever one is shown or kept: its details,
// its sentence, its code, and its hint if it has one.
func (e *Error) Body() map[string]any {
	body := make(map[string]any, len(e.Details)+4)
	for k, v := range e.Details {
		body[k] = v
	}
	body["error"] = e.Message
	body["message"] = e.Message // what the older clients and samples read
	body["code"] = e.Code
	if e.Hint != "" {
		body["hint"] = e.Hint
	}
	return body
}

// Error is the text for logs: it includes the cause, so it is never sent.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf gives the code of the first *Error in the chain, CodeInternal for any
// other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Is reports whether err carries the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }
