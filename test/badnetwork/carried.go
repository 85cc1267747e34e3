package badnetwork

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// bodyLimit bounds what is held in memory: a request to the API, or a part.
const bodyLimit = 64 << 20

// carried is one request on its way.
type carried struct {
	*Network
	w      http.ResponseWriter
	r      *http.Request
	host   string // where it goes
	path   string // with the query
	object string // of the store, or ""
	age    int64  // of the object's URL
	fault  string
	where  float64
	count  Count
}

// outcome is how a request ended.
type outcome int

const (
	done    outcome = iota // answered as the server answers
	refused                // answered with something else
	broken                 // not answered, or not to the end
)

func (c *carried) carry() outcome {
	toStore := c.object != ""
	what := c.path
	if toStore {
		what = c.object // whose URLs may differ
	}
	if seconds, really := c.putOff(what, toStore); really {
		c.fault = unavailable
		return c.refuse(seconds)
	}
	early := c.where < 0.5 // answered before the body was read
	switch c.fault {
	case drop:
		return broken
	case tooMany, internal, badGateway, unavailable:
		if early {
			return c.refuse(int(c.where*1000) % 2)
		}
	}
	expired := toStore && c.age < c.Network.age()
	if expired && early {
		return c.tooLate()
	}
	if !c.reachable() {
		return broken // before a byte was sent in vain
	}
	var body bytes.Buffer
	limit := int64(bodyLimit)
	if c.fault == cutRequest {
		limit = int64(c.where * float64(max(c.r.ContentLength, 0)))
	}
	read, err := io.Copy(&body, io.LimitReader(c.pace.reader(c.closed, c.r.Body), limit))
	if toStore {
		c.count.Sent = read
	}
	switch {
	case err != nil, c.fault == cutRequest:
		c.forwardPart(body.Bytes())
		return broken
	case expired:
		return c.tooLate()
	}
	switch c.fault {
	case tooMany, internal, badGateway, unavailable:
		return c.refuse(int(c.where*1000) % 2)
	case delay:
		c.sleep(time.Duration(c.where * float64(300*time.Millisecond)))
	case repeat:
		if answer, err := c.forward(body.Bytes()); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
	}
	answer, err := c.forward(body.Bytes())
	if err != nil {
		return broken
	}
	defer answer.Body.Close()
	switch {
	case c.fault == loseAnswer:
		_, _ = io.Copy(io.Discard, answer.Body)
		return broken
	case toStore:
		return c.answerStore(answer)
	}
	return c.answerAPI(answer)
}

// reachable reports whether anybody listens where the request goes.
func (c *carried) reachable() bool {
	connection, err := net.DialTimeout("tcp", c.host, time.Second)
	if err == nil {
		_ = connection.Close()
	}
	return err == nil
}

// forward sends the request on.
func (c *carried) forward(body []byte) (*http.Response, error) {
	return c.send(bytes.NewReader(body), int64(len(body)))
}

// forwardPart sends on what came of a request, and breaks off.
func (c *carried) forwardPart(body []byte) {
	if c.r.ContentLength <= int64(len(body)) {
		return
	}
	if answer, err := c.send(io.MultiReader(bytes.NewReader(body), breaking{}), c.r.ContentLength); err == nil {
		answer.Body.Close()
	}
}

// breaking is the end of what breaks off.
type breaking struct{}

// Read implements io.Reader.
func (breaking) Read([]byte) (int, error) { return 0, errors.New("the connection breaks") }

func (c *carried) send(body io.Reader, length int64) (*http.Response, error) {
	if length == 0 {
		body = http.NoBody
	}
	r, err := http.NewRequestWithContext(c.closed, c.r.Method, "http://"+c.host+c.path, body)
	if err != nil {
		return nil, err
	}
	r.ContentLength, r.Header = length, c.r.Header.Clone()
	r.Header.Del("Connection")
	r.Header.Del("Accept-Encoding") // the answer is to be read here
	return c.transport.RoundTrip(r)
}

var storeURL = regexp.MustCompile(`("url":"http://)([0-9.:]+)/`)

// answerAPI puts this network into the answer's URLs.
func (c *carried) answerAPI(answer *http.Response) outcome {
	text, err := io.ReadAll(io.LimitReader(answer.Body, bodyLimit))
	if err != nil {
		return broken
	}
	here := fmt.Sprintf("${1}%s%s%d/${2}/", strings.TrimPrefix(c.URL, "http://"), storePath, c.Network.age())
	text = storeURL.ReplaceAll(text, []byte(here))
	if c.fault == shortenAnswer && answer.StatusCode == http.StatusOK {
		text = text[:int(c.where*float64(len(text)))]
	}
	answer.Body, answer.ContentLength, answer.TransferEncoding = io.NopCloser(bytes.NewReader(text)), int64(len(text)), nil
	answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
	if c.fault == cutAnswer {
		return c.cut(answer)
	}
	c.head(answer)
	_, _ = c.w.Write(text)
	return done
}

// answerStore passes bytes on as they come.
func (c *carried) answerStore(answer *http.Response) outcome {
	if c.fault == cutAnswer {
		return c.cut(answer)
	}
	how := done
	if answer.StatusCode/100 != 2 {
		how = refused
	}
	body := io.Reader(answer.Body)
	if c.fault == shortenAnswer && answer.ContentLength > 0 {
		how = refused
		answer.ContentLength = int64(c.where * float64(answer.ContentLength))
		answer.Header.Set("Content-Length", strconv.FormatInt(answer.ContentLength, 10))
		body = io.LimitReader(body, answer.ContentLength)
	}
	c.head(answer)
	sent, err := io.Copy(c.w, c.pace.reader(c.closed, body))
	c.count.Got = sent
	if err != nil || answer.ContentLength > sent {
		return broken
	}
	return how
}

func (c *carried) head(answer *http.Response) {
	for name, values := range answer.Header {
		c.w.Header()[name] = values
	}
	c.w.WriteHeader(answer.StatusCode)
}

// cut breaks the connection off at some byte of the answer's header or body.
func (c *carried) cut(answer *http.Response) outcome {
	head, err := httputil.DumpResponse(answer, false)
	if err != nil {
		return broken
	}
	connection, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return broken
	}
	defer connection.Close()
	limit := int64(c.where * float64(int64(len(head))+max(answer.ContentLength, 0)))
	whole := io.MultiReader(bytes.NewReader(head), c.pace.reader(c.closed, answer.Body))
	sent, _ := io.Copy(connection, io.LimitReader(whole, limit))
	if c.object != "" {
		c.count.Got = max(0, sent-int64(len(head)))
	}
	return refused // there is no connection left to close
}

// refuse answers in the place of the server or the store.
func (c *carried) refuse(retryAfter int) outcome {
	status, _ := strconv.Atoi(c.fault)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		c.w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	switch {
	case status == http.StatusBadGateway:
		return c.say(status, "text/html", "<html>502 Bad Gateway</html>")
	case c.object == "": // as API Gateway says it
		return c.say(status, "application/json", fmt.Sprintf(`{"message":%q}`, http.StatusText(status)))
	}
	code := map[string]string{tooMany: "TooManyRequests", internal: "InternalError", unavailable: "SlowDown"}[c.fault]
	return c.say(status, "application/xml", fmt.Sprintf("<Error><Code>%s</Code><Message>injected</Message></Error>", code))
}

// tooLate answers as S3 does to a presigned URL whose time is over, or that of the
// credentials that it was signed with.
func (c *carried) tooLate() outcome {
	c.count.Expired = 1
	if int(c.where*1000)%2 == 0 {
		return c.say(http.StatusBadRequest, "application/xml", "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>")
	}
	return c.say(http.StatusForbidden, "application/xml", "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
}

func (c *carried) say(status int, contentType, text string) outcome {
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	c.w.WriteHeader(status)
	_, _ = io.WriteString(c.w, text)
	return refused
}

func (c *carried) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.closed.Done():
	}
}
