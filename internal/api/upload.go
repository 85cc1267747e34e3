package api

import (
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// earlyCheckSize is the body size from which an upload is worth a look at the
// catalog before it is read; a smaller one is refused when it is appended.
const earlyCheckSize = 8 << 20

// positionHeader tells where in the order an uploaded file came.
const positionHeader = "X-Dataset-Position"

// upload is what has been read of an upload so far.
type upload struct {
	ids      []string // every dataset id given, wherever it was
	fields   map[string]bool
	fileName string
	received *dataset.Received
}

// uploadToDataset takes one file and appends it.
func (a *API) uploadToDataset(w http.ResponseWriter, r *request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	if a.UploadLimit > 0 {
		if r.ContentLength > a.UploadLimit {
			return errUploadTooLarge(a.UploadLimit)
		}
		r.Body = http.MaxBytesReader(w, r.Body, a.UploadLimit)
	}
	if err := a.Service.MayWrite(r.who); err != nil {
		return err
	}
	if err := a.uploads.take(r.Context(), r.who.Tenant); err != nil {
		return err
	}
	defer a.uploads.giveBack(r.who.Tenant)
	u, err := a.readUpload(r, key)
	if err != nil {
		a.Service.Discard(r.Context(), u.received)
		return err
	}
	appended, err := a.Service.Append(r.Context(), r.who, u.ids[0], u.fileName, u.received, key)
	if err != nil {
		return err
	}
	w.Header().Set(positionHeader, strconv.FormatInt(appended.File.Position, 10))
	answer := fileRow(appended.File)
	answer[r.dialect.idField()] = u.ids[0]
	answer["schema"] = u.received.Schema()
	if appended.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	} else {
		r.appended = 1
	}
	return writeJSON(w, http.StatusOK, answer)
}

// useCreateUpload says what to do with a file that is too large for this way in.
const useCreateUpload = "Call create-upload with dataset_id, file_name and size_bytes, send the file's parts with PUT to the URLs that it answers, " +
	"then call complete-upload with the upload_id: it takes files of up to 5 TiB."

func errUploadTooLarge(limit int64) error {
	return fault.Newf(fault.CodeRequestTooLarge, useCreateUpload,
		"The upload is larger than %d bytes, the most that this way in carries.", limit).
		With("limit_bytes", limit).With("use", "create-upload")
}

// readUpload reads the whole form, up to its closing boundary: a file is not
// appended before its request has arrived whole. What was received is in the
// answer even when there is an error.
func (a *API) readUpload(r *request, idempotencyKey string) (*upload, error) {
	u := &upload{fields: make(map[string]bool)}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return u, fault.New(fault.CodeInvalidRequest, "The URL's query can't be read.", sendForm)
	}
	for _, given := range [][]string{query["dataset_id"], query["stage_id"], r.Header.Values("X-Dataset-Id")} {
		for _, id := range given {
			if id != "" { // a variable that a script left empty
				u.ids = append(u.ids, id)
			}
		}
	}
	f, err := openForm(r)
	if err != nil {
		return u, err
	}
	for {
		p, err := f.next()
		if err == io.EOF {
			return u, u.check(r)
		}
		if err != nil {
			return u, err
		}
		if err := a.readPart(r, u, p, idempotencyKey); err != nil {
			return u, err
		}
	}
}

func (a *API) readPart(r *request, u *upload, p *part, idempotencyKey string) error {
	field := p.name
	if field == "stage_id" {
		field = "dataset_id" // two names of one field
	}
	if field != "dataset_id" && field != "file" {
		return nil // unknown fields are skipped, as in JSON
	}
	if u.fields[field] {
		return givenTwice(p.name)
	}
	u.fields[field] = true
	if field == "file" {
		return a.readFile(r, u, p, idempotencyKey)
	}
	if p.hasFile {
		return fault.Newf(fault.CodeInvalidRequest, sendForm, "The field %q came as a file, and has to be text.", p.name)
	}
	id, err := p.text()
	u.ids = append(u.ids, id)
	return err
}

// readFile takes the bytes of the file. A large one is refused before they
// move, when it is already clear that it can't be appended.
func (a *API) readFile(r *request, u *upload, p *part, idempotencyKey string) error {
	if !p.hasFile {
		return fault.New(fault.CodeInvalidRequest, "The field \"file\" came as text, without a file name.",
			"Send it as a file: curl -F file=@data.parquet, or in code a file object or a Blob with a file name.")
	}
	if err := dataset.CheckFileName(p.fileName); err != nil {
		return err
	}
	u.fileName = p.fileName
	if large := r.ContentLength < 0 || r.ContentLength > earlyCheckSize; large && len(u.ids) > 0 {
		if err := a.checkEarly(r, u, idempotencyKey); err != nil {
			return err
		}
	}
	var err error
	u.received, err = a.Service.Receive(r.Context(), r.who, p, r.ContentLength)
	return err
}

func (a *API) checkEarly(r *request, u *upload, idempotencyKey string) error {
	if err := u.checkIDs(r); err != nil {
		return err
	}
	if _, err := a.Service.Dataset(r.Context(), r.who, u.ids[0], keys.ScopeWrite); err != nil {
		return err
	}
	if idempotencyKey != "" {
		return nil // the name may be there from the same request
	}
	return a.Service.NameFree(r.Context(), r.who, u.ids[0], u.fileName)
}

// check sees that a form that was read to its end has everything.
func (u *upload) check(r *request) error {
	if err := u.checkIDs(r); err != nil {
		return err
	}
	if !u.fields["file"] {
		return fault.New(fault.CodeInvalidRequest, "The field \"file\" is missing.", sendForm)
	}
	return nil
}

func (u *upload) checkIDs(r *request) error {
	name := r.dialect.idField()
	if len(u.ids) == 0 || u.ids[0] == "" {
		return fault.Newf(fault.CodeInvalidRequest,
			"Send it as a form field beside the file (in Python requests: data={'"+name+"': …}, files={'file': …}; with files=, requests drops json=), "+
				"in the URL's query, or in the header X-Dataset-Id.",
			"The field %q is missing: the form did not carry it.", name)
	}
	for _, id := range u.ids[1:] {
		if id != u.ids[0] {
			return fault.Newf(fault.CodeInvalidRequest, "Give one id, in one place.", "Two different values of %q are given.", name)
		}
	}
	r.dataset = clip(u.ids[0])
	return nil
}

// idempotencyKey reads the header that makes a write safe to repeat.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	printable := len(values) == 1 && len(key) >= 1 && len(key) <= 255
	for _, c := range []byte(key) {
		printable = printable && c > ' ' && c < 0x7f
	}
	if !printable {
		return "", fault.New(fault.CodeInvalidRequest, "The Idempotency-Key header is not 1 to 255 printable ASCII characters.",
			"Send a value of your own for every file, such as a UUID, and the same one when you repeat the request.")
	}
	return key, nil
}
