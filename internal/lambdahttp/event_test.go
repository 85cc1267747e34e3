package lambdahttp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// large is a body that is taken out of its event.
func large(t testing.TB) (body []byte, encoded string) {
	t.Helper()
	body = bytes.Repeat([]byte("PAR1\x00\xff\xfb"), largeBody/6)
	return body, base64.StdEncoding.EncodeToString(body)
}

func TestLargeBody(t *testing.T) {
	want, encoded := large(t)
	var whole string
	for name, payload := range map[string]string{
		"first":                            `{"body":"` + encoded + `","isBase64Encoded":true,"httpMethod":"POST","path":"/x"}`,
		"last, with white space":           "{ \"httpMethod\" : \"POST\",\n\"path\":\"/x\", \"isBase64Encoded\":true, \"body\" :\t\"" + encoded + "\" }\n",
		"beside others":                    `{"httpMethod":"POST","path":"/x","multiValueHeaders":{"body":["a\"body\":\"b"],"x":["\\"]},"requestContext":{"authorizer":{"body":"c"}},"isBase64Encoded":true,"body":"` + encoded + `"}`,
		"after a large one that is not it": `{"httpMethod":"POST","path":"/x","isBase64Encoded":true,"requestContext":{"authorizer":{"body":"` + strings.Repeat("UEFS", largeBody/4) + `"}},"body":"` + encoded + `"}`,
		"after a value of its name":        `{"httpMethod":"POST","resource":"body","path":"/x","body":"` + encoded + `","isBase64Encoded":true}`,
		"with escapes":                     `{"httpMethod":"POST","path":"/x","isBase64Encoded":true,"body":"` + strings.ReplaceAll(encoded, "/", `\/`) + `"}`,
		"as text":                          `{"httpMethod":"POST","path":"/x","isBase64Encoded":false,"body":"` + encoded + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.ContentLength != int64(len(body)) {
					t.Errorf("%d of %d bytes, %v", len(body), r.ContentLength, err)
				}
				whole = string(body)
			})
			before := strings.Clone(payload)
			if _, err := newAdapter(handler, slog.Default()).Invoke(t.Context(), []byte(payload)); err != nil {
				t.Fatal(err)
			}
			if name == "as text" && whole != encoded || name != "as text" && whole != string(want) {
				t.Errorf("the handler read %d bytes, want %d", len(whole), len(want))
			}
			if payload != before {
				t.Error("the payload was changed")
			}
		})
	}
}

func TestLargeBodyThatIsNotBase64(t *testing.T) {
	answer := invoke(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") },
		map[string]any{"httpMethod": "POST", "path": "/x", "isBase64Encoded": true, "body": strings.Repeat("%", 2*largeBody)})
	checkError(t, answer, http.StatusBadRequest, "invalid_request")
}

// FuzzReadEvent compares with what encoding/json reads. Of what is not JSON, or
// has two members called body, it wants no more than an end: API Gateway sends
// neither.
func FuzzReadEvent(f *testing.F) {
	f.Add(`"isBase64Encoded":true,`, "UEFS", `,"path":"/x"`)
	f.Add(`"headers":{"body":"x"},"a":"\\","isBase64Encoded":true,`, `UEFS\/\u0041`, ``)
	f.Add(`"resource":"body","isBase64Encoded":true,"b":[{"c":"]}"}],`, "", `,"body":"second"`)
	f.Fuzz(func(t *testing.T, before, body, after string) {
		payload := []byte(`{"httpMethod":"POST",` + before + `"body":"` + strings.Repeat("UEFS", largeBody/4) + body + `"` + after + `}`)
		got, err := readEvent(payload)
		var want events.APIGatewayProxyRequest
		if wantErr := json.Unmarshal(payload, &want); wantErr != nil || bodies(payload) != 1 {
			return
		}
		if (err != nil) != (want.HTTPMethod == "") {
			t.Fatalf("httpMethod %q: %v", want.HTTPMethod, err)
		}
		if err != nil {
			return
		}
		if got.taken != nil {
			decoded, err := base64.StdEncoding.DecodeString(want.Body)
			if err != nil || !bytes.Equal(decoded, got.taken) {
				t.Fatalf("took %d bytes, want %d, %v", len(got.taken), len(decoded), err)
			}
		}
		got.Body, want.Body = "", ""
		if !reflect.DeepEqual(got.APIGatewayProxyRequest, want) {
			t.Fatalf("got %+v, want %+v", got.APIGatewayProxyRequest, want)
		}
	})
}

// bodies counts the members of an object that encoding/json takes for its body.
func bodies(object []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token() // {
	for d.More() {
		name, _ := d.Token()
		if text, ok := name.(string); ok && strings.EqualFold(text, "body") {
			n++
		}
		var value json.RawMessage
		_ = d.Decode(&value)
	}
	return n
}

// BenchmarkUpload measures what an upload of 4.4 MB costs before its bytes are
// looked at, against encoding/json reading the event, in one run.
func BenchmarkUpload(b *testing.B) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "a.parquet")
	if err != nil {
		b.Fatal(err)
	}
	part.Write(make([]byte, 4_400_000))
	w.Close()
	payload, err := json.Marshal(events.APIGatewayProxyRequest{
		HTTPMethod: "POST", Path: "/x", IsBase64Encoded: true, Body: base64.StdEncoding.EncodeToString(form.Bytes()),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("direct", func(b *testing.B) {
		for b.Loop() {
			event, err := readEvent(payload)
			if err != nil || len(event.taken) != form.Len() {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		for b.Loop() {
			var event events.APIGatewayProxyRequest
			if err := json.Unmarshal(payload, &event); err != nil {
				b.Fatal(err)
			}
			if body, err := base64.StdEncoding.DecodeString(event.Body); err != nil || len(body) != form.Len() {
				b.Fatal(err)
			}
		}
	})
}
