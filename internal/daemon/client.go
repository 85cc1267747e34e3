package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// Client speaks to a daemon. It is safe for concurrent use.
type Client struct {
	Address Address
	http    *http.Client
	base    string
}

// ErrNone is what finding a daemon ends with when there is none.
var ErrNone = errors.New("no transfer daemon runs")

// askTime is how long a daemon may take to say that it is there.
const askTime = 5 * time.Second

// Find returns a client of the daemon of a state folder, and what the daemon says
// of itself.
// Errors: ErrNone; CodeProtocolMismatch, with a client and a status all the same;
// CodeInvalidRequest when the folder can't be read.
func Find(ctx context.Context, stateDir string) (*Client, Status, error) {
	text, err := os.ReadFile(addressFile(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Status{}, ErrNone
	}
	if err != nil {
		return nil, Status{}, errState(Folder(stateDir), err)
	}
	var address Address
	if json.Unmarshal(text, &address) != nil {
		return nil, Status{}, ErrNone // it is replaced by the next one
	}
	c := newClient(address)
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, ErrNone)
	defer cancel()
	status, err := c.Status(ctx)
	if fault.Is(err, fault.CodeProtocolMismatch) {
		status, failed := c.statusOfOther(ctx)
		return c, status, errors.Join(err, failed)
	}
	if err != nil {
		return nil, Status{}, errors.Join(ErrNone, err)
	}
	// A daemon that has just begun to listen may not have replaced the file yet.
	c.Address.PID, c.Address.Version, c.Address.Protocol = status.PID, status.Version, status.Protocol
	return c, status, nil
}

func newClient(a Address) *Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if a.Socket != "" {
				network, address = "unix", a.Socket
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		DisableCompression: true,
	}
	base := a.URL
	if a.Socket != "" {
		base = "http://parqueue"
	}
	return &Client{Address: a, http: &http.Client{Transport: transport}, base: base}
}

// Close lets go of the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// send makes a request; the body of a good answer is the caller's to close.
func (c *Client) send(ctx context.Context, method, path string, protocol int, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encoding a request to the daemon: %w", err)
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, fmt.Errorf("making a request to the daemon: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if protocol != 0 {
		r.Header.Set(protocolHeader, strconv.Itoa(protocol))
	}
	if c.Address.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Address.Token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, errGone(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return nil, errGone(err)
	}
	return nil, Fault(text)
}

// answerLimit bounds an answer: the list of a thousand transfers.
const answerLimit = 64 << 20

// errGone is a daemon that ended meanwhile.
func errGone(cause error) error {
	return fault.New(fault.CodeUnavailable, "The transfer daemon has ended.", "Run the same command again: it starts another one, which goes on.").Because(cause)
}

func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	resp, err := c.send(ctx, method, path, Protocol, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerLimit)).Decode(answer); err != nil {
		return errGone(err)
	}
	return nil
}

// Status asks the daemon about itself.
// Errors: CodeUnavailable when it has ended, for each of the client's methods.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// statusOfOther asks a daemon of another version: every one answers that.
func (c *Client) statusOfOther(ctx context.Context) (Status, error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/status", 0, nil)
	if err != nil {
		return Status{}, err
	}
	defer resp.Body.Close()
	var s Status
	return s, json.NewDecoder(io.LimitReader(resp.Body, answerLimit)).Decode(&s)
}

// Stop has the daemon end.
func (c *Client) Stop(ctx context.Context) error {
	resp, err := c.send(ctx, http.MethodPost, "/v1/stop", 0, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Start asks for a transfer; see NewTransfer. It may be repeated.
// Errors: CodeInvalidRequest, CodeUnauthorized, CodeConflict, CodeStorageFull.
func (c *Client) Start(ctx context.Context, n NewTransfer) (Transfer, error) {
	var t Transfer
	return t, c.call(ctx, http.MethodPost, "/v1/transfers", n, &t)
}

// Transfers lists the daemon's transfers, the oldest first.
func (c *Client) Transfers(ctx context.Context) ([]Transfer, error) {
	var answer struct {
		Transfers []Transfer `json:"transfers"`
	}
	return answer.Transfers, c.call(ctx, http.MethodGet, "/v1/transfers", nil, &answer)
}

// Transfer returns one.
// Errors: CodeTransferNotFound.
func (c *Client) Transfer(ctx context.Context, id string) (Transfer, error) {
	var t Transfer
	return t, c.call(ctx, http.MethodGet, "/v1/transfers/"+id, nil, &t)
}

// Change pauses, resumes or cancels a transfer: action is "pause", "resume" or
// "cancel". The server may be nil.
// Errors: CodeTransferNotFound; CodeConflict when it is over; CodeUnauthorized
// when the key is not known any more.
func (c *Client) Change(ctx context.Context, id, action string, as *Server) (Transfer, error) {
	var t Transfer
	return t, c.call(ctx, http.MethodPost, "/v1/transfers/"+id+"/"+action, map[string]any{"server": as}, &t)
}

// SetLimits sets the limits of all transfers together.
// Errors: CodeInvalidRequest.
func (c *Client) SetLimits(ctx context.Context, l Limits) error {
	return c.call(ctx, http.MethodPut, "/v1/limits", l, &l)
}

// eventLimit bounds a line of events: the end of an upload may tell of a thousand
// problems.
const eventLimit = 16 << 20

// Watch tells what happens to a transfer until it has ended, or waits for the
// network or for another daemon, and returns that event.
// Errors: CodeTransferNotFound; CodeUnavailable when the daemon ends before.
func (c *Client) Watch(ctx context.Context, id string, tell func(Event)) (Event, error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/transfers/"+id+"/events", Protocol, nil)
	if err != nil {
		return Event{}, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), eventLimit)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return Event{}, errGone(err)
		}
		tell(e)
		if e.Type == transfer.EventEnd || e.State == StateWaiting && len(e.Error) > 0 {
			return e, nil
		}
	}
	if ctx.Err() != nil {
		return Event{}, context.Cause(ctx)
	}
	return Event{}, errGone(errors.Join(lines.Err(), io.ErrUnexpectedEOF))
}
