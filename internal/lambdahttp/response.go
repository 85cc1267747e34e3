package lambdahttp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// MaxBody is the largest body of an answer. Lambda carries 6 MB of JSON, in
// which a body takes up to a third more than its own size, and headers take
// their part.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const MaxBody = 4_400_000

// errTooLarge is what a handler gets from Write once its answer cannot be sent
// any more.
var errTooLarge = errors.New("lambdahttp: the answer is larger than Lambda carries")

// response collects an answer in memory.
type response struct {
	header http.Header // as the handler changes it
	sent   http.Header // as it was when the status was written
	status int         // 0 until then
	body   bytes.Buffer
	over   bool // more was written than can be sent
	noBody bool // the answer describes a body that it does not carry
}

func newResponse(method string) *response {
	return &response{header: make(http.Header), noBody: method == http.MethodHead}
}

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter. As with net/http, the first final
// status counts, and headers set after it do not.
func (r *response) WriteHeader(status int) {
	informational := status >= 100 && status < 200
	if r.status != 0 || informational {
		return
	}
	r.status = status
	r.sent = r.header.Clone()
}

// Write implements http.ResponseWriter.
func (r *response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.noBody {
		return len(p), nil
	}
	if r.over || r.body.Len()+len(p) > MaxBody {
		r.over = true
		return 0, errTooLarge
	}
	return r.body.Write(p)
}

// Flush implements http.Flusher. There is nobody to flush to before the end.
func (r *response) Flush() { r.WriteHeader(http.StatusOK) }

// missing says how much of the promised body was not written, or nil.
func (r *response) missing() error {
	if r.noBody {
		return nil
	}
	return missing(r.sent, int64(r.body.Len()))
}

// event is the answer as API Gateway takes it. It always has a status.
func (r *response) event() events.APIGatewayProxyResponse {
	r.WriteHeader(http.StatusOK)
	body := r.body.Bytes()
	if len(body) > 0 && r.sent.Get("Content-Type") == "" {
		r.sent.Set("Content-Type", http.DetectContentType(body))
	}
	// API Gateway computes these itself, and renames what it is given.
	for _, name := range []string{"Connection", "Content-Length", "Date", "Transfer-Encoding"} {
		r.sent.Del(name)
	}
	answer := events.APIGatewayProxyResponse{StatusCode: r.status, MultiValueHeaders: r.sent}
	if isText(r.sent, body) {
		answer.Body = string(body)
	} else {
		answer.Body = base64.StdEncoding.EncodeToString(body)
		answer.IsBase64Encoded = true
	}
	return answer
}

// maxText is the longest body that is sent as a JSON string, in which a
// character takes up to six bytes.
const maxText = MaxBody / 5

// isText reports whether a body can be sent as a JSON string, which is what
// people can read in logs. Everything else is sent as base64; API Gateway decodes
// that for any type, because the template declares every media type as binary.
func isText(header http.Header, body []byte) bool {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	text := mediaType == "application/json" || strings.HasPrefix(mediaType, "text/")
	return len(body) == 0 ||
		text && len(body) <= maxText && header.Get("Content-Encoding") == "" && utf8.Valid(body)
}
