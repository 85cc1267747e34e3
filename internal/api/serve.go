package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// request is an http.Request whose route is known and whose sender has been
// identified.
type request struct {
	*http.Request
	dialect dialect
	who     keys.Principal
	dataset string // the dataset it is about, once that is known; for the log

	appended int // how many files it has appended; for metrics
}

// Served is a request that was answered, as far as it is measured.
type Served struct {
	Endpoint string
	Status   int
	Took     time.Duration
	BytesIn  int64 // of the body that were read
	BytesOut int64
	Appended int // files
}

// requestIDHeader carries the id that the log and the operator know a request by.
const requestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// WithRequestID gives requests made with the context an id, for callers that
// already have one.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// requestID is the id that the context has, or a new one. It is never the
// caller's to choose.
func requestID(ctx context.Context) string {
	if id, ok := ctx.Value(requestIDKey{}).(string); ok && id != "" {
		return id
	}
	return uuid.NewString()
}

// serve runs one request through its endpoint and logs it.
func (a *API) serve(w http.ResponseWriter, r *http.Request, found route) {
	start := time.Now()
	id := requestID(r.Context())
	body := &trackedBody{ReadCloser: r.Body, expected: r.ContentLength != 0}
	r.Body = body
	answer := &response{ResponseWriter: w, body: body}
	answer.Header().Set(requestIDHeader, id)
	a.allowOrigin(answer.Header())
	req := &request{Request: r, dialect: found.dialect}

	err := outOfTime(r.Context(), a.run(answer, req, found.endpoint))
	if err != nil && !answer.wrote {
		body.drain(r.Header)
		renderError(answer, req, err)
	}
	a.logRequest(req, found.endpoint, answer, id, time.Since(start), err)
	if err != nil && answer.broken {
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
}

// run checks the method, identifies the sender and calls the endpoint. A defect
// in an endpoint becomes an internal error.
func (a *API) run(w *response, r *request, e Endpoint) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = fault.Internal("serving "+e.Name, panicError{p})
			w.broken = w.wrote
		}
	}()
	if e.Methods != nil {
		if a.isPreflight(r.Request) {
			return preflight(w, e)
		}
		if !slices.Contains(e.Methods, r.Method) {
			allowed := strings.Join(e.Methods, ", ")
			w.Header().Set("Allow", allowed)
			return fault.Newf(fault.CodeMethodNotAllowed, "Send it with "+allowed+".", "/%s does not take %s.", e.Name, printableMethod(r.Method))
		}
		if r.who, err = a.Principal(r.Request); err != nil {
			return err
		}
	}
	err = e.serve(a, w, r)
	w.broken = err != nil && w.wrote
	return err
}

// outOfTime names the error of a request that failed because its sender left, or
// because its time was over: that is no defect, and is not called one. What fails
// in such a request fails in many ways, so the context tells.
func outOfTime(ctx context.Context, err error) error {
	switch {
	case err == nil || fault.CodeOf(err) != fault.CodeInternal:
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fault.New(fault.CodeIncompleteBody, "The connection was closed before the request was done.", "Send the whole request again.").Because(err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.New(fault.CodeUnavailable, "The request took too long.",
			"Look whether it was done all the same, and try again; an Idempotency-Key makes that safe.").Because(err)
	}
	return err
}

// printableMethod keeps an invented method out of the answer.
func printableMethod(method string) string {
	if len(method) > 16 {
		return "that method"
	}
	return method
}

// unknownRoute is what is served where there is none of the endpoints.
func unknownRoute(endpoints []Endpoint) Endpoint {
	return Endpoint{Name: "unknown", serve: func(*API, http.ResponseWriter, *request) error {
		var names []string
		for _, e := range endpoints {
			names = append(names, e.Name)
		}
		return fault.New(fault.CodeRouteNotFound, "There is no such endpoint.",
			"The endpoints are "+strings.Join(names, ", ")+"; check the base URL for a missing or doubled path.")
	}}
}

func (a *API) logRequest(r *request, e Endpoint, w *response, id string, took time.Duration, err error) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("request_id", id),
		slog.String("endpoint", e.Name),
		slog.Int("status", w.status),
		slog.Int64("bytes", w.bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000),
	}
	if r.who.Tenant != "" {
		attrs = append(attrs, slog.String("tenant", r.who.Tenant), slog.String("key_id", r.who.KeyID))
	}
	if r.dataset != "" {
		attrs = append(attrs, slog.String("dataset_id", r.dataset))
	}
	if err != nil {
		code := fault.CodeOf(err)
		attrs = append(attrs, slog.String("code", string(code)))
		if code == fault.CodeInternal || w.broken {
			level = slog.LevelError
			attrs = append(attrs, slog.String("error", err.Error()))
		}
	}
	if a.Measure != nil {
		attrs = append(attrs, a.Measure(Served{
			Endpoint: e.Name, Status: w.status, Took: took, BytesIn: w.body.read, BytesOut: w.bytes, Appended: r.appended,
		})...)
	}
	a.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

// response notes what was answered.
type response struct {
	http.ResponseWriter
	body   *trackedBody // of the request
	status int
	bytes  int64
	wrote  bool
	broken bool // an error came after the status was sent
}

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if !w.wrote {
		w.wrote, w.status = true, status
		if w.body.expected && !w.body.ended {
			// Or net/http would wait for the rest of the body before it answers.
			w.Header().Set("Connection", "close")
		}
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets a download use the connection's own way of copying.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	w.WriteHeader(http.StatusOK)
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

// Unwrap serves http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// panicError carries what a panic was called with to the log.
type panicError struct{ value any }

func (p panicError) Error() string {
	switch v := p.value.(type) {
	case error:
		return "panic: " + v.Error()
	case string:
		return "panic: " + v
	}
	return "panic"
}

// trackedBody knows how far a request's body was read.
type trackedBody struct {
	io.ReadCloser
	expected bool // the request says that it has one
	touched  bool // some of it was asked for
	ended    bool // it was read to its end, or can't be
	read     int64
}

// Read implements io.Reader.
func (b *trackedBody) Read(p []byte) (int, error) {
	b.touched = true
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	b.read += int64(n)
	return n, err
}

// How much of a refused body is read and thrown away, and for how long.
const (
	drainLimit = 64 << 20
	drainTime  = 10 * time.Second
)

// drain reads what a client is still sending, so that it gets to read the
// refusal: one that is cut off while it sends reports a broken connection
// instead. A client that waits for "100 Continue" is told without its body.
func (b *trackedBody) drain(h http.Header) {
	if b.ended || !b.expected || (!b.touched && h.Get("Expect") != "") {
		return
	}
	start, buffer := time.Now(), make([]byte, 64<<10)
	for read := 0; read < drainLimit && !b.ended && time.Since(start) < drainTime; {
		n, _ := b.Read(buffer)
		read += n
	}
}
