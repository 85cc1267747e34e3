package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// download asks for the first file of a dataset. how is the delivery, or "".
func (f *fixture) download(id, how string, header ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	body := `{"dataset_id":"` + id + `","file_name":"f000.parquet"`
	if how != "" {
		body += `,"delivery":"` + how + `"`
	}
	r := httptest.NewRequest(http.MethodPost, "/download-from-dataset", strings.NewReader(body+"}"))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return f.do(r)
}

func TestDelivery(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	size := int64(len(parquet(t)))
	for _, test := range []struct {
		how            string
		inline, stream int64 // limits
		status         int
	}{
		{"", 0, 0, 200},
		{"auto", 0, 0, 200},
		{"auto", size, size, 200},
		{"", size - 1, size, 303},
		{"auto", size - 1, 0, 303},
		{"stream", size - 1, size, 200},
		{"stream", size - 1, 0, 200},
		{"stream", 0, size - 1, 413},
		{"redirect", 0, 0, 303},
		{"redirect", size, size, 303},
		{"url", 0, 0, 200},
		{"url", 1, 1, 200},
		{"email", 0, 0, 400},
	} {
		t.Run(fmt.Sprintf("%s limits %d %d", test.how, test.inline, test.stream), func(t *testing.T) {
			f.config.InlineLimit, f.config.StreamLimit, f.objects.got = test.inline, test.stream, nil
			w := f.download(id, test.how)
			if w.Code != test.status {
				t.Fatalf("%d %s, want %d", w.Code, w.Body, test.status)
			}
			streamed := w.Code == http.StatusOK && test.how != "url"
			if reads := len(f.objects.got); reads != map[bool]int{true: 1}[streamed] {
				t.Errorf("%d reads of the object store", reads)
			}
			switch {
			case streamed:
				if w.Header().Get("Content-Type") != "application/octet-stream" || !bytes.Equal(w.Body.Bytes(), parquet(t)) {
					t.Errorf("%v, %d bytes", w.Header(), w.Body.Len())
				}
				if f.objects.got[0] != (dataset.Range{}) {
					t.Errorf("the file is read as %+v, which the store does not check", f.objects.got[0])
				}
			case test.how == "url", w.Code == http.StatusSeeOther:
				answer := decode(t, w)
				url, _ := answer["url"].(string)
				if !strings.HasPrefix(url, "https://bucket.example/f000.parquet?") || answer["expires_at"] == "" ||
					answer["size_bytes"] != float64(size) || answer["checksum_crc64nvme"] != sum(parquet(t)) {
					t.Errorf("answered %v", answer)
				}
				if location := w.Header().Get("Location"); (w.Code == http.StatusSeeOther) != (location == url) {
					t.Errorf("%d with Location %q", w.Code, location)
				}
				if cached := w.Header().Get("Cache-Control"); cached != "no-store" {
					t.Errorf("Cache-Control %q", cached)
				}
			case w.Code == http.StatusRequestEntityTooLarge:
				if answer := decode(t, w); answer["limit_bytes"] != float64(test.stream) || !strings.Contains(answer["hint"].(string), "redirect") {
					t.Errorf("answered %v", answer)
				}
			}
		})
	}
	if strings.Contains(f.log.String(), "s3cr3t") {
		t.Fatal("the presigned URL is in the log")
	}
}

func TestDownloadRanges(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	file := parquet(t)
	size := len(file)
	last := size - 1
	for _, test := range []struct {
		header     string
		status     int
		from, upTo int // what is sent
	}{
		{"bytes=0-0", 206, 0, 1},
		{"bytes=0-", 206, 0, size},
		{"bytes=4-9", 206, 4, 10},
		{"Bytes= 4-9 ", 206, 4, 10},
		{"bytes=4-", 206, 4, size},
		{fmt.Sprintf("bytes=%d-%d", last, last), 206, last, size},
		{"bytes=4-99999999999999999999999", 206, 4, size},
		{"bytes=-8", 206, size - 8, size},
		{"bytes=-99999999999999999999999", 206, 0, size},
		{"bytes=-0", 416, 0, 0},
		{fmt.Sprintf("bytes=%d-", size), 416, 0, 0},
		{fmt.Sprintf("bytes=%d-%d", size, size+9), 416, 0, 0},
		{"bytes=99999999999999999999999-", 416, 0, 0},

		// What is ignored.
		{"bytes=0-1,4-5", 200, 0, size},
		{"bytes=0-1, -4", 200, 0, size},
		{"bytes=5-4", 200, 0, size},
		{"bytes=-", 200, 0, size},
		{"bytes=--4", 200, 0, size},
		{"bytes=+1-4", 200, 0, size},
		{"bytes=0x1-4", 200, 0, size},
		{"bytes", 200, 0, size},
		{"rows=0-4", 200, 0, size},
		{"", 200, 0, size},
	} {
		t.Run(test.header, func(t *testing.T) {
			f.objects.got = nil
			w := f.download(id, "", "Range", test.header)
			if w.Code != test.status {
				t.Fatalf("%d %s, want %d", w.Code, w.Body, test.status)
			}
			header := w.Header()
			if w.Code == http.StatusRequestedRangeNotSatisfiable {
				if answer := decode(t, w); answer["code"] != "range_not_satisfiable" || header.Get("Content-Range") != fmt.Sprintf("bytes */%d", size) {
					t.Errorf("%v %v", header, answer)
				}
				if len(f.objects.got) != 0 || header.Get("ETag") != "" {
					t.Errorf("the store was read %d times, ETag %s", len(f.objects.got), header.Get("ETag"))
				}
				return
			}
			if !bytes.Equal(w.Body.Bytes(), file[test.from:test.upTo]) || header.Get("Content-Length") != fmt.Sprint(test.upTo-test.from) {
				t.Errorf("%d bytes, Content-Length %s", w.Body.Len(), header.Get("Content-Length"))
			}
			wantRange, wantSum := "", sum(file)
			if w.Code == http.StatusPartialContent {
				wantRange, wantSum = fmt.Sprintf("bytes %d-%d/%d", test.from, test.upTo-1, size), ""
			}
			if header.Get("Content-Range") != wantRange || header.Get("X-Checksum-Crc64nvme") != wantSum ||
				header.Get("Accept-Ranges") != "bytes" || header.Get("ETag") != `"`+sum(file)+`"` {
				t.Errorf("header %v", header)
			}
			// The store checks the bytes when all of them are read, and only then.
			if read := f.objects.got[0]; (read == dataset.Range{}) != (test.upTo-test.from == size) {
				t.Errorf("read %+v", read)
			}
		})
	}
}

// Ranges count with their own size, and with If-Range a client that goes on with
// a file never gets a part of another one.
func TestDownloadGoesOn(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	file := parquet(t)
	tag := `"` + sum(file) + `"`
	f.config.InlineLimit, f.config.StreamLimit = 8, 1000
	for _, test := range []struct {
		name, how, ifRange, byteRange string
		status, bytes                 int
	}{
		{"a small range of a large file", "", "", "bytes=-8", 206, 8},
		{"a large range", "", "", "bytes=-9", 303, 0},
		{"a range longer than a stream", "stream", "", "bytes=0-1000", 413, 0},
		{"a range as long as a stream", "stream", "", "bytes=0-999", 206, 1000},
		{"a range behind the end, redirected", "redirect", "", "bytes=9999999-", 416, 0},
		{"the same file", "", tag, "bytes=-8", 206, 8},
		{"the same file, redirected", "redirect", tag, "bytes=-8", 303, 0},
		{"another file", "stream", `"other"`, "bytes=-8", 413, 0}, // all of it is too long
		{"another file, redirected", "redirect", `"other"`, "bytes=-8", 412, 0},
		{"another file, too large for its whole", "", `"other"`, "bytes=-8", 412, 0},
		{"a weak tag", "redirect", "W/" + tag, "bytes=-8", 412, 0},
		{"a date", "redirect", "Sat, 21 Nov 2026 00:00:00 GMT", "bytes=-8", 412, 0},
		{"another file and no range", "", `"other"`, "", 303, 0},
		{"a URL, whose fetch has the range", "url", `"other"`, "bytes=9999999-", 200, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var header []string
			if test.ifRange != "" {
				header = append(header, "If-Range", test.ifRange)
			}
			if test.byteRange != "" {
				header = append(header, "Range", test.byteRange)
			}
			w := f.download(id, test.how, header...)
			if w.Code != test.status || w.Code == http.StatusPartialContent && w.Body.Len() != test.bytes {
				t.Fatalf("%d, %d bytes, want %d, %d", w.Code, w.Body.Len(), test.status, test.bytes)
			}
			if w.Code == http.StatusPreconditionFailed && decode(t, w)["code"] != "file_changed" {
				t.Errorf("answered %s", w.Body)
			}
		})
	}
	f.config.InlineLimit, f.config.StreamLimit = 0, 0
	if w := f.download(id, "", "If-Range", `"other"`, "Range", "bytes=-8"); w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), file) {
		t.Errorf("another file is answered %d with %d bytes, want all of them", w.Code, w.Body.Len())
	}
	if w := f.download(id, "", "Range", "bytes=-8", "Range", "bytes=-9"); w.Code != http.StatusOK {
		t.Errorf("two headers are answered %d", w.Code)
	}
}

// S3 says 403 of an object that a deletion has just taken away. The file is not
// found then; where it is still there, a right is missing.
func TestDownloadOvertakenByADeletion(t *testing.T) {
	forbidden := fault.Internal("reading an object", errors.New("AccessDenied"))
	for name, test := range map[string]struct {
		meanwhile func(f *fixture, id string)
		status    int
		code      fault.Code
	}{
		"the file is deleted": {func(f *fixture, id string) {
			f.post("/delete-dataset-file", `{"dataset_id":"`+id+`","file_name":"f000.parquet"}`)
		}, http.StatusNotFound, fault.CodeFileNotFound},
		"the file is replaced": {func(f *fixture, id string) {
			f.post("/delete-dataset-file", `{"dataset_id":"`+id+`","file_name":"f000.parquet"}`)
			f.upload("/upload-to-dataset", id, "f000.parquet", parquet(f.t))
		}, http.StatusNotFound, fault.CodeFileNotFound},
		"nothing happens": {func(*fixture, string) {}, http.StatusInternalServerError, fault.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id := f.filled(1)
			f.objects.opened = func() {
				f.objects.opened = nil
				test.meanwhile(f, id)
				f.objects.mu.Lock()
				defer f.objects.mu.Unlock()
				f.objects.getErr = forbidden
			}
			w := f.download(id, "stream")
			var answer map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if w.Code != test.status || answer["code"] != string(test.code) {
				t.Errorf("%d %v, want %d %s", w.Code, answer, test.status, test.code)
			}
		})
	}
}

// TestURLsOfSeveralFiles asks for URLs by the list.
func TestURLsOfSeveralFiles(t *testing.T) {
	f := newFixture(t)
	id := f.filled(3)
	ask := func(more string) (int, map[string]any) {
		return f.post("/download-from-dataset", `{"dataset_id": "`+id+`", `+more+`}`)
	}
	status, got := ask(`"delivery": "url", "file_names": ["f002.parquet", "f000.parquet", "f002.parquet"]`)
	files, _ := got["files"].([]any)
	if status != http.StatusOK || len(files) != 3 {
		t.Fatalf("%d %v", status, got)
	}
	for i, name := range []string{"f002.parquet", "f000.parquet", "f002.parquet"} {
		_, one := ask(`"delivery": "url", "file_name": "` + name + `"`)
		one["file_name"] = name
		row := files[i].(map[string]any)
		delete(one, "expires_at") // a second may have passed
		for field, want := range one {
			if row[field] != want {
				t.Errorf("%s of %s is %v, want %v", field, name, row[field], want)
			}
		}
		if row["expires_at"] == nil {
			t.Errorf("%v has no end", row)
		}
	}
	status, got = ask(`"delivery": "url", "file_names": ["f001.parquet", "none.parquet"]`)
	if status != http.StatusNotFound || got["code"] != "file_not_found" || got["file_name"] != "none.parquet" || got["files"] != nil {
		t.Errorf("with a missing one %d %v", status, got)
	}
	many := strings.Repeat(`"f000.parquet",`, dataset.MostURLs)
	for what, more := range map[string]string{
		"none":              `"delivery": "url", "file_names": []`,
		"too many":          `"delivery": "url", "file_names": [` + many + `"f000.parquet"]`,
		"not a list":        `"delivery": "url", "file_names": "f000.parquet"`,
		"null":              `"delivery": "url", "file_names": null`,
		"null in it":        `"delivery": "url", "file_names": [null]`,
		"their bytes":       `"file_names": ["f000.parquet"]`,
		"a redirect":        `"delivery": "redirect", "file_names": ["f000.parquet"]`,
		"one besides":       `"delivery": "url", "file_names": ["f000.parquet"], "file_name": "f001.parquet"`,
		"numbers for names": `"delivery": "url", "file_names": [1]`,
	} {
		if status, got := ask(more); status != http.StatusBadRequest || got["code"] != "invalid_request" {
			t.Errorf("%s: %d %v", what, status, got)
		}
	}
	if status, got := ask(`"delivery": "url", "file_names": [` + strings.TrimSuffix(many, ",") + `]`); status != http.StatusOK {
		t.Errorf("as many as may be: %d %v", status, got)
	}
}
