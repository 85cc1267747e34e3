package api

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/parqueue/parqueue/internal/dataset"
)

// checksumHeader carries the CRC-64/NVME of a downloaded file, in base64.
const checksumHeader = "X-Checksum-Crc64nvme"

// downloadFromDataset answers with a file's bytes, or, when they are more than
// this way carries, with a redirect to where they are.
func (a *API) downloadFromDataset(w http.ResponseWriter, r *request) error {
	f, id, err := readDatasetFields(r)
	if err != nil {
		return err
	}
	name, err := f.fileName()
	if err != nil {
		return err
	}
	file, err := a.Service.File(r.Context(), r.who, id, name)
	if err != nil {
		return err
	}
	if a.InlineLimit > 0 && file.SizeBytes > a.InlineLimit {
		return a.redirect(w, r, file)
	}
	return a.stream(w, r, file)
}

// stream sends the bytes. When they stop early the connection is cut, so that no
// client takes a part for the whole.
func (a *API) stream(w http.ResponseWriter, r *request, file dataset.File) error {
	body, err := a.Service.Open(r.Context(), file)
	if err != nil {
		return err
	}
	defer body.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(file.SizeBytes, 10))
	w.Header().Set(checksumHeader, file.CRC64NVME)
	n, err := io.Copy(w, body)
	if err != nil {
		return fmt.Errorf("sending %s: %w", file.ID, err)
	}
	if n != file.SizeBytes {
		return fmt.Errorf("sending %s: the store gave %d of %d bytes", file.ID, n, file.SizeBytes)
	}
	return nil
}

// redirect answers with 303, after which every client sends a GET without its
// key; 307 would have it send its POST again. The body is for those that follow
// no redirects.
func (a *API) redirect(w http.ResponseWriter, r *request, file dataset.File) error {
	url, expires, err := a.Service.URL(r.Context(), file)
	if err != nil {
		return err
	}
	w.Header().Set("Location", url)
	const sentence = "The file is larger than this answer carries: follow the redirect to fetch it."
	return writeJSON(w, http.StatusSeeOther, map[string]any{
		"error":      sentence,
		"message":    sentence,
		"code":       "see_other",
		"hint":       "Fetch the url with GET, without an Authorization header; with curl add -L and leave --request out.",
		"url":        url,
		"expires_at": timestamp(expires),
		"size_bytes": file.SizeBytes,
	})
}
