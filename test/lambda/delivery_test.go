package lambda_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// streams reports whether API Gateway streams a function's answers, which it
// does for all of its routes or for none.
func streams(t *testing.T, function string) bool {
	t.Helper()
	events, _ := functions(t)[function]["Events"].(object)
	streamed := 0
	for _, event := range events {
		if at(event, "Properties", "ResponseTransferMode") == "RESPONSE_STREAM" {
			streamed++
		}
	}
	if streamed != 0 && streamed != len(events) {
		t.Fatalf("%d of the %d routes of %s are streamed", streamed, len(events), function)
	}
	return streamed > 0
}

// readStream reads an answer in the form in which API Gateway streams it: the
// status and the headers as JSON, eight zero bytes, the body.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
func (a *answer) readStream(t *testing.T, stream io.Reader) {
	t.Helper()
	body := a.readHeader(t, stream)
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	a.Body = string(text)
}

// readHeader reads what comes before the body, and returns the rest.
func (a *answer) readHeader(t *testing.T, stream io.Reader) (body io.Reader) {
	t.Helper()
	if err := a.decodeHeader(stream); err != nil {
		t.Fatal(err)
	}
	return stream
}

func (a *answer) decodeHeader(stream io.Reader) error {
	const most = 16 << 10 // that API Gateway looks at for the end of the header
	var header []byte
	for one := make([]byte, 1); !bytes.HasSuffix(header, make([]byte, 8)); header = append(header, one...) {
		if _, err := io.ReadFull(stream, one); err != nil || len(header) > most {
			return fmt.Errorf("no header in %.500q: %w", header, err)
		}
	}
	if err := json.Unmarshal(header[:len(header)-8], a); err != nil {
		return fmt.Errorf("the header %q: %w", header, err)
	}
	return nil
}

// A function that streams is given the time that API Gateway gives it, so that
// it can say itself that it took too long.
func TestTimeouts(t *testing.T) {
	streaming := 0
	for name, function := range functions(t) {
		timeout, own := function["Timeout"].(int)
		if !streams(t, name) {
			if own && timeout > 28 && name != sweepName && name != ingestionName { // API Gateway waits for 29 s
				t.Errorf("%s may take %d s", name, timeout)
			}
			continue
		}
		streaming++
		for route, event := range function["Events"].(object) {
			if gateway, _ := at(event, "Properties", "TimeoutInMillis").(int); gateway <= 1000*timeout || gateway > 900_000 || timeout == 0 {
				t.Errorf("%s may take %d s, and API Gateway waits for %d ms at %s", name, timeout, gateway, route)
			}
		}
	}
	if streaming == 0 {
		t.Error("no function streams")
	}
}

// checkDelivery downloads what the steps before it have uploaded, in every way,
// and counts what each costs: one read of the table, and one of the bucket where
// the function sends the bytes itself.
func (d *deployment) checkDelivery(t *testing.T, s *stores, adapted func(function, name string) event) {
	const function = "download-from-dataset"
	atOnce, large := largeParquet(t, largestUpload), largeParquet(t, largeFile)
	bytesAnd := []string{"dynamodb:BatchGetItem", "s3:GetObject"}
	tag := ""
	for _, test := range []struct {
		name, file, how string
		header          []string // pairs
		status          int
		want            []byte // what comes in the end, redirected or not
		calls           []string
	}{
		{"as large as uploads get", "part-0004.parquet", "auto", nil, 200, atOnce, bytesAnd},
		{"larger", "part-0005.parquet", "auto", nil, 303, large, bytesAnd[:1]},
		{"a range of a larger one", "part-0005.parquet", "auto", []string{"Range", "bytes=-1000"}, 206, large[len(large)-1000:], bytesAnd},
		{"behind the end", "part-0005.parquet", "auto", []string{"Range", "bytes=99999999-"}, 416, nil, bytesAnd[:1]},
		{"redirected", "part-0004.parquet", "redirect", nil, 303, atOnce, bytesAnd[:1]},
		{"a range, redirected", "part-0004.parquet", "redirect", []string{"Range", "bytes=5-9"}, 303, atOnce[5:10], bytesAnd[:1]},
		{"a URL", "part-0004.parquet", "url", nil, 200, atOnce, bytesAnd[:1]},
		{"streamed", "part-0004.parquet", "stream", []string{"Range", "bytes=0-0"}, 206, atOnce[:1], bytesAnd},
		{"going on with the same file", "part-0004.parquet", "stream", []string{"Range", "bytes=1-2", "If-Range", "the tag"}, 206, atOnce[1:3], bytesAnd},
		{"going on with another file", "part-0004.parquet", "stream", []string{"Range", "bytes=1-2", "If-Range", `"other"`}, 200, atOnce, bytesAnd},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := adapted(function, "post")
			fields := strings.Replace(string(e.body(t)), "part-0001.parquet", test.file, 1)
			e.withBody([]byte(strings.Replace(fields, "}", fmt.Sprintf(`, "delivery": %q}`, test.how), 1)))
			for i := 0; i < len(test.header); i += 2 {
				e.withHeader(test.header[i], strings.Replace(test.header[i+1], "the tag", tag, 1))
			}
			s.calls.take(function)
			a := d.call(t, function, e)
			if made := s.calls.take(function); !slices.Equal(made, test.calls) {
				t.Errorf("it called %v, want %v", made, test.calls)
			}
			if a.StatusCode != test.status {
				t.Fatalf("status %d, body %.300s", a.StatusCode, a.Body)
			}
			got := a.bytes(t)
			switch {
			case test.how == "url":
				got = fetch(t, a.json(t)["url"].(string), test.header)
			case a.StatusCode == http.StatusSeeOther:
				got = fetch(t, a.MultiValueHeaders.Get("Location"), test.header)
			case a.StatusCode < 300:
				tag = a.MultiValueHeaders.Get("ETag")
			}
			if test.want != nil && !bytes.Equal(got, test.want) {
				t.Errorf("%d bytes came, want %d", len(got), len(test.want))
			}
		})
	}
}

// fetch does what a client does that follows a redirect: it sends the headers
// again, but for the key.
func fetch(t *testing.T, url string, header []string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 || response.Header.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("%s, header %v, %v", response.Status, response.Header, err)
	}
	return body
}
