package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// job is a transfer that the daemon owns.
type job struct {
	d  *Daemon
	op sync.Mutex // held by whoever starts or stops it

	mu     sync.Mutex
	record record
	key    string // "" when it is not known
	now    transfer.Progress
	begun  bool // the engine has said what there is to do
	stop   context.CancelCauseFunc
	ended  chan struct{} // closed when the run is over; nil before the first
	hub    hub
}

// Why a run is stopped.
var (
	errPaused    = errors.New("paused")
	errCancelled = errors.New("cancelled")
	errStopping  = errors.New("the daemon stops")
)

// view is the transfer as it is now.
func (j *job) view() Transfer {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.viewLocked()
}

func (j *job) viewLocked() Transfer {
	j.record.Files, j.record.FilesDone = j.now.Files, j.now.FilesDone
	j.record.Bytes, j.record.BytesDone, j.record.Moved = j.now.Bytes, j.now.BytesDone, j.now.BytesMoved
	t := j.record.view()
	if t.State == StateRunning && j.begun {
		t.BytesPerSecond, t.SecondsLeft = j.now.BytesPerSecond, j.now.SecondsLeft
	}
	return t
}

// remembered is what is kept of the transfer.
func (j *job) remembered() record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record
}

// eventLocked is one of the daemon's own: a state or the end.
func (j *job) eventLocked(kind string) Event {
	t := j.viewLocked()
	p := j.now
	p.Active, p.BytesPerSecond, p.SecondsLeft = nil, t.BytesPerSecond, t.SecondsLeft
	e := Event{Event: transfer.Event{Type: kind, Transfer: t.ID, State: t.State, Progress: p}, Error: t.Error}
	if kind == transfer.EventEnd {
		e.Result = t.Result
	}
	return e
}

// expectedFor is how long after the end of a run its first watcher may come.
const expectedFor = time.Minute

// watch adds somebody who watches. It begins with where the transfer is now, or for
// the first one with where it began.
func (j *job) watch() *watcher {
	j.mu.Lock()
	defer j.mu.Unlock()
	w, early := j.hub.watch(j.eventLocked(transfer.EventState))
	if !early && Ended(j.record.State) {
		w.tell(j.eventLocked(transfer.EventEnd))
	}
	return w
}

// observe hears of the engine's run.
func (j *job) observe(e transfer.Event) {
	if e.Type == transfer.EventEnd {
		return // the job's own says how it ended
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now, j.begun = e.Progress, true
	if e.Type != transfer.EventProgress {
		e.Active = nil
	}
	j.hub.tell(Event{Event: e})
}

// set changes the state, on the disk as well, and tells of it.
func (j *job) set(state string, err error, result any) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record.State, j.record.Error, j.record.EndedAt = state, nil, time.Time{}
	if err != nil {
		j.record.Error = errorBody(err)
	}
	if result != nil {
		if text, failed := json.Marshal(result); failed == nil {
			j.record.Result = text
		}
	}
	kind := transfer.EventState
	if Ended(state) {
		kind, j.record.EndedAt = transfer.EventEnd, time.Now().UTC()
	}
	j.hub.tell(j.eventLocked(kind)) // brings the record up to date
	j.d.log.Info("transfer", "transfer_id", j.record.ID, "kind", j.record.Request.Kind, "state", state, "code", string(fault.CodeOf(err)))
	return j.record.save(j.d.config.StateDir)
}

// start begins the run, unless it is under way. j.op is held.
func (j *job) start() error {
	if j.running() {
		return nil
	}
	j.mu.Lock()
	j.record.Result = nil
	j.begun = false
	j.mu.Unlock()
	j.hub.expect()
	if err := j.set(StateRunning, nil, nil); err != nil {
		err = errState(recordsFolder(j.d.config.StateDir), err)
		_ = j.set(StateFailed, err, nil) // in memory at least
		return err
	}
	ctx, cancel := context.WithCancelCause(j.d.running)
	ended := make(chan struct{})
	j.mu.Lock()
	j.stop, j.ended = cancel, ended
	j.mu.Unlock()
	j.d.runs.Add(1)
	j.d.group.Go(func() {
		defer j.d.runs.Add(-1)
		defer close(ended)
		defer cancel(nil)
		defer time.AfterFunc(expectedFor, j.hub.giveUp)
		j.run(ctx)
	})
	return nil
}

func (j *job) running() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.runningLocked()
}

func (j *job) runningLocked() bool {
	if j.ended == nil {
		return false
	}
	select {
	case <-j.ended:
		return false
	default:
		return true
	}
}

// halt stops the run for a reason, and waits until it has. j.op is held.
func (j *job) halt(why error) {
	if !j.running() {
		return
	}
	j.stop(why)
	<-j.ended
}

// Of a run that the network or the server interrupts: the engine has been patient
// already, and a laptop may be closed for a night.
const (
	awaitNetwork    = time.Minute
	awaitNetworkFor = 24 * time.Hour
)

// run carries the transfer out, and notes how that ended.
func (j *job) run(ctx context.Context) {
	select {
	case j.d.turns <- struct{}{}:
		defer func() { <-j.d.turns }()
	case <-ctx.Done():
	}
	var failing time.Time
	for {
		result, err := j.execute(ctx)
		again, state := j.verdict(ctx, err)
		if again {
			if failing.IsZero() || j.hasMoved() {
				failing = time.Now()
			}
			if time.Since(failing) < awaitNetworkFor && j.await(ctx, err) {
				continue
			}
			_, state = j.verdict(ctx, err)
		}
		switch state {
		case "":
			return
		case StatePaused, StateDone:
			err = nil
		}
		if err := j.set(state, err, result); err != nil {
			j.d.log.Error("a transfer can't be remembered", "transfer_id", j.record.ID, "error", err.Error())
		}
		return
	}
}

// hasMoved reports whether bytes moved in the last try.
func (j *job) hasMoved() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now.BytesMoved > 0
}

// verdict is the state that a run ends in; "" is the one before. again means that
// it may be tried again without anybody's help.
func (j *job) verdict(ctx context.Context, err error) (again bool, state string) {
	cause := context.Cause(ctx)
	j.mu.Lock()
	begun := j.begun
	j.mu.Unlock()
	switch {
	case err == nil:
		return false, StateDone
	case errors.Is(cause, errPaused):
		return false, StatePaused
	case ctx.Err() != nil: // by the daemon's end, or by who says what is next
		return false, ""
	case begun && fault.Is(err, fault.CodeUnavailable):
		return true, StateFailed
	}
	return false, StateFailed
}

// await waits a while for the network; false when the run is stopped meanwhile.
func (j *job) await(ctx context.Context, why error) bool {
	var f *fault.Error
	if errors.As(why, &f) {
		told := *f
		told.Hint = "The daemon tries again by itself, every minute. " + f.Hint
		why = &told
	}
	if err := j.set(StateWaiting, why, nil); err != nil {
		j.d.log.Error("a transfer can't be remembered", "transfer_id", j.record.ID, "error", err.Error())
	}
	timer := time.NewTimer(awaitNetwork)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return j.set(StateRunning, nil, nil) == nil
}

// execute runs the engine once.
func (j *job) execute(ctx context.Context) (result any, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r, server, err := j.server(client.Retry{})
	if err != nil {
		return nil, err
	}
	options := transfer.Options{StateDir: j.d.config.StateDir, Shared: j.d.limits, Transport: j.d.bytes}
	if own := r.Request.Limits; own != nil {
		options.Connections, options.BytesPerSecond = own.Connections, own.BytesPerSecond
	}
	engine, err := transfer.New(server, options)
	if err != nil {
		return nil, err
	}
	return j.move(ctx, engine, r)
}

// server is a client of the transfer's server, and what the transfer is.
func (j *job) server(retry client.Retry) (record, *client.Client, error) {
	j.mu.Lock()
	r, key := j.record, j.key
	j.mu.Unlock()
	c, err := client.New(client.Config{URL: r.Server, Key: key, AllowHTTP: r.AllowHTTP, Transport: j.d.calls, Retry: retry})
	return r, c, err
}

// move does what the request says.
func (j *job) move(ctx context.Context, engine *transfer.Engine, r record) (any, error) {
	switch r.Request.Kind {
	case KindUploadDataset:
		plan, err := engine.PlanUpload(ctx, transfer.UploadRequest{
			TransferID: r.ID, DatasetID: r.Request.DatasetID, Paths: r.Request.Paths, Order: r.Request.Order, AnyOrder: r.Request.AnyOrder,
		})
		if err != nil {
			return nil, err
		}
		result, err := engine.Upload(ctx, plan, j.observe)
		return result, err
	case KindDownloadDataset:
		return engine.Download(ctx, transfer.DownloadRequest{
			TransferID: r.ID, DatasetID: r.Request.DatasetID, Names: r.Request.Files, Folder: r.Request.To, Overwrite: r.Request.Overwrite,
		}, j.observe)
	case KindUploadAsset:
		return engine.UploadAsset(ctx, transfer.AssetUpload{
			TransferID: r.ID, Path: r.Request.Path, AssetID: r.Request.AssetID, OwnerType: r.Request.OwnerType, OwnerID: r.Request.OwnerID,
			Info: r.Request.AssetInfo, PartSize: r.Request.PartSize,
		}, j.observe)
	case KindDownloadAsset:
		return engine.DownloadAsset(ctx, transfer.AssetDownload{
			TransferID: r.ID, AssetID: r.Request.AssetID, Version: r.Request.Version, Folder: r.Request.To, Overwrite: r.Request.Overwrite,
		}, j.observe)
	}
	return nil, fault.Newf(fault.CodeInvalidRequest, "Start the daemon of the version that knows it.", "%.64q is no kind of transfer.", r.Request.Kind)
}

// pause stops a transfer for as long as nobody resumes it.
// Errors: CodeConflict for one that has ended.
func (j *job) pause() error {
	j.op.Lock()
	defer j.op.Unlock()
	j.halt(errPaused)
	switch state := j.view().State; {
	case state == StatePaused:
		return nil
	case Ended(state):
		return errOver(state)
	}
	return j.set(StatePaused, nil, nil)
}

// resume goes on with a transfer that doesn't run, whatever it ended with but
// success and a cancellation. Who names a server brings the key.
// Errors: CodeConflict; CodeUnauthorized when there is no key.
func (j *job) resume(as *client.Config) error {
	j.op.Lock()
	defer j.op.Unlock()
	if state := j.view().State; state == StateDone || state == StateCancelled {
		return errOver(state)
	}
	if j.running() && j.view().State == StateWaiting {
		j.halt(errStopping) // it waits for the network: now is a good time
	}
	if j.running() {
		return nil
	}
	if err := j.sign(as); err != nil {
		return err
	}
	return j.start()
}

func errOver(state string) error {
	return fault.Newf(fault.CodeConflict, "Ask for a new transfer.", "The transfer is over: it is %s.", state)
}

// sign gives the transfer a key.
// Errors: CodeUnauthorized without one; CodeConflict for one of another server.
func (j *job) sign(as *client.Config) error {
	j.mu.Lock()
	profile, server, known := j.record.Profile, j.record.Server, j.key != ""
	j.mu.Unlock()
	switch {
	case as != nil:
	case profile != "":
		found, err := j.d.identify(&Server{Profile: profile})
		if err != nil {
			return err
		}
		as = &found
	case known:
		return nil
	default:
		return errNoKey()
	}
	if as.URL != server {
		return fault.Newf(fault.CodeConflict, "Name the server that it began with.", "The transfer is one with the server %s.", server)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.key = as.Key
	return nil
}

func errNoKey() error {
	return fault.New(fault.CodeUnauthorized, "The transfer's API key was given to a daemon that has ended, and is kept nowhere.",
		"Run the same command again, or sign in with `parqueue auth login` and resume the transfer.")
}

// cancel gives a transfer up and removes what it left behind.
// Errors: those of the engine's Cancel.
func (j *job) cancel(ctx context.Context, as *client.Config) error {
	j.op.Lock()
	defer j.op.Unlock()
	if state := j.view().State; state == StateDone || state == StateCancelled {
		return errOver(state)
	}
	j.halt(errCancelled)
	if j.view().State == StateDone {
		return errOver(StateDone)
	}
	if err := j.sign(as); err != nil {
		return err
	}
	r, server, err := j.server(briefly())
	if err != nil {
		return err
	}
	engine, err := transfer.New(server, transfer.Options{StateDir: j.d.config.StateDir})
	if err != nil {
		return err
	}
	if err := engine.Cancel(ctx, r.ID); err != nil && !fault.Is(err, fault.CodeFileNotFound) {
		_ = j.set(StateFailed, err, nil) // it may be cancelled again
		return err
	}
	return j.set(StateCancelled, nil, nil)
}

// briefly is how what somebody waits for is tried again.
func briefly() client.Retry { return client.Retry{Patience: 20 * time.Second} }

// same reports whether the transfer is the one that is asked for.
func (j *job) same(r NewTransfer, server string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	mine := j.record.Request
	mine.Limits, r.Limits = nil, nil // which make no other transfer of it
	if j.record.State == StateDone || j.record.State == StateCancelled || j.record.Server != server {
		return false
	}
	if mine.Kind != r.Kind || mine.DatasetID != r.DatasetID || mine.To != r.To || mine.Path != r.Path || len(mine.Paths) != len(r.Paths) {
		return false // without looking at a hundred thousand paths
	}
	a, err := json.Marshal(mine)
	b, failed := json.Marshal(r)
	return err == nil && failed == nil && bytes.Equal(a, b)
}
