package api

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
)

// formRequest is an upload's request with a body of our own.
func formRequest(contentType, body string) *request {
	r := httptest.NewRequest(http.MethodPost, "/upload-to-dataset", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return &request{Request: r}
}

// readForm reads a form to its end and returns its parts.
func readForm(r *request) (parts map[string]string, err error) {
	f, err := openForm(r)
	if err != nil {
		return nil, err
	}
	parts = make(map[string]string)
	for {
		p, err := f.next()
		if err == io.EOF {
			return parts, nil
		}
		if err != nil {
			return parts, err
		}
		value, err := io.ReadAll(p)
		if err != nil {
			return parts, err
		}
		parts[p.name+"/"+p.fileName] = string(value)
	}
}

const formOfTwo = "--B\r\nContent-Disposition: form-data; name=\"dataset_id\"\r\n\r\nd1\r\n" +
	"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.parquet\"\r\n\r\nPAR1\r\n--B--\r\n"

func TestFormIsReadInAnyOrder(t *testing.T) {
	parts, err := readForm(formRequest("multipart/form-data; boundary=B", formOfTwo))
	if err != nil || parts["dataset_id/"] != "d1" || parts["file/a.parquet"] != "PAR1" {
		t.Fatalf("got %v, %v", parts, err)
	}
}

// Wherever a form is cut, the reader says that it was: nothing may be taken for
// the end but the closing boundary.
func TestFormCutAnywhereIsIncomplete(t *testing.T) {
	whole := strings.TrimSuffix(formOfTwo, "\r\n")
	for cut := 1; cut < len(whole)-1; cut++ { // one "-" less still ends in the boundary
		_, err := readForm(formRequest("multipart/form-data; boundary=B", whole[:cut]))
		if err == nil {
			t.Fatalf("the first %d of %d bytes pass for a whole form", cut, len(whole))
		}
		if code := fault.CodeOf(err); code != fault.CodeIncompleteBody && code != fault.CodeInvalidMultipart {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

// What follows the closing boundary means nothing, however much it is.
func TestFormWithAnEpilogue(t *testing.T) {
	for _, length := range []int{1, 600, 200_000} {
		r := formRequest("multipart/form-data; boundary=B", formOfTwo+strings.Repeat("e", length))
		if parts, err := readForm(r); err != nil || len(parts) != 2 {
			t.Errorf("an epilogue of %d bytes: %v, %v", length, parts, err)
		}
	}
}

// The closing boundary is found in whatever pieces the body arrives.
func TestClosingBoundaryInPieces(t *testing.T) {
	whole := strings.TrimSuffix(formOfTwo, "\r\n")
	for _, reader := range []io.Reader{
		iotest.OneByteReader(strings.NewReader(whole)), iotest.HalfReader(strings.NewReader(whole)), iotest.DataErrReader(strings.NewReader(whole)),
	} {
		r := formRequest("multipart/form-data; boundary=B", "")
		r.Body = io.NopCloser(reader)
		if parts, err := readForm(r); err != nil || len(parts) != 2 {
			t.Errorf("%T: %v, %v", reader, parts, err)
		}
	}
}

func TestFormFaults(t *testing.T) {
	part := func(headers string) string { return "--B\r\n" + headers + "\r\n\r\nx\r\n--B--\r\n" }
	for _, test := range []struct {
		name, contentType, body string
		code                    fault.Code
		text                    string
	}{
		{"JSON", "application/json", `{"dataset_id":"d"}`, fault.CodeUnsupportedMediaType, "is multipart/form-data, and this request is JSON"},
		{"multipart called JSON", "application/json", formOfTwo, fault.CodeUnsupportedMediaType, "looks like multipart/form-data"},
		{"no type", "", "x", fault.CodeUnsupportedMediaType, "has no Content-Type"},
		{"no boundary", "multipart/form-data", formOfTwo, fault.CodeInvalidMultipart, "names no boundary"},
		{"form-data package on fetch", "multipart/form-data; boundary=B", "[object FormData]", fault.CodeInvalidMultipart, "[object FormData]"},
		{"the same without its header", "text/plain;charset=UTF-8", "[object FormData]", fault.CodeInvalidMultipart, "[object FormData]"},
		{"no disposition", "multipart/form-data; boundary=B", part("X-A: b"), fault.CodeInvalidMultipart, "Content-Disposition"},
		{"two dispositions", "multipart/form-data; boundary=B", part("Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b\""), fault.CodeInvalidMultipart, "Content-Disposition"},
		{"two names", "multipart/form-data; boundary=B", part(`Content-Disposition: form-data; name="file"; filename="a"; filename*=utf-8''b`), fault.CodeInvalidFileName, "two different names"},
		{"base64", "multipart/form-data; boundary=B", part("Content-Disposition: form-data; name=\"file\"\r\nContent-Transfer-Encoding: base64"), fault.CodeInvalidMultipart, "encoded as base64"},
		{"a large header", "multipart/form-data; boundary=B", part("Content-Disposition: form-data; name=\"file\"\r\nX-A: " + strings.Repeat("a", maxPartHeader)), fault.CodeInvalidMultipart, "8 KiB of headers"},
		{"another boundary", "multipart/form-data; boundary=C", formOfTwo, fault.CodeIncompleteBody, "closing boundary"},
		{"nothing", "multipart/form-data; boundary=B", "", fault.CodeIncompleteBody, "closing boundary"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readForm(formRequest(test.contentType, test.body))
			if fault.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.text) {
				t.Fatalf("got %v, want %s with %q", err, test.code, test.text)
			}
		})
	}
}

func TestFormOfManyPartsIsRefusedAtOnce(t *testing.T) {
	var body strings.Builder
	for i := range 80_000 {
		fmt.Fprintf(&body, "--B\r\nContent-Disposition: form-data; name=\"%d\"\r\n\r\n\r\n", i)
	}
	r := formRequest("multipart/form-data; boundary=B", body.String()+"--B--\r\n")
	unread := r.Body
	_, err := readForm(r)
	if fault.CodeOf(err) != fault.CodeInvalidMultipart {
		t.Fatalf("got %v", err)
	}
	if rest, _ := io.Copy(io.Discard, unread); rest < int64(body.Len())*9/10 {
		t.Fatalf("only %d of %d bytes were left unread", rest, body.Len())
	}
}

// FuzzForm checks that no body makes the reader fail in another way than with a
// fault, hang, or read parts without end; and that a form which is read whole is
// read as the standard library reads it.
func FuzzForm(f *testing.F) {
	f.Add("multipart/form-data; boundary=B", []byte(formOfTwo))
	f.Add("multipart/form-data; boundary=B", []byte("--B\r\n\r\n--B--"))
	f.Add("multipart/form-data; boundary=\"a b\"", []byte("--a b\r\nContent-Disposition: form-data; name=a; filename*=utf-8''%20\r\n\r\n\r\n--a b--"))
	f.Add("application/json", []byte("{}"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		start := time.Now()
		_, err := readForm(&request{Request: r})
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("took %v", took)
		}
		if err != nil {
			if code := fault.CodeOf(err); code == fault.CodeInternal || code == "" {
				t.Fatalf("not a fault of the request: %v", err)
			}
			return
		}
		_, params, _ := mime.ParseMediaType(contentType)
		std := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for {
			p, err := std.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("the standard library refuses what was read whole: %v", err)
			}
			if _, err := io.Copy(io.Discard, p); err != nil {
				t.Fatalf("the standard library refuses what was read whole: %v", err)
			}
		}
	})
}
