package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// opened is a streamed answer whose header was read as API Gateway reads it: a
// JSON object, eight zero bytes, and then the body as it is.
type opened struct {
	StatusCode        int
	MultiValueHeaders http.Header
	body              io.Reader
	close             func() error
	log               *bytes.Buffer
}

// maxPrelude is how far API Gateway looks for the end of the header.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
const maxPrelude = 16 << 10

func open(t *testing.T, ctx context.Context, handler http.HandlerFunc, event events.APIGatewayProxyRequest) *opened {
	t.Helper()
	o := &opened{log: new(bytes.Buffer)}
	answer, err := newAdapter(handler, slog.New(slog.NewJSONHandler(o.log, nil))).stream(ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	var prelude []byte
	for one := make([]byte, 1); !bytes.HasSuffix(prelude, make([]byte, 8)); prelude = append(prelude, one...) {
		if _, err := io.ReadFull(answer, one); err != nil || len(prelude) > maxPrelude {
			t.Fatalf("after %.300q: %v", prelude, err)
		}
	}
	if err := json.Unmarshal(prelude[:len(prelude)-8], o); err != nil {
		t.Fatalf("the header %q: %v", prelude, err)
	}
	o.body, o.close = answer, answer.Close
	return o
}

// post is a request.
func post(path string) events.APIGatewayProxyRequest {
	return events.APIGatewayProxyRequest{HTTPMethod: "POST", Path: path, RequestContext: events.APIGatewayProxyRequestContext{RequestID: "request-1"}}
}

func TestStream(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		status  int
		body    string
		header  http.Header
	}{
		"octets, among them eight zeros": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "13")
				w.Header().Set("Content-Type", "application/octet-stream")
				io.WriteString(w, "PAR1")
				w.(http.Flusher).Flush()
				io.WriteString(w, "\x00\x00\x00\x00\x00\x00\x00\x00\xff")
			},
			200, "PAR1\x00\x00\x00\x00\x00\x00\x00\x00\xff", http.Header{"Content-Length": {"13"}, "Content-Type": {"application/octet-stream"}},
		},
		"an error of the handler's own": {
			func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.Header()["Vary"] = []string{"A", "B"}
				w.Header().Set("Connection", "close")
				w.WriteHeader(http.StatusConflict)
				w.Header().Set("X-Late", "1")
				w.WriteHeader(http.StatusOK)
				io.WriteString(w, `{"code":"conflict"}`)
			},
			409, `{"code":"conflict"}`, http.Header{"Vary": {"A", "B"}},
		},
		"nothing": {func(http.ResponseWriter, *http.Request) {}, 200, "", nil},
		"what was sent": {
			func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, 200, "sent", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			event := post("/x")
			event.Body, event.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte("sent")), true
			o := open(t, t.Context(), test.handler, event)
			body, err := io.ReadAll(o.body)
			if err != nil || o.StatusCode != test.status || string(body) != test.body || !reflect.DeepEqual(o.MultiValueHeaders, test.header) {
				t.Errorf("status %d, header %v, body %q, %v", o.StatusCode, o.MultiValueHeaders, body, err)
			}
			if err := o.close(); err != nil || o.log.Len() != 0 {
				t.Errorf("%v, logged %s", err, o.log)
			}
		})
	}
}

// Each byte can be read before the next one is written, and nothing is held.
func TestStreamPassesOnWhatThereIs(t *testing.T) {
	more := make(chan string)
	o := open(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK) // which can be read before there is a body
		for text := range more {
			io.WriteString(w, text)
		}
	}, post("/x"))
	for range 3 {
		more <- "chunk"
		got := make([]byte, len("chunk"))
		if _, err := io.ReadFull(o.body, got); err != nil || string(got) != "chunk" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	close(more)
	if rest, err := io.ReadAll(o.body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	if err := o.close(); err != nil {
		t.Error(err)
	}
}

// An answer that breaks off never reads like a whole one, and what failed is in
// the log and nowhere else.
func TestBrokenStreams(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		logged  string
		begun   bool // the status was on its way
	}{
		"a panic before the status":  {func(http.ResponseWriter, *http.Request) { panic("the reason") }, "the reason", false},
		"given up before the status": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "abort", false},
		"a panic midway": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			panic("the reason")
		}, "the reason", true},
		"given up midway": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}, "abort", true},
		"shorter than promised": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
		}, "ended after 4 of 100 bytes", true},
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, t.Context(), test.handler, post("/x"))
			body, err := io.ReadAll(o.body)
			if err := o.close(); err != nil {
				t.Error(err)
			}
			for _, want := range []string{test.logged, "request-1"} {
				if !strings.Contains(o.log.String(), want) {
					t.Errorf("the log lacks %q: %s", want, o.log)
				}
			}
			if test.begun {
				if err == nil || strings.Contains(err.Error(), test.logged) || string(body) != "half" {
					t.Errorf("reads %q, %v", body, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkError(t, events.APIGatewayProxyResponse{StatusCode: o.StatusCode, MultiValueHeaders: o.MultiValueHeaders, Body: string(body)},
				http.StatusInternalServerError, "internal")
			if strings.Contains(string(body), "reason") {
				t.Errorf("the answer tells too much: %s", body)
			}
		})
	}
}

// When nobody reads on, the handler ends before the next request begins.
func TestStreamThatIsClosed(t *testing.T) {
	ended := false
	var cause error
	o := open(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		for cause == nil {
			_, cause = w.Write(make([]byte, 1000))
		}
		<-r.Context().Done()
		time.Sleep(10 * time.Millisecond)
		ended = true
	}, post("/x"))
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	if !ended || cause == nil {
		t.Errorf("the handler ended: %v, its write failed with %v", ended, cause)
	}
}

func TestUnreadableRequestToAStream(t *testing.T) {
	event := post("/x")
	event.Body, event.IsBase64Encoded = "%%%", true
	o := open(t, t.Context(), func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }, event)
	body, err := io.ReadAll(o.body)
	if err != nil {
		t.Fatal(err)
	}
	checkError(t, events.APIGatewayProxyResponse{StatusCode: o.StatusCode, MultiValueHeaders: o.MultiValueHeaders, Body: string(body)},
		http.StatusBadRequest, "invalid_request")
	if answer, err := newAdapter(http.NotFoundHandler(), slog.Default()).stream(t.Context(), events.APIGatewayProxyRequest{}); err == nil {
		t.Errorf("what is no request is answered %v", answer)
	}
}

func TestStreamEndsBeforeLambdaDoes(t *testing.T) {
	deadline := time.Now().Add(time.Minute)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	o := open(t, ctx, func(w http.ResponseWriter, r *http.Request) {
		if got, ok := r.Context().Deadline(); !ok || !got.Before(deadline) || r.Context().Err() != nil {
			t.Errorf("deadline %v, want one before %v", got, deadline)
		}
	}, post("/x"))
	if err := o.close(); err != nil {
		t.Error(err)
	}
}
