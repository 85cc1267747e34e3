package lambdahttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// invoke passes an event through an adapter, as JSON on both sides.
func invoke(t *testing.T, handler http.HandlerFunc, event map[string]any) events.APIGatewayProxyResponse {
	t.Helper()
	answer, _ := invokeLogged(t, t.Context(), handler, event)
	return answer
}

func invokeLogged(t *testing.T, ctx context.Context, handler http.HandlerFunc, event map[string]any) (events.APIGatewayProxyResponse, string) {
	t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	answer, err := newAdapter(handler, slog.New(LogHandler(slog.NewJSONHandler(&log, nil)))).Invoke(ctx, payload)
	if err != nil {
		t.Fatalf("Invoke: %v", err)
	}
	if len(answer) > 6<<20 {
		t.Fatalf("the answer has %d bytes, which Lambda refuses", len(answer))
	}
	var decoded events.APIGatewayProxyResponse
	if err := json.Unmarshal(answer, &decoded); err != nil {
		t.Fatalf("the answer is not JSON: %v", err)
	}
	return decoded, log.String()
}

func bodyOf(t *testing.T, answer events.APIGatewayProxyResponse) string {
	t.Helper()
	if !answer.IsBase64Encoded {
		return answer.Body
	}
	body, err := base64.StdEncoding.DecodeString(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestRequest(t *testing.T) {
	type seen struct {
		method, path, rawPath, host, remote string
		query                               url.Values
		header                              http.Header
		length                              int64
		body                                string
	}
	tests := map[string]struct {
		event map[string]any
		want  seen
	}{
		"binary body": {
			map[string]any{"httpMethod": "POST", "path": "/upload-to-dataset", "body": base64.StdEncoding.EncodeToString([]byte("PAR1\x00\xff")), "isBase64Encoded": true},
			seen{method: "POST", path: "/upload-to-dataset", length: 6, body: "PAR1\x00\xff"},
		},
		"plain body": {
			map[string]any{"httpMethod": "POST", "path": "/x", "body": `{"a":"ü"}`},
			seen{method: "POST", path: "/x", length: 10, body: `{"a":"ü"}`},
		},
		"a Content-Type and no body": {
			map[string]any{"httpMethod": "POST", "path": "/x", "body": nil, "isBase64Encoded": false,
				"multiValueHeaders": map[string]any{"content-type": []string{"application/json"}}},
			seen{method: "POST", path: "/x", header: http.Header{"Content-Type": {"application/json"}}},
		},
		"headers in any case, with several values": {
			map[string]any{"httpMethod": "GET", "path": "/x",
				"headers":           map[string]any{"accept": "b"},
				"multiValueHeaders": map[string]any{"accept": []string{"a", "b"}, "IDEMPOTENCY-KEY": []string{"k"}, "host": []string{"api.example"}}},
			seen{method: "GET", path: "/x", host: "api.example", header: http.Header{"Accept": {"a", "b"}, "Idempotency-Key": {"k"}}},
		},
		"single-value headers alone": {
			map[string]any{"httpMethod": "GET", "path": "/x", "headers": map[string]any{"authorization": "Key k"}},
			seen{method: "GET", path: "/x", header: http.Header{"Authorization": {"Key k"}}},
		},
		"a query with several values and characters that need escaping": {
			map[string]any{"httpMethod": "GET", "path": "/x",
				"queryStringParameters":           map[string]any{"a": "2", "b c": "&=%"},
				"multiValueQueryStringParameters": map[string]any{"a": []string{"1", "2"}, "b c": []string{"&=%"}}},
			seen{method: "GET", path: "/x", query: url.Values{"a": {"1", "2"}, "b c": {"&=%"}}},
		},
		"percent-encoding in the path": {
			map[string]any{"httpMethod": "GET", "path": "/x/a%2Fb%20c"},
			seen{method: "GET", path: "/x/a/b c", rawPath: "/x/a%2Fb%20c"},
		},
		"two slashes": {
			map[string]any{"httpMethod": "GET", "path": "//create-stage"},
			seen{method: "GET", path: "//create-stage"},
		},
		"the base path of a custom domain": {
			map[string]any{"httpMethod": "GET", "path": "/v1/sdk/get-quotas", "resource": "/sdk/get-quotas"},
			seen{method: "GET", path: "/sdk/get-quotas"},
		},
		"a resource with a variable": {
			map[string]any{"httpMethod": "GET", "path": "/a/b", "resource": "/{proxy+}"},
			seen{method: "GET", path: "/a/b"},
		},
		"the sender's address": {
			map[string]any{"httpMethod": "GET", "path": "/x", "requestContext": map[string]any{
				"domainName": "id.execute-api.eu-west-1.amazonaws.com", "stage": "Prod", "identity": map[string]any{"sourceIp": "192.0.2.1"}}},
			seen{method: "GET", path: "/x", host: "id.execute-api.eu-west-1.amazonaws.com", remote: "192.0.2.1"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got seen
			answer := invoke(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got = seen{r.Method, r.URL.Path, r.URL.RawPath, r.Host, r.RemoteAddr, r.URL.Query(), r.Header, r.ContentLength, string(body)}
				w.WriteHeader(http.StatusNoContent)
			}, test.event)
			if answer.StatusCode != http.StatusNoContent {
				t.Fatalf("status %d, body %s", answer.StatusCode, answer.Body)
			}
			if test.want.query == nil {
				test.want.query = url.Values{}
			}
			if test.want.header == nil {
				test.want.header = http.Header{}
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestUnreadableRequest(t *testing.T) {
	for name, event := range map[string]map[string]any{
		"base64": {"httpMethod": "POST", "path": "/x", "body": "%%%", "isBase64Encoded": true},
		"path":   {"httpMethod": "GET", "path": "/%zz"},
		"method": {"httpMethod": "G T", "path": "/x"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := invoke(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }, event)
			checkError(t, answer, http.StatusBadRequest, "invalid_request")
		})
	}
}

func TestNotAnEvent(t *testing.T) {
	for _, payload := range []string{``, `[]`, `{"Records":[]}`, `{"version":"2.0","rawPath":"/x"}`} {
		if answer, err := newAdapter(http.NotFoundHandler(), slog.Default()).Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%q: answered %s", payload, answer)
		}
	}
}

func TestAnswer(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, `{"files":[]}`)
	z.Close()
	long := `"` + strings.Repeat("<\n", maxText/2) + `"`

	tests := map[string]struct {
		handler http.HandlerFunc
		status  int
		body    string
		binary  bool
		header  http.Header
	}{
		"json": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"a":"<&>ü\u0000"}`)
			},
			200, `{"a":"<&>ü\u0000"}`, false, http.Header{"Content-Type": {"application/json"}},
		},
		"long json": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, long)
			},
			200, long, true, http.Header{"Content-Type": {"application/json"}},
		},
		"octets that happen to be text": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Header().Set("Content-Length", "4")
				io.WriteString(w, "PAR1")
			},
			200, "PAR1", true, http.Header{"Content-Type": {"application/octet-stream"}},
		},
		"json that is no text": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Write([]byte("\xff\xfe"))
			},
			200, "\xff\xfe", true, http.Header{"Content-Type": {"application/json"}},
		},
		"compressed": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(zipped.Bytes())
			},
			200, zipped.String(), true, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}},
		},
		"nothing at all": {
			func(http.ResponseWriter, *http.Request) {}, 200, "", false, http.Header{},
		},
		"a redirect": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Add("Location", "https://s3.example/?a=1&b=2")
				w.WriteHeader(http.StatusSeeOther)
			},
			303, "", false, http.Header{"Location": {"https://s3.example/?a=1&b=2"}},
		},
		"the first status counts, and headers before it": {
			func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Set("X-A", "1")
				w.WriteHeader(http.StatusConflict)
				w.Header().Set("X-A", "2")
				w.WriteHeader(http.StatusOK)
			},
			409, "", false, http.Header{"X-A": {"1"}},
		},
		"several values of a header": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Vary"] = []string{"A", "B"}
				w.(http.Flusher).Flush()
			},
			200, "", false, http.Header{"Vary": {"A", "B"}},
		},
		"a type is found for a body that has none": {
			func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
			200, "hello", false, http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
		},
		"headers that are the gateway's": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Connection", "close")
				w.Header().Set("Date", "now")
				w.WriteHeader(http.StatusOK)
			},
			200, "", false, http.Header{},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := invoke(t, test.handler, map[string]any{"httpMethod": "POST", "path": "/x"})
			if answer.StatusCode != test.status || bodyOf(t, answer) != test.body || answer.IsBase64Encoded != test.binary {
				t.Errorf("status %d, body %.60q (%d bytes), base64 %v", answer.StatusCode, bodyOf(t, answer), len(bodyOf(t, answer)), answer.IsBase64Encoded)
			}
			if got := http.Header(answer.MultiValueHeaders); !reflect.DeepEqual(got, test.header) {
				t.Errorf("header %v, want %v", got, test.header)
			}
		})
	}
}

func TestHead(t *testing.T) {
	answer := invoke(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "PAR1")
	}, map[string]any{"httpMethod": "HEAD", "path": "/x"})
	if answer.StatusCode != 200 || answer.Body != "" {
		t.Errorf("status %d, body %q", answer.StatusCode, answer.Body)
	}
}

// The largest answers that are allowed fit into what Lambda carries, whatever
// is in them; invoke checks that.
func TestLargestAnswer(t *testing.T) {
	for name, body := range map[string][]byte{
		"binary":         bytes.Repeat([]byte{0xff}, MaxBody),
		"longest binary": bytes.Repeat([]byte{0}, MaxBody),
		"text":           bytes.Repeat([]byte{0}, maxText),
	} {
		for _, kind := range []string{"application/octet-stream", "application/json"} {
			t.Run(name+" as "+kind, func(t *testing.T) {
				answer := invoke(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", kind)
					for chunk := range chunks(body) {
						w.Write(chunk)
					}
				}, map[string]any{"httpMethod": "POST", "path": "/x"})
				if got := bodyOf(t, answer); answer.StatusCode != 200 || got != string(body) {
					t.Errorf("status %d, %d bytes", answer.StatusCode, len(got))
				}
			})
		}
	}
}

func chunks(body []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(body) > 0 {
			n := min(len(body), 32<<10)
			if !yield(body[:n]) {
				return
			}
			body = body[n:]
		}
	}
}

func TestBrokenAnswers(t *testing.T) {
	tests := map[string]struct {
		handler http.HandlerFunc
		logged  string
	}{
		"too large": {
			func(w http.ResponseWriter, r *http.Request) {
				if _, err := w.Write(make([]byte, MaxBody)); err != nil {
					t.Error(err)
				}
				if _, err := w.Write([]byte{1}); err == nil {
					t.Error("Write beyond the limit gave no error")
				}
			},
			"too large",
		},
		"shorter than promised": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "100")
				io.WriteString(w, "half")
			},
			"ended after 4 of 100 bytes",
		},
		"nothing of what was promised": {
			func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "100") },
			"ended after 0 of 100 bytes",
		},
		"given up": {
			func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "half")
				panic(http.ErrAbortHandler)
			},
			"abort",
		},
		"a panic": {
			func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "half")
				panic("the reason")
			},
			"the reason",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "invocation-1"})
			answer, log := invokeLogged(t, ctx, test.handler, map[string]any{"httpMethod": "POST", "path": "/x", "requestContext": map[string]any{"requestId": "request-1"}})
			checkError(t, answer, http.StatusInternalServerError, "internal")
			for _, want := range []string{test.logged, "request-1", "invocation-1"} {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q: %s", want, log)
				}
			}
			if strings.Contains(answer.Body, "half") || strings.Contains(answer.Body, "reason") {
				t.Errorf("the answer tells too much: %s", answer.Body)
			}
		})
	}
}

// checkError checks an error of the adapter itself: the shape of every
// endpoint's errors.
func checkError(t *testing.T, answer events.APIGatewayProxyResponse, status int, code string) {
	t.Helper()
	var body struct{ Error, Message, Code, Hint string }
	if err := json.Unmarshal([]byte(answer.Body), &body); err != nil {
		t.Fatalf("body %q: %v", answer.Body, err)
	}
	if answer.StatusCode != status || body.Code != code || body.Error == "" || body.Message != body.Error || body.Hint == "" {
		t.Errorf("status %d, body %s", answer.StatusCode, answer.Body)
	}
	if kind := http.Header(answer.MultiValueHeaders).Get("Content-Type"); kind != "application/json" {
		t.Errorf("Content-Type %q", kind)
	}
}

func TestContextEndsBeforeLambdaDoes(t *testing.T) {
	deadline := time.Now().Add(time.Minute)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	invokeLogged(t, ctx, func(w http.ResponseWriter, r *http.Request) {
		if got, ok := r.Context().Deadline(); !ok || !got.Before(deadline) {
			t.Errorf("deadline %v, want one before %v", got, deadline)
		}
	}, map[string]any{"httpMethod": "GET", "path": "/x"})
}

func TestRequestID(t *testing.T) {
	invoke(t, func(w http.ResponseWriter, r *http.Request) {
		if got := RequestID(r); got != "request-1" {
			t.Errorf("RequestID %q", got)
		}
	}, map[string]any{"httpMethod": "GET", "path": "/x", "requestContext": map[string]any{"requestId": "request-1"}})
}
