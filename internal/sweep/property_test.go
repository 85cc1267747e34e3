package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/sweep"
)

// TestNothingListedIsSweptAndNothingElseStays has uploads, appends, aborts and
// deletions happen in any order, stop anywhere, and arrive late, with sweeps
// between them and in the middle of them. Whatever is listed always has its
// bytes; and once everybody has stopped and time has passed, nothing else does.
func TestNothingListedIsSweptAndNothingElseStays(t *testing.T) {
	b := newBench(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{bench: b}
		m.choose = func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
		m.newDataset(t)
		steps := map[string]func(*rapid.T){
			"":      m.everyListedFileHasItsBytes,
			"sweep": m.sweepWithOthers,
			"wait": func(*rapid.T) {
				m.wait(time.Duration([]int{1, 1, 13, 13, 30, 200}[m.choose(6)]) * time.Hour)
			},
		}
		for name, step := range m.steps() {
			steps[name] = func(*rapid.T) { step() }
		}
		t.Repeat(steps)
		m.everybodyStops(t)
	})
}

// machine does one step at a time of what goes on.
type machine struct {
	*bench
	choose   func(n int) int  // one of n
	received []dataset.File   // the bytes of direct uploads
	sent     []dataset.Append // transactions that were done
	begun    []dataset.Upload // in any state
	wrong    error            // the first answer that nobody should get
}

func (m *machine) steps() map[string]func() {
	return map[string]func(){
		"receive":    func() { m.received = append(m.received, m.file(m.name())) },
		"append":     m.appendReceived,
		"again":      m.appendAgain,
		"begin":      m.begin,
		"begin none": m.beginNone,
		"join":       m.join,
		"complete":   m.completeUpload,
		"run":        m.appendUploads,
		"abort":      m.abort,
		"delete":     m.delete,
	}
}

// crashes says whether whoever is at work stops before the next thing it does.
func (m *machine) crashes() bool { return m.choose(4) == 0 }

func (m *machine) name() string { return fmt.Sprint(m.choose(10)) }

// appendReceived is the end of a direct upload.
func (m *machine) appendReceived() {
	if len(m.received) == 0 {
		return
	}
	f := m.received[m.choose(len(m.received))]
	m.send(dataset.Append{Tenant: tenant, DatasetID: m.dataset, Files: []dataset.File{f}, Schema: columns})
}

// send sends a transaction. A direct upload that is refused does not try again,
// and discards its bytes.
func (m *machine) send(a dataset.Append) {
	_, err := m.Append(m.ctx, a)
	switch code := fault.CodeOf(err); {
	case err == nil:
		m.sent = append(m.sent, a)
	case code != fault.CodeFileExists && code != fault.CodeUploadClosed && code != fault.CodeUploadIncomplete && code != fault.CodeUploadNotFound:
		m.wrong = errors.Join(m.wrong, err)
	case len(a.Uploads) == 0:
		m.received = slices.DeleteFunc(m.received, func(f dataset.File) bool { return f == a.Files[0] })
		if !m.crashes() {
			delete(m.store.objects, a.Files[0].ObjectKey)
		}
	}
}

// appendAgain is a transaction that was done and arrives once more.
func (m *machine) appendAgain() {
	if len(m.sent) > 0 {
		_, err := m.Append(m.ctx, m.sent[m.choose(len(m.sent))])
		m.wrong = errors.Join(m.wrong, err)
	}
}

func (m *machine) begin() {
	u := m.newUpload(m.name())
	m.begun = append(m.begun, u)
	_, err := m.CreateUpload(m.ctx, tenant, u, dataset.Idempotency{})
	m.wrong = errors.Join(m.wrong, err)
}

// beginNone stops before the catalog hears of an upload.
func (m *machine) beginNone() { m.newUpload("none") }

// join joins the parts of an upload, and whoever does it stops.
func (m *machine) join() {
	if len(m.begun) > 0 {
		u := m.begun[m.choose(len(m.begun))]
		m.store.join(u.ObjectKey, u.PartsID)
	}
}

// completeUpload does what Service.CompleteUpload does, up to the append.
func (m *machine) completeUpload() {
	if len(m.begun) == 0 {
		return
	}
	u := m.begun[m.choose(len(m.begun))]
	if now, err := m.Upload(m.ctx, tenant, u.ID); err != nil || now.State != dataset.UploadOpen || now.Expired(m.now) {
		return
	}
	if m.store.join(u.ObjectKey, u.PartsID); m.store.has(u.ObjectKey) {
		_, _ = m.complete(u)
	}
}

// appendUploads appends one upload or two.
func (m *machine) appendUploads() {
	a := dataset.Append{Tenant: tenant, DatasetID: m.dataset, Schema: columns}
	for n := range 2 {
		if len(m.begun) == 0 {
			return
		}
		u := m.begun[m.choose(len(m.begun))]
		if n > 0 && a.Files[0].Name == u.FileName {
			break
		}
		a.Files, a.Uploads = append(a.Files, u.File()), append(a.Uploads, u.ID)
	}
	m.send(a)
}

func (m *machine) abort() {
	if len(m.begun) == 0 {
		return
	}
	u := m.begun[m.choose(len(m.begun))]
	if _, err := m.AbortUpload(m.ctx, tenant, u.ID); err != nil || m.crashes() {
		return
	}
	if err := m.store.AbortParts(m.ctx, u.ObjectKey, u.PartsID); err == nil && !m.crashes() {
		delete(m.store.objects, u.ObjectKey)
	}
}

func (m *machine) delete() {
	m.deletions++
	deleted, err := m.DeleteFile(m.ctx, dataset.Deletion{ID: fmt.Sprint("deletion-", m.deletions), Tenant: tenant, DatasetID: m.dataset, Name: m.name()})
	if err == nil && !m.crashes() {
		delete(m.store.objects, deleted.File.ObjectKey)
	}
}

// sweepWithOthers sweeps while others go on, and now and then fails or is cut off.
func (m *machine) sweepWithOthers(t *rapid.T) {
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	random := rand.New(rand.NewSource(rapid.Int64().Draw(t, "meanwhile"))) //nolint:gosec // no secret
	others := func() error {
		during := *m
		during.choose = random.Intn
		for range random.Intn(3) {
			[]func(){during.appendReceived, during.appendReceived, during.appendAgain, during.completeUpload, during.appendUploads, during.delete}[random.Intn(6)]()
		}
		m.received, m.sent, m.wrong = during.received, during.sent, during.wrong
		switch random.Intn(10) {
		case 0:
			cancel()
		case 1:
			return errors.New("outage")
		}
		return nil
	}
	s := sweep.New(meddling{m.store, others}, meddledWith{m.Catalog, others}, sweep.WithClock(m.clock), sweep.OneAtATime())
	_, _ = s.Sweep(ctx)
}

// meddling is a store around whose calls others go on.
type meddling struct {
	*memory
	others func() error
}

func (s meddling) List(ctx context.Context, prefix, after string, limit int) ([]dataset.Listed, bool, error) {
	page, more, err := s.memory.List(ctx, prefix, after, limit)
	return page, more, errors.Join(err, s.others())
}

func (s meddling) AbortParts(ctx context.Context, key, id string) error {
	if err := s.others(); err != nil {
		return err
	}
	return s.memory.AbortParts(ctx, key, id)
}

func (s meddling) DeleteMany(ctx context.Context, keys []string) error {
	if err := s.others(); err != nil {
		return err
	}
	return s.memory.DeleteMany(ctx, keys)
}

// meddledWith is a catalog around whose calls others go on.
type meddledWith struct {
	sweep.Catalog
	others func() error
}

func (c meddledWith) FileRecords(ctx context.Context, ids []dataset.FileRef) ([]dataset.FileRecord, error) {
	records, err := c.Catalog.FileRecords(ctx, ids)
	return records, errors.Join(err, c.others())
}

func (c meddledWith) ClaimFile(ctx context.Context, id dataset.FileRef) (dataset.FileRecord, error) {
	r, err := c.Catalog.ClaimFile(ctx, id)
	return r, errors.Join(err, c.others())
}

// listed are the keys of a dataset's files.
func (b *bench) listed(t *rapid.T, datasetID string) map[string]bool {
	page, err := b.Files(b.ctx, tenant, datasetID, 0, 1000)
	if err != nil || page.More {
		t.Fatalf("listing: %v", err)
	}
	keys := map[string]bool{}
	for _, f := range page.Files {
		keys[f.ObjectKey] = true
	}
	return keys
}

func (m *machine) everyListedFileHasItsBytes(t *rapid.T) {
	if m.wrong != nil {
		t.Fatal(m.wrong)
	}
	for key := range m.listed(t, m.dataset) {
		if !m.store.has(key) {
			t.Fatalf("%s is listed and has no bytes", key)
		}
	}
}

// everybodyStops lets time pass and sweeps, until nothing is left to be done.
func (m *machine) everybodyStops(t *rapid.T) {
	for _, days := range []time.Duration{1, 1, 1, 8, 8, 8} {
		m.wait(days * day)
		r, err := m.sweeper().Sweep(m.ctx)
		if err != nil || !r.Finished {
			t.Fatalf("swept %+v, %v", r, err)
		}
	}
	m.everyListedFileHasItsBytes(t)
	listed := m.listed(t, m.dataset)
	for key := range m.store.objects {
		if !listed[key] {
			t.Fatalf("%s stayed", key)
		}
		delete(m.store.objects, key) // the next round has a dataset of its own
	}
	if len(m.store.parts) > 0 {
		t.Fatalf("%v stayed", m.store.parts)
	}
}
