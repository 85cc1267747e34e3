package api

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// checksumHeader carries the CRC-64/NVME of a downloaded file, in base64. An
// answer with a part of a file has none: its body has another sum.
const checksumHeader = "X-Checksum-Crc64nvme"

// delivery is how a download hands out a file.
type delivery string

const (
	deliverAuto     delivery = "auto"     // the bytes, or a redirect where that is faster
	deliverStream   delivery = "stream"   // the bytes
	deliverRedirect delivery = "redirect" // 303 to a presigned URL
	deliverURL      delivery = "url"      // the presigned URL, as JSON
)

// delivery reads the field of that name; without it a download is automatic.
func (f fields) delivery() (delivery, error) {
	text, err := f.text("delivery")
	if err != nil {
		return "", err
	}
	switch d := delivery(text); d {
	case "":
		return deliverAuto, nil
	case deliverAuto, deliverStream, deliverRedirect, deliverURL:
		return d, nil
	}
	return "", fault.Newf(fault.CodeInvalidRequest, "Send auto, stream, redirect or url, or leave the field out.",
		"There is no delivery %q.", clip(text))
}

// downloadFromDataset answers with a file's bytes, or with where they are.
func (a *API) downloadFromDataset(w http.ResponseWriter, r *request) error {
	f, id, err := readDatasetFields(r)
	if err != nil {
		return err
	}
	how, err := f.delivery()
	if err != nil {
		return err
	}
	if _, several := f["file_names"]; several {
		return a.answerURLs(w, r, f, id, how)
	}
	name, err := f.fileName()
	if err != nil {
		return err
	}
	file, err := a.Service.File(r.Context(), r.who, id, name)
	if err != nil {
		return err
	}
	return a.deliver(w, r, how, file, func(part dataset.Range) (io.ReadCloser, error) {
		return a.Service.Open(r.Context(), r.who, id, file, part)
	})
}

// opening gives a part of a file's bytes.
type opening func(dataset.Range) (io.ReadCloser, error)

// deliver answers with a file's bytes, or with where they are.
func (a *API) deliver(w http.ResponseWriter, r *request, how delivery, file dataset.File, open opening) error {
	if how == deliverURL {
		return a.answerURL(w, r, file)
	}
	wanted, err := selected(r.Header, file)
	switch {
	case err != nil:
		return err
	case how == deliverStream && a.StreamLimit > 0 && wanted.Length > a.StreamLimit:
		return errStreamTooLong(a.StreamLimit)
	case how == deliverRedirect, how == deliverAuto && a.InlineLimit > 0 && wanted.Length > a.InlineLimit:
		if wanted.changed { // the store would take the Range for one of the new file
			return errOtherFile()
		}
		return a.redirect(w, r, file)
	}
	return a.stream(w, file, wanted, open)
}

func errStreamTooLong(limit int64) error {
	return fault.Newf(fault.CodeRequestTooLarge,
		`Send "delivery": "redirect" or "url" instead of "stream", or ask for ranges of the file with the header Range.`,
		"An answer streams %d bytes at most.", limit).With("limit_bytes", limit)
}

// stream sends the bytes. When they stop early the connection is cut, so that no
// client takes a part for the whole.
func (a *API) stream(w http.ResponseWriter, file dataset.File, wanted selection, open opening) error {
	body, err := open(wanted.Range)
	if err != nil {
		return err
	}
	defer body.Close()
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Length", strconv.FormatInt(wanted.Length, 10))
	header.Set("Accept-Ranges", "bytes")
	header.Set("ETag", entityTag(file))
	if wanted.partial {
		header.Set("Content-Range", wanted.contentRange(file.SizeBytes))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		header.Set(checksumHeader, file.CRC64NVME)
	}
	n, err := io.Copy(w, body)
	if err != nil {
		return fmt.Errorf("sending %s: %w", file.ID, err)
	}
	if n != wanted.Length {
		return fmt.Errorf("sending %s: the store gave %d of %d bytes", file.ID, n, wanted.Length)
	}
	return nil
}

// redirect answers with 303, after which every client sends a GET without its
// key; 307 would have it send its POST again. The body is for those that follow
// no redirects.
func (a *API) redirect(w http.ResponseWriter, r *request, file dataset.File) error {
	body, err := a.presigned(r, file)
	if err != nil {
		return err
	}
	const sentence = "The file is at another address: follow the redirect to fetch it."
	body["error"] = sentence
	body["message"] = sentence
	body["code"] = "see_other"
	body["hint"] = "Fetch the url with GET, without an Authorization header; with curl add -L and leave --request out."
	w.Header().Set("Location", body["url"].(string))
	return writeJSON(w, http.StatusSeeOther, body)
}

// answerURL answers with where the file's bytes are, for clients that fetch
// them in their own way.
func (a *API) answerURL(w http.ResponseWriter, r *request, file dataset.File) error {
	body, err := a.presigned(r, file)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, body)
}

const sendFileNames = `Send {"file_names": ["part-0001.parquet", …]} and no "file_name"; the answer has a URL for each.`

// answerURLs is answerURL for several files.
func (a *API) answerURLs(w http.ResponseWriter, r *request, f fields, datasetID string, how delivery) error {
	names, err := f.requiredList("file_names", sendFileNames)
	if err != nil {
		return err
	}
	if _, one := f["file_name"]; one || how != deliverURL {
		return fault.New(fault.CodeInvalidRequest, "Several files are handed out as URLs alone.", `Send "delivery": "url" with "file_names", and no "file_name".`)
	}
	files, err := a.Service.FilesNamed(r.Context(), r.who, datasetID, names)
	if err != nil {
		return err
	}
	rows := make([]any, len(files))
	for i, file := range files {
		row, err := a.presigned(r, file)
		if err != nil {
			return err
		}
		row["file_name"] = file.Name
		rows[i] = row
	}
	return writeJSON(w, http.StatusOK, map[string]any{"dataset_id": datasetID, "files": rows})
}

// presigned describes a file by a URL that is made now.
func (a *API) presigned(r *request, file dataset.File) (map[string]any, error) {
	url, expires, err := a.Service.URL(r.Context(), file)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"url":                url,
		"expires_at":         timestamp(expires),
		"size_bytes":         file.SizeBytes,
		"checksum_crc64nvme": file.CRC64NVME,
	}, nil
}
