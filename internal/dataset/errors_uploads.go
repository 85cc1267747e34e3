package dataset

import (
	"time"

	"github.com/parqueue/parqueue/internal/fault"
)

// ErrFileClaimed is the answer for a file without an upload whose bytes were
// claimed for removal before it could be appended. It says that this try is over
// and not that the file can't be had: an earlier try of the same caller may yet
// arrive.
func ErrFileClaimed(f File) *fault.Error {
	return fault.New(fault.CodeUploadClosed, "The file's bytes had waited too long to be appended, and were given up.",
		"Nothing was added. Send the file again.").With("state", string(FileAborted)).With("file_id", f.ID).With("file_name", f.Name)
}

// ErrUploadNotFound is the answer for an upload that never existed, that is
// forgotten, or that is another tenant's.
func ErrUploadNotFound(id string) *fault.Error {
	return fault.New(fault.CodeUploadNotFound, "Upload not found",
		"Check the upload id, and that the API key belongs to the tenant that made the upload; list-uploads shows those that there are.").
		With("upload_id", printable(id))
}

// ErrUploadClosed is the answer for an upload whose state rules out what was
// asked: it was appended or aborted, or its time is over.
func ErrUploadClosed(u Upload, now time.Time) *fault.Error {
	state, begins := string(u.State), "create-upload"
	if u.OutsideDatasets() {
		begins = "create-asset, or create-asset-version"
	}
	var e *fault.Error
	switch {
	case u.Expired(now):
		state = "expired"
		e = fault.New(fault.CodeUploadClosed, "The upload's time is over.", "Begin a new one with "+begins+"; abort-upload removes what this one holds.")
	case u.State == UploadAppended && u.OutsideDatasets():
		e = fault.New(fault.CodeUploadClosed, "The upload's file is the content of its asset.", "Nothing is left to do; get-asset-metadata shows the asset unless it was deleted since.")
	case u.State == UploadAppended:
		e = fault.New(fault.CodeUploadClosed, "The upload's file was appended to the dataset before.", "Nothing is left to do; list-dataset-files shows the file unless it was deleted since.")
	default:
		e = fault.New(fault.CodeUploadClosed, "The upload was aborted.", "Begin a new one with "+begins+".")
	}
	return ofUpload(e.With("state", state), u)
}

// errNotComplete is the answer for an upload that is appended too early.
func errNotComplete(u Upload) *fault.Error {
	return ofUpload(fault.New(fault.CodeUploadIncomplete, "The upload is not complete.",
		"Nothing was added. Send its parts, then call complete-upload with \"append\": false; get-upload shows which parts have arrived.").
		With("state", string(u.State)), u)
}

// ofUpload has an error name the file and the upload that it is about.
func ofUpload(e *fault.Error, u Upload) *fault.Error {
	return e.With("upload_id", u.ID).With("file_name", u.FileName)
}
