package proof

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/minio/crc64nvme"

	"github.com/parqueue/parqueue/internal/testtool"
)

// file is a file that a test gives. No two have the same bytes, so that a sum
// tells which one is listed.
type file struct {
	name  string
	bytes []byte
	sum   string // CRC-64/NVME in base64
}

// newFile makes a small valid file.
func newFile(name string) file { return largeFile(name, 0) }

// largeFile makes a valid file with about so many bytes.
func largeFile(name string, size int) file {
	head, footer := sample()
	number := fmt.Appendf(nil, "%016x", numbers.Add(1))
	// What stands before the footer and belongs to no column chunk, nobody reads.
	content := bytes.Join([][]byte{head, number, make([]byte, size), footer}, nil)
	return file{name, content, sumOf(content)}
}

// numbers makes files differ.
var numbers atomic.Uint64 //nolint:gochecknoglobals // see above

// sample is a Parquet file, cut before its footer.
var sample = sync.OnceValues(func() (head, footer []byte) { //nolint:gochecknoglobals // read once
	content, err := os.ReadFile(filepath.Join(testtool.Root(), "internal", "footer", "testdata", "same", "pyarrow_none.parquet"))
	if err != nil {
		panic(err)
	}
	at := len(content) - 8 - int(binary.LittleEndian.Uint32(content[len(content)-8:]))
	return content[:at], content[at:]
})

func sumOf(content []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(content)))
}

// client calls the API.
type client struct {
	url  string
	key  string // "" sends no Authorization
	http *http.Client
	die  int // the step at which a victim is to die of a request, or 0
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// row is a file as the API shows it.
type row struct {
	Name     string `json:"file_name"`
	Position int64  `json:"position"`
	Sum      string `json:"checksum_crc64nvme"`
}

// object is JSON to send.
type object map[string]any

// send sends a request. key is its Idempotency-Key, or "".
func (c client) send(ctx context.Context, path, contentType string, body []byte, key string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", contentType)
	if c.key != "" {
		r.Header.Set("Authorization", "Key "+c.key)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	if c.die > 0 {
		r.Header.Set(deadlineHeader, strconv.Itoa(c.die))
	}
	return exchange(c.http, r)
}

// exchange sends a request and reads all of the answer.
func exchange(over *http.Client, r *http.Request) (answer, error) {
	response, err := over.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	return answer{response.StatusCode, response.Header, content}, nil
}

// json posts an object.
func (c client) json(ctx context.Context, path string, o object, key string) (answer, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	return c.send(ctx, path, "application/json", body, key)
}

const boundary = "----proof-7d1b3f0a9c"

// upload sends a file as a form.
func (c client) upload(ctx context.Context, dataset string, f file, key string) (answer, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"dataset_id\"\r\n\r\n%s\r\n", boundary, dataset)
	fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=%q\r\n\r\n", boundary, f.name)
	b.Write(f.bytes)
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return c.send(ctx, "/upload-to-dataset", "multipart/form-data; boundary="+boundary, b.Bytes(), key)
}

func (c client) delete(ctx context.Context, dataset, name, key string) (answer, error) {
	return c.json(ctx, "/delete-dataset-file", object{"dataset_id": dataset, "file_name": name}, key)
}

func (c client) download(ctx context.Context, dataset, name string) (answer, error) {
	return c.json(ctx, "/download-from-dataset", object{"dataset_id": dataset, "file_name": name}, "")
}

// get fetches what a presigned URL is for.
func (c client) get(ctx context.Context, url string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	return exchange(c.http, r)
}

// page is a part of a dataset's files.
type page struct {
	Files []row  `json:"files"`
	Next  string `json:"next_cursor"`
}

// list asks for files from a cursor on: all of them when limit is 0.
func (c client) list(ctx context.Context, dataset, cursor string, limit int) (answer, error) {
	o := object{"dataset_id": dataset}
	if cursor != "" {
		o["cursor"] = cursor
	}
	if limit > 0 {
		o["limit"] = limit
	}
	return c.json(ctx, "/list-dataset-files", o, "")
}

// begin creates an upload in parts.
func (c client) begin(ctx context.Context, dataset string, f file, key string) (answer, error) {
	return c.json(ctx, "/create-upload", object{"dataset_id": dataset, "file_name": f.name, "size_bytes": len(f.bytes), "checksum": f.sum}, key)
}

// beginWhole creates an upload by a single PUT.
func (c client) beginWhole(ctx context.Context, dataset string, f file, key string) (answer, error) {
	return c.json(ctx, "/create-upload", object{"dataset_id": dataset, "file_name": f.name, "size_bytes": len(f.bytes), "checksum": f.sum, "single_put": true}, key)
}

func (c client) complete(ctx context.Context, upload string, andAppend bool, key string) (answer, error) {
	return c.json(ctx, "/complete-upload", object{"upload_id": upload, "append": andAppend}, key)
}

func (c client) appendUploads(ctx context.Context, dataset string, uploads []string, key string) (answer, error) {
	return c.json(ctx, "/append-files", object{"dataset_id": dataset, "upload_ids": uploads}, key)
}

// begun is an upload as create-upload answers it.
type begun struct {
	ID    string `json:"upload_id"`
	Parts []struct {
		Offset int64  `json:"offset"`
		Size   int64  `json:"size_bytes"`
		URL    string `json:"url"`

		Headers map[string]string `json:"headers"`
	} `json:"part_urls"`
}

// sendParts sends all parts of a file to their URLs.
func (b begun) sendParts(ctx context.Context, over *http.Client, f file) error {
	for _, p := range b.Parts {
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, p.URL, bytes.NewReader(f.bytes[p.Offset:p.Offset+p.Size]))
		if err != nil {
			return err
		}
		for name, value := range p.Headers {
			r.Header.Set(name, value)
		}
		a, err := exchange(over, r)
		if err != nil {
			return fmt.Errorf("sending a part: %w", err)
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("sending a part: answered %d %s", a.status, a.body)
		}
	}
	return nil
}

// code is what kind of refusal an answer is.
func (a answer) code() string {
	var refusal struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.body, &refusal) // an answer of the gateway's is no JSON of ours
	return refusal.Code
}

// decode reads the JSON of an answer that has to be 200.
func (a answer) decode(into any) error {
	if a.status != http.StatusOK {
		return fmt.Errorf("answered %d %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return fmt.Errorf("the answer is not JSON: %w: %s", err, a.body)
	}
	return nil
}

// must decodes the answer to a request that has to succeed.
func must[T any](a answer, err error) (T, error) {
	var v T
	if err != nil {
		return v, err
	}
	return v, a.decode(&v)
}

// create makes a dataset.
func (c client) create(ctx context.Context) (id string, err error) {
	made, err := must[struct {
		ID string `json:"dataset_id"`
	}](c.json(ctx, "/create-dataset", object{}, ""))
	return made.ID, err
}

// files lists all of a dataset.
func (c client) files(ctx context.Context, dataset string) ([]row, error) {
	whole, err := must[page](c.list(ctx, dataset, "", 0))
	if err == nil && whole.Next != "" {
		err = fmt.Errorf("a whole listing has the cursor %q", whole.Next)
	}
	return whole.Files, err
}

// ready brings a file as far as complete-upload does, without appending it.
func (c client) ready(ctx context.Context, dataset string, f file) (upload string, err error) {
	b, err := must[begun](c.begin(ctx, dataset, f, ""))
	if err != nil {
		return "", err
	}
	if err := b.sendParts(ctx, c.http, f); err != nil {
		return "", err
	}
	_, err = must[object](c.complete(ctx, b.ID, false, ""))
	return b.ID, err
}
