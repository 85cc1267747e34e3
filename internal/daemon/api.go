package daemon

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// requestLimit bounds a request's body: a hundred thousand paths.
const requestLimit = 16 << 20

// bodyTime is how long a request's body may take to come.
const bodyTime = 30 * time.Second

// lineTime is how long a watcher may leave a line unread.
const lineTime = time.Minute

// handler is the API.
func (d *Daemon) handler(token string) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, serve func(*http.Request) (int, any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			status, answer, err := serve(r)
			if err != nil {
				writeError(w, err)
				return
			}
			writeJSON(w, status, answer)
		})
	}
	handle("GET /v1/status", d.getStatus)
	handle("GET /v1/transfers", func(*http.Request) (int, any, error) {
		return http.StatusOK, map[string]any{"transfers": d.list()}, nil
	})
	handle("POST /v1/transfers", d.postTransfer)
	handle("GET /v1/transfers/{id}", d.getTransfer)
	mux.HandleFunc("GET /v1/transfers/{id}/events", d.getEvents)
	handle("POST /v1/transfers/{id}/pause", d.postPause)
	handle("POST /v1/transfers/{id}/resume", d.postResume)
	handle("POST /v1/transfers/{id}/cancel", d.postCancel)
	handle("GET /v1/limits", func(*http.Request) (int, any, error) { return http.StatusOK, d.asked.Load(), nil })
	handle("PUT /v1/limits", d.putLimits)
	handle("POST /v1/stop", func(*http.Request) (int, any, error) {
		d.stop()
		return http.StatusOK, map[string]any{"stopping": true}, nil
	})
	mux.HandleFunc("POST /v1/api/{endpoint}", d.postAPI)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, fault.Newf(fault.CodeRouteNotFound, "docs/daemon.md lists the requests.", "There is no %.16s %.128s.", r.Method, r.URL.Path))
	})
	return d.guard(token, mux)
}

// guard lets in who may, and notes that the daemon is needed.
func (d *Daemon) guard(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		defer func() {
			d.touch()
			d.requests.Add(-1)
		}()
		given := []byte(r.Header.Get("Authorization"))
		if token != "" && subtle.ConstantTimeCompare(given, []byte("Bearer "+token)) != 1 {
			writeError(w, fault.New(fault.CodeUnauthorized, "The daemon's token is missing or another one.", "`parqueue daemon start --json` prints it."))
			return
		}
		if said := r.Header.Get(protocolHeader); said != "" && said != strconv.Itoa(Protocol) {
			writeError(w, errProtocol(d.config.Version).With("version", d.config.Version).With("protocol", Protocol))
			return
		}
		if err := readBody(w, r); err != nil {
			writeError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readBody reads a request's body into memory, in the time that it may take.
func readBody(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestLimit))
	_ = control.SetReadDeadline(time.Time{}) // a watcher reads for longer
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return fault.New(fault.CodeRequestTooLarge, "The request is longer than 16 MiB.", "Name a folder instead of all files in it.")
	case err != nil:
		return fault.New(fault.CodeIncompleteBody, "The request stopped before its end.", "Send it again.").Because(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

func errProtocol(version string) *fault.Error {
	return fault.Newf(fault.CodeProtocolMismatch,
		"Stop the daemon with `parqueue daemon stop` once its transfers are done, so that the next command starts one of its own version; or use --no-daemon.",
		"The transfer daemon that runs is of another version (%s), and this program and it don't understand each other.", version)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client has gone
}

// writeError answers with an error, but for that of a request which ended with its
// client or with the daemon: its connection is closed, as by a daemon that was
// killed, so that clients start the next one and ask that.
func writeError(w http.ResponseWriter, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, errStopping) {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(fault.CodeOf(err)))
	_, _ = w.Write(append(errorBody(err), '\n')) // the client has gone
}

// decode reads a request's body, which may be empty.
func decode(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == io.EOF { //nolint:errorlint // an empty body
		return nil
	}
	switch {
	case err != nil:
		return fault.Newf(fault.CodeInvalidJSON, "Send one JSON object with the fields that docs/daemon.md shows.", "The request can't be read: %v.", err)
	case decoder.More():
		return fault.New(fault.CodeInvalidJSON, "Something follows the JSON object.", "Send one JSON object.")
	}
	return nil
}

func (d *Daemon) getStatus(*http.Request) (int, any, error) {
	return http.StatusOK, Status{
		Version: d.config.Version, Protocol: Protocol, PID: os.Getpid(), StartedAt: d.started.Truncate(time.Second), Running: d.busy(),
		Limits: *d.asked.Load(), Outdated: d.program.replaced(), ProfilesDir: d.config.ProfilesDir, StateDir: d.config.StateDir,
	}, nil
}

func (d *Daemon) postTransfer(r *http.Request) (int, any, error) {
	var request NewTransfer
	if err := decode(r, &request); err != nil {
		return 0, nil, err
	}
	j, made, err := d.ask(request)
	if err != nil {
		return 0, nil, err
	}
	if made {
		return http.StatusCreated, j.view(), nil
	}
	return http.StatusOK, j.view(), nil
}

func (d *Daemon) getTransfer(r *http.Request) (int, any, error) {
	j, err := d.job(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, j.view(), nil
}

func (d *Daemon) postPause(r *http.Request) (int, any, error) {
	return d.change(r, func(j *job, _ *client.Config) error { return j.pause() })
}

func (d *Daemon) postResume(r *http.Request) (int, any, error) {
	return d.change(r, func(j *job, as *client.Config) error { return j.resume(as) })
}

func (d *Daemon) postCancel(r *http.Request) (int, any, error) {
	return d.change(r, func(j *job, as *client.Config) error { return j.cancel(context.WithoutCancel(r.Context()), as) })
}

// change does something to a transfer, as whom the request says.
func (d *Daemon) change(r *http.Request, do func(*job, *client.Config) error) (int, any, error) {
	var request struct {
		Server *Server `json:"server"`
	}
	if err := decode(r, &request); err != nil {
		return 0, nil, err
	}
	j, err := d.job(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	var as *client.Config
	if request.Server != nil {
		found, err := d.identify(request.Server)
		if err != nil {
			return 0, nil, err
		}
		as = &found
	}
	if err := do(j, as); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, j.view(), nil
}

func (d *Daemon) putLimits(r *http.Request) (int, any, error) {
	l := *d.asked.Load() // what is left out stays
	if err := decode(r, &l); err != nil {
		return 0, nil, err
	}
	if err := d.changeLimits(l); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, l, nil
}

// getEvents writes what happens to a transfer, a JSON object a line, until it has
// ended.
func (d *Daemon) getEvents(w http.ResponseWriter, r *http.Request) {
	j, err := d.job(r.PathValue("id"))
	if err != nil {
		writeError(w, err)
		return
	}
	watcher := j.watch()
	defer j.hub.leave(watcher)
	w.Header().Set("Content-Type", "application/jsonl")
	for {
		select {
		case <-watcher.wake:
		case <-r.Context().Done():
			if d.running.Err() != nil {
				_ = writeEvents(w, []Event{j.stopping()})
			}
			return
		}
		events := watcher.take()
		ended := slices.ContainsFunc(events, func(e Event) bool { return e.Type == transfer.EventEnd })
		if writeEvents(w, events) != nil || ended {
			return
		}
	}
}

// writeEvents writes lines that a client reads at once.
func writeEvents(w http.ResponseWriter, events []Event) error {
	control := http.NewResponseController(w)
	for _, e := range events {
		_ = control.SetWriteDeadline(time.Now().Add(lineTime))
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err // the client has gone
		}
	}
	return control.Flush()
}

// stopping is the last that a watcher hears of a daemon that ends.
func (j *job) stopping() Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.eventLocked(transfer.EventState)
	if e.State == StateRunning {
		e.State = StateWaiting
	}
	e.Error = errorBody(fault.New(fault.CodeUnavailable, "The transfer daemon was stopped.", "`parqueue daemon start` goes on with its transfers, as the next upload or download does."))
	return e
}

// postAPI passes a request on to the server.
func (d *Daemon) postAPI(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Server  *Server           `json:"server"`
		Request json.RawMessage   `json:"request"`
		Headers map[string]string `json:"headers"`
	}
	if err := decode(r, &request); err != nil {
		writeError(w, err)
		return
	}
	header := http.Header{}
	for name, value := range request.Headers {
		header.Set(name, value)
	}
	if len(request.Request) == 0 {
		request.Request = json.RawMessage("{}")
	}
	answer, err := d.relay(r.Context(), r.PathValue("endpoint"), request.Server, request.Request, header)
	if err != nil {
		writeError(w, err)
		return
	}
	defer answer.Body.Close()
	for _, name := range []string{"Content-Type", "ETag", "X-Request-Id", "Retry-After"} {
		if value := answer.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(answer.Status)
	_, _ = io.Copy(w, answer.Body) // the client has gone, or notices that the answer is cut off
}
