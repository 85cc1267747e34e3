package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// Limits of a list of names.
const (
	MaxOrderNames = 10_000
	MaxOrderBytes = 1 << 20
)

const orderHint = `Put a JSON list of 1 to 10,000 different file names, such as ["a.parquet", "b.parquet"], of at most 1 MiB.`

// parseOrder reads a list of names.
// Errors: CodeInvalidOrder.
func parseOrder(text []byte) ([]string, error) {
	var names []string
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	err := d.Decode(&names)
	if _, end := d.Token(); err != nil || end != io.EOF || len(names) > MaxOrderNames || names == nil { //nolint:errorlint // decoders return io.EOF itself
		return nil, fault.New(fault.CodeInvalidOrder, orderName+" is not a list of up to 10,000 file names.", orderHint)
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if err := dataset.CheckFileName(name); err != nil || name == orderName {
			return nil, fault.New(fault.CodeInvalidOrder, orderName+" has a name that no file in a dataset can have.", orderHint).Because(err).
				With("file_name", clipped(name))
		}
		if seen[name] {
			return nil, fault.New(fault.CodeInvalidOrder, orderName+" has a name twice.", orderHint).With("file_name", name)
		}
		seen[name] = true
	}
	return names, nil
}

// clipped cuts a name that is none to what a reason can carry.
func clipped(name string) string {
	return string(bytes.ToValidUTF8([]byte(name[:min(len(name), dataset.MaxNameBytes)]), []byte("\ufffd")))
}

// errWaits is in the chain of an error that says that a list waits for a file.
var errWaits = errors.New("the next file has not arrived") //nolint:gochecknoglobals // a sentinel

// following is the work on the list of a dataset.
type following struct {
	*Ingester
	datasetID string
	attempts  map[string]attempt // of names
	settled   map[string]Outcome // of names
}

// ingestByName appends what the dataset's list says, as far as it has arrived.
// Whatever the notices are about, they are a reason to look at the list.
func (i *Ingester) ingestByName(ctx context.Context, d dataset.Dataset, places []place) []Outcome {
	f := &following{Ingester: i, datasetID: d.ID, attempts: map[string]attempt{}, settled: map[string]Outcome{}}
	var err error
	for range rounds {
		if err = f.follow(ctx); !again(err) || ctx.Err() != nil {
			break
		}
	}
	return i.each(places, func(p place) Outcome {
		if o, ok := f.settled[p.name]; ok {
			return o
		}
		if err != nil {
			return failed(fmt.Errorf("ingesting by name: %w", err))
		}
		if p.known {
			return Outcome{State: Waiting}
		}
		return i.leaveWaiting(ctx, p)
	})
}

// leaveWaiting settles an object that no list names. It stays, unless it is in
// the dataset already, or no list could ever name it.
func (i *Ingester) leaveWaiting(ctx context.Context, p place) Outcome {
	a := &arrival{place: p}
	var err error
	if a.object, err = i.stat(ctx, p); err != nil {
		return outcomeOf(err)
	}
	if p.name == orderName {
		return Outcome{State: Waiting}
	}
	if err := dataset.CheckFileName(p.name); err != nil {
		return i.reject(ctx, p, a.object, err)
	}
	a.file = dataset.File{ID: fileID(i.tenant, a.object, 0), Name: p.name, SizeBytes: a.object.SizeBytes, CRC64NVME: a.object.CRC64NVME}
	err = i.nameFree(ctx, a)
	switch {
	case err != nil && !aboutTheObject(err):
		return failed(err)
	case !a.listed:
		return Outcome{State: Waiting}
	}
	if err := i.remove(ctx, a); err != nil {
		return failed(err)
	}
	return Outcome{State: Listed, File: a.file}
}

// follow works on the list that there is now until it is done, waits for a file,
// or was stopped by one that is refused.
func (f *following) follow(ctx context.Context) error {
	p := fileAt(f.datasetID, orderName)
	o, err := f.stat(ctx, p)
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := f.readOrder(ctx, o)
	if aboutTheObject(err) {
		return f.rejectOrder(ctx, p, o, err)
	}
	if err != nil {
		return err
	}
	done := 0
	var stopped *arrival
	for err == nil && done < len(names) {
		var n int
		n, stopped, err = f.appendNext(ctx, names[done:])
		if done += n; err == nil && done < len(names) {
			err = f.unchanged(ctx, o)
		}
	}
	return f.leave(ctx, p, o, names[done:], done > 0, stopped, err)
}

// readOrder reads the list in an object.
// Errors: CodeInvalidOrder; those of Inbox.Open.
func (f *following) readOrder(ctx context.Context, o dataset.InboxObject) ([]string, error) {
	text, err := f.inbox.ReadSmall(ctx, o, MaxOrderBytes)
	switch {
	case fault.Is(err, fault.CodeRequestTooLarge):
		return nil, fault.New(fault.CodeInvalidOrder, orderName+" is larger than 1 MiB.", orderHint)
	case fault.Is(err, fault.CodeFileNotFound):
		return nil, fmt.Errorf("%w: %w", errNextTry, err)
	case err != nil:
		return nil, fmt.Errorf("reading a list of names: %w", err)
	}
	return parseOrder(text)
}

// unchanged sees that the list is still the one that is being worked on.
func (f *following) unchanged(ctx context.Context, o dataset.InboxObject) error {
	now, err := f.inbox.Stat(ctx, o.Key)
	switch {
	case err != nil && !fault.Is(err, fault.CodeFileNotFound):
		return err
	case err != nil || now.ETag != o.ETag:
		return fmt.Errorf("%w: the list was replaced", errNextTry)
	}
	return nil
}

// appendNext appends the files of the next names, as many as one step takes, as
// have arrived and as fit each other. It returns how many names are done, and
// why the next one is not; where it was refused, also its arrival.
func (f *following) appendNext(ctx context.Context, names []string) (done int, stopped *arrival, err error) {
	d, err := f.catalog.Dataset(ctx, f.tenant, f.datasetID)
	if err != nil {
		return 0, nil, err
	}
	run, err := f.arrived(ctx, names)
	if len(run) == 0 {
		return 0, nil, err
	}
	var here []*arrival
	for _, a := range run {
		if !a.listed {
			here = append(here, a)
		}
	}
	f.prepareAll(ctx, d, here)
	f.appendInOrder(ctx, appendable(run), true)
	return f.finishRun(ctx, run)
}

// appendable are the arrivals at the beginning of a run that are ready and have
// one schema, without those that are listed.
func appendable(run []*arrival) (ready []*arrival) {
	for _, a := range run {
		if a.err != nil || len(ready) > 0 && !a.listed && a.schema.Key() != ready[0].schema.Key() {
			break
		}
		if !a.listed {
			ready = append(ready, a)
		}
	}
	return ready
}

// finishRun takes the files at the beginning of a run that are listed out of the
// inbox, and tells how many they are and what is with the next one.
func (f *following) finishRun(ctx context.Context, run []*arrival) (done int, stopped *arrival, err error) {
	places := []place{}
	byKey := make(map[string]*arrival, len(run))
	for _, a := range run {
		if !a.listed {
			break
		}
		places, byKey[a.place.key] = append(places, a.place), a
	}
	for n, o := range f.each(places, func(p place) Outcome { return f.finishListed(ctx, byKey[p.key]) }) {
		if o.State == Failed {
			return n, nil, o.Err
		}
		f.settled[places[n].name] = o
	}
	if done = len(places); done == len(run) {
		return done, nil, nil
	}
	a := run[done]
	f.attempts[a.place.name] = a.attempt
	switch {
	case aboutTheObject(a.err):
		return done, a, a.err
	case errors.Is(a.err, errNothing):
		return done, nil, fmt.Errorf("%w: %w", errNextTry, a.err)
	}
	return done, nil, a.err // nil when it did not fit those before it
}

// finishListed removes a listed file from the inbox if it is there. Another
// object in its place stays and waits.
func (f *following) finishListed(ctx context.Context, a *arrival) Outcome {
	if a.object.Key != "" {
		if err := f.remove(ctx, a); err != nil && !replaced(err) {
			return failed(err)
		}
	}
	return Outcome{State: Listed, File: a.file}
}

// arrived finds which of the next names are in the inbox or in the dataset, up to
// the first that is in neither, and to MaxAppend. The first is looked at alone: a
// list that waits costs no more than that.
// Errors: errWaits, and any error of the inbox or the catalog, about the name
// after those that it returns.
func (f *following) arrived(ctx context.Context, names []string) ([]*arrival, error) {
	var run []*arrival
	for _, some := range [][]string{names[:1], names[1:min(len(names), dataset.MaxAppend)]} {
		places := make([]place, len(some))
		found := make(map[string]*arrival, len(some))
		for n, name := range some {
			places[n] = fileAt(f.datasetID, name)
			found[name] = &arrival{place: places[n], attempt: f.attempts[name]}
		}
		for n, o := range f.each(places, func(p place) Outcome { return f.look(ctx, found[p.name]) }) {
			if o.Err != nil {
				return run, o.Err
			}
			run = append(run, found[some[n]])
		}
	}
	return run, nil
}

// look sees whether the file of a name is in the inbox, or in the dataset.
func (f *following) look(ctx context.Context, a *arrival) Outcome {
	_, err := f.stat(ctx, a.place)
	if !errors.Is(err, errNothing) {
		return Outcome{Err: err}
	}
	have, err := f.catalog.File(ctx, f.tenant, f.datasetID, a.place.name)
	if fault.Is(err, fault.CodeFileNotFound) {
		return Outcome{Err: errWaits}
	}
	a.file, a.listed = have, err == nil
	return Outcome{Err: err}
}

// leave ends the work on a list for now: what is done is taken off it, and it
// goes when nothing is left. Where a file was refused, first the list is rejected
// and then the file; the files before it are in the dataset.
func (f *following) leave(ctx context.Context, p place, o dataset.InboxObject, rest []string, progress bool, stopped *arrival, why error) error {
	if len(rest) == 0 {
		if err := f.inbox.Delete(ctx, o); err != nil {
			return fmt.Errorf("removing a list that is done: %w", err)
		}
		f.settled[orderName] = Outcome{State: Listed}
		return fmt.Errorf("%w: another list may be there", errNextTry)
	}
	if progress {
		var err error
		if o, err = f.shorten(ctx, o, rest); err != nil {
			return err
		}
	}
	switch {
	case stopped != nil:
		if err := f.rejectOrder(ctx, p, o, errStopped(stopped, len(rest))); err != nil {
			return err
		}
		f.settled[stopped.place.name] = f.reject(ctx, stopped.place, stopped.object, stopped.err)
		return nil
	case errors.Is(why, errWaits):
		return nil
	}
	return why
}

// shorten takes what is done off a list, and returns the list as it is then.
func (f *following) shorten(ctx context.Context, o dataset.InboxObject, rest []string) (dataset.InboxObject, error) {
	text, err := json.Marshal(rest)
	if err != nil {
		return o, fault.Internal("encoding a list of names", err)
	}
	err = f.inbox.Replace(ctx, o, text)
	if fault.Is(err, fault.CodeFileNotFound) {
		return o, fmt.Errorf("%w: the list has gone", errNextTry)
	}
	if err != nil {
		return o, fmt.Errorf("taking what is done off a list: %w", err)
	}
	now, err := f.inbox.Stat(ctx, o.Key)
	if err != nil {
		return o, fmt.Errorf("%w: %w", errNextTry, err)
	}
	have, err := f.inbox.ReadSmall(ctx, now, MaxOrderBytes)
	if err != nil || !bytes.Equal(have, text) {
		return o, fmt.Errorf("%w: the list was replaced: %w", errNextTry, err)
	}
	return now, nil
}

// rejectOrder moves a list to where rejected objects are.
func (f *following) rejectOrder(ctx context.Context, p place, o dataset.InboxObject, why error) error {
	done := f.reject(ctx, p, o, why)
	if done.State == Failed {
		return done.Err
	}
	f.settled[orderName] = done
	return nil
}

// errStopped is why a list is rejected of which a file was refused.
func errStopped(a *arrival, left int) error {
	why := faultOf(a.err)
	return fault.Newf(fault.CodeOrderStopped,
		"The files before it are in the dataset. Put a file under that name that the dataset can take, or leave the name out of the list; then retry this rejection.",
		"The list stopped at a file that was refused: %s", why.Message).
		With("refused_file", a.place.name).With("refused_code", why.Code).With("names_left", left)
}
