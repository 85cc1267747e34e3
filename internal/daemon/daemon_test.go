package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// A daemon that nobody needs ends; one that is watched, or has something to do,
// doesn't.
func TestIdleDaemonEnds(t *testing.T) {
	r := newRunning(t, Config{Idle: 300 * time.Millisecond})
	n := NewTransfer{Kind: KindUploadDataset, DatasetID: newDataset(t), Paths: []string{writeFiles(t, 1, 3<<20)}, Limits: &Limits{BytesPerSecond: 2 << 20}}
	began := time.Now()
	one, err := r.client.Start(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	r.client.Close()
	address := addressFile(r.config.StateDir)
	for {
		if _, err := os.Stat(address); err != nil {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("it doesn't end")
		}
		time.Sleep(20 * time.Millisecond)
	}
	all, err := Remembered(r.config.StateDir)
	if err != nil || len(all) != 1 || all[0].ID != one.ID || all[0].State != StateDone {
		t.Errorf("it ended after %v with %+v, %v", time.Since(began), all, err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("it ended after %v, before its transfer", took)
	}
}

// A request that is under way when the daemon stops gets no answer, and no error that
// would be taken for one.
func TestRequestsOfADaemonThatStops(t *testing.T) {
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the end of the connection is not noticed
		close(arrived)
		<-r.Context().Done()
	}))
	defer server.Close()
	r := newRunning(t, Config{Identify: func(string) (client.Config, error) { return client.Config{URL: server.URL, Key: shared.key}, nil }})
	answered := make(chan error, 1)
	go func() {
		resp, err := r.client.send(context.Background(), http.MethodPost, "/v1/api/list-datasets", Protocol, map[string]any{})
		if err == nil {
			err = fmt.Errorf("answered %s", resp.Status)
			_ = resp.Body.Close()
		}
		answered <- err
	}()
	<-arrived
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if err := <-answered; !fault.Is(err, fault.CodeUnavailable) {
		t.Errorf("the request ended with %v", err)
	}
}

// On a port of the machine the token is wanted.
func TestLoopbackWantsTheToken(t *testing.T) {
	r := newRunning(t, Config{Loopback: true})
	if r.client.Address.Socket != "" || r.client.Address.Token == "" {
		t.Fatalf("the address is %+v", r.client.Address)
	}
	for _, token := range []string{"", "Bearer wrong", r.client.Address.Token} {
		req, err := http.NewRequest(http.MethodGet, r.client.Address.URL+"/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", token)
		resp, err := r.client.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("the token %q was answered %d", token, resp.StatusCode)
		}
	}
	if info, err := os.Stat(addressFile(r.config.StateDir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file is %v, %v", info, err)
	}
}

// Where a socket's path would be too long, it is in a short folder of the user's
// own; one that isn't private is not used.
func TestSocketOfALongPath(t *testing.T) {
	short := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", short)
	state := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if len(short) < 60 {
		r := newRunning(t, Config{StateDir: state})
		if !strings.HasPrefix(r.client.Address.Socket, short) {
			t.Errorf("the socket is %s", r.client.Address.Socket)
		}
		dir := filepath.Dir(r.client.Address.Socket)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		r = newRunning(t, Config{StateDir: state})
		if strings.HasPrefix(r.client.Address.Socket, short) {
			t.Errorf("a folder that others can use has the socket %s", r.client.Address.Socket)
		}
		_ = r.stop()
		_ = os.Remove(filepath.Dir(r.client.Address.Socket))
	} else {
		t.Fatalf("%s is too long itself", short)
	}
}

// One state folder has one daemon.
func TestSecondDaemonIsRefused(t *testing.T) {
	r := newRunning(t, Config{})
	err := Run(t.Context(), r.config, func(Address) { t.Error("a second daemon runs") })
	if !fault.Is(err, fault.CodeConflict) || !errors.Is(err, errAlready) {
		t.Errorf("a second daemon ended with %v", err)
	}
}

// other is a daemon of another version, as far as a client can tell.
func other(t *testing.T, stateDir string, status Status) {
	t.Helper()
	if err := os.MkdirAll(recordsFolder(stateDir), 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(Folder(stateDir), "daemon.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if said := r.Header.Get(protocolHeader); said != "" && said != fmt.Sprint(status.Protocol) {
			writeError(w, errProtocol(status.Version))
			return
		}
		if r.URL.Path == "/v1/stop" {
			defer listener.Close()
		}
		writeJSON(w, http.StatusOK, status)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	text, err := json.Marshal(Address{Socket: socket, PID: status.PID})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(addressFile(stateDir), text); err != nil {
		t.Fatal(err)
	}
}

// What a client does about a daemon of another version: an older one that has
// nothing to do is replaced, and every other is left alone.
func TestVersions(t *testing.T) {
	for name, one := range map[string]struct {
		status   Status
		replaced bool
		says     string // of the error
		used     bool
	}{
		"the same":                   {Status{Version: "v1.1.0", Protocol: Protocol}, false, "", true},
		"newer":                      {Status{Version: "v1.2.0", Protocol: Protocol}, false, "", true},
		"older and idle":             {Status{Version: "v1.0.0", Protocol: Protocol}, true, "", false},
		"older and busy":             {Status{Version: "v1.0.0", Protocol: Protocol, Running: 1}, false, "", true},
		"updated and idle":           {Status{Version: "v1.1.0", Protocol: Protocol, Outdated: true}, true, "", false},
		"of a newer protocol":        {Status{Version: "v2.0.0", Protocol: Protocol + 1}, false, "newer version", false},
		"of an older protocol":       {Status{Version: "v0.1.0", Protocol: Protocol - 1}, true, "", false},
		"of an older protocol, busy": {Status{Version: "v0.1.0", Protocol: Protocol - 1, Running: 2}, false, "older version", false},
		"from a tree, no version":    {Status{Version: "(devel)", Protocol: Protocol}, false, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			one.status.PID = 1 << 30
			other(t, dir, one.status)
			s := Starting{StateDir: dir, Version: "v1.1.0", Command: []string{"sh", "-c", "echo the next one; exit 1"}}
			c, status, err := Ensure(t.Context(), s)
			switch {
			case one.used && (err != nil || status.PID != one.status.PID):
				t.Errorf("it is not used: %v", err)
			case one.replaced && (err == nil || !strings.Contains(err.Error(), "the next one")):
				t.Errorf("it is not replaced: %v", err)
			case one.says != "" && (!fault.Is(err, fault.CodeProtocolMismatch) || !strings.Contains(err.Error(), one.says)):
				t.Errorf("it says %v", err)
			}
			if c != nil {
				c.Close()
			}
		})
	}
}

// A daemon that can't be started says why.
func TestStartSaysWhy(t *testing.T) {
	dir := t.TempDir()
	for _, one := range []struct{ script, want string }{
		{`echo '{"error":"The disk is full.","code":"storage_full","hint":"Free some."}' >&2; exit 1`, "The disk is full."},
		{`echo nonsense; exit 3`, "nonsense"},
	} {
		_, _, err := Ensure(t.Context(), Starting{StateDir: dir, Command: []string{"sh", "-c", one.script}})
		if err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: %v", one.script, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Ensure(t.Context(), Starting{StateDir: filepath.Join(file, "state"), Command: []string{"true"}})
	if !fault.Is(err, fault.CodeInvalidRequest) || !strings.Contains(err.Error(), "can't be kept") {
		t.Errorf("a state folder that can't be: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(Folder(dir), ".start-*")); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}

// Who asks for a transfer that is over before it can be watched hears all of it; who
// comes after that hears where it is.
func TestFirstWatcherMissesNothing(t *testing.T) {
	r := newRunning(t, Config{})
	n := NewTransfer{Kind: KindUploadDataset, DatasetID: newDataset(t), Paths: []string{writeFiles(t, 2, 10_000)}}
	one, err := r.client.Start(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		now, err := r.client.Transfer(t.Context(), one.ID)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("it is %+v, %v", now, err)
		}
		if now.State == StateDone {
			break
		}
	}
	for _, want := range []string{"state start file file end", "state end"} {
		var heard []string
		if _, err := r.client.Watch(t.Context(), one.ID, func(e Event) {
			if e.Type != transfer.EventProgress {
				heard = append(heard, e.Type)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(heard, " "); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
}

// Who was expected and doesn't come is forgotten.
func TestWatcherWhoDoesNotCome(t *testing.T) {
	event := Event{Event: transfer.Event{Type: transfer.EventState}}
	var h hub
	h.expect()
	h.tell(event)
	h.giveUp()
	if w, early := h.watch(event); early || len(w.take()) != 1 || len(h.watchers) != 1 {
		t.Errorf("early %v, and %d watch", early, len(h.watchers))
	}
	h.expect() // somebody is there
	if _, early := h.watch(event); early {
		t.Error("what somebody heard was kept for another")
	}
}

// Who is slow misses progress, and never a state or the end; who is quick misses
// nothing.
func TestWatchersThatAreSlow(t *testing.T) {
	event := func(kind string, done int) Event {
		return Event{Event: transfer.Event{Type: kind, Progress: transfer.Progress{FilesDone: done}}}
	}
	var h hub
	w, _ := h.watch(event(transfer.EventState, 0))
	for i := range 3 {
		h.tell(event(transfer.EventProgress, i))
	}
	if got := w.take(); len(got) != 2 || got[1].FilesDone != 2 {
		t.Errorf("took %+v", got)
	}
	h.tell(event(transfer.EventProgress, 3))
	h.tell(event(transfer.EventState, 3))
	for i := range 10 * queueLimit {
		h.tell(event(transfer.EventFile, i))
	}
	h.tell(event(transfer.EventEnd, 0))
	got := w.take()
	if len(got) > queueLimit+1 || got[0].Type != transfer.EventState || got[len(got)-1].Type != transfer.EventEnd {
		t.Errorf("took %d events, from %s to %s", len(got), got[0].Type, got[len(got)-1].Type)
	}
	if last := got[len(got)-2]; last.FilesDone != 10*queueLimit-1 {
		t.Errorf("the last file is %d", last.FilesDone)
	}
	h.leave(w)
	h.tell(event(transfer.EventEnd, 0))
	if len(w.take()) != 0 {
		t.Error("who left hears more")
	}
}

// A log is bounded, and what is newest is kept.
func TestLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	line := strings.Repeat("x", 1000)
	for i := range 5000 {
		if _, err := fmt.Fprintf(l, "%04d %s\n", i, line); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(LogFile(dir) + ".1")
	if err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(LogFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(before) > logLimit || len(now) > logLimit || !strings.Contains(string(now), "4999 ") {
		t.Errorf("%d and %d bytes", len(before), len(now))
	}
}

// Ended transfers are forgotten after a day, or when there are very many.
func TestEndedTransfersAreForgotten(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(recordsFolder(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	ids := map[string]string{}
	for name, r := range map[string]record{
		"old": {State: StateDone, EndedAt: now.Add(-25 * time.Hour)}, "new": {State: StateFailed, EndedAt: now.Add(-23 * time.Hour)},
		"paused": {State: StatePaused, CreatedAt: now.Add(-240 * time.Hour)},
	} {
		r.Version, r.ID, r.Request.Kind, r.Server = recordVersion, newID(), KindUploadDataset, shared.url
		ids[r.ID] = name
		if err := r.save(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(recordFile(dir, newID()), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRunning(t, Config{StateDir: dir})
	all, err := r.client.Transfers(context.Background())
	if err != nil || len(all) != 2 {
		t.Errorf("listed %+v, %v", all, err)
	}
	for _, one := range all {
		if ids[one.ID] == "old" {
			t.Error("it remembers the old one")
		}
	}
	if !strings.Contains(r.log.String(), "can't be read") {
		t.Errorf("the damaged one is not in the log: %s", r.log.String())
	}
}

func FuzzRecord(f *testing.F) {
	id := newID()
	f.Add([]byte(`{"version":1,"transfer_id":"` + id + `","state":"running","request":{"kind":"upload_dataset","paths":["/a"]},"server":"http://127.0.0.1:1"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRecord(text, id)
		if err != nil {
			return
		}
		if r.ID != id || r.Version != recordVersion {
			t.Errorf("took %+v", r)
		}
		_ = r.view()
	})
}

func FuzzFault(f *testing.F) {
	f.Add([]byte(`{"error":"No.","code":"conflict","hint":"Wait.","cause":"it is"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got := Fault(text); got.Code == "" || got.Message == "" {
			t.Errorf("%q became %+v", text, got)
		}
	})
}
