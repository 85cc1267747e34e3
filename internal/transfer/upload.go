package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/checksum"
	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
)

// UploadResult is what an upload did.
type UploadResult struct {
	TransferID string `json:"transfer_id,omitempty"`
	DatasetID  string `json:"dataset_id"`
	Uploaded   int    `json:"uploaded_count"`
	Skipped    int    `json:"skipped_count"`
	Bytes      int64  `json:"uploaded_bytes"`
	BytesSent  int64  `json:"sent_bytes"` // by this run; more than it had to when parts were sent again
	First      *int64 `json:"first_position,omitempty"`
	Last       *int64 `json:"last_position,omitempty"`
}

// Upload carries out a plan: it sends the files in parallel and appends them in
// their order, a prefix at a time. It may be repeated with a new plan after any
// error and any crash, and goes on where it stopped: of what had been sent, at most
// the parts that were under way are sent again.
// Errors: CodeFileChanged; CodeConflict when another process is at it; those of
// client; CodeUnavailable when the network or the server didn't come back.
func (e *Engine) Upload(ctx context.Context, plan *UploadPlan, tell Observer) (UploadResult, error) {
	result := UploadResult{TransferID: plan.transferID, DatasetID: plan.DatasetID, Skipped: len(plan.Files) - plan.Count}
	if plan.Count == 0 {
		return result, e.forget(e.transferOf(plan), func(m memory) bool { return m.hasAny(plan.Files) })
	}
	files := plan.wanted()
	spare := func(m memory) []string { return m.spares(plan.Files) }
	journal, old, err := e.store.begin(e.transferOf(plan), func(m memory) bool { return m.hasAny(plan.Files) },
		func(m memory) iter.Seq[entry] { return m.carry(files, spare(m)) })
	if err != nil {
		return result, err
	}
	result.TransferID = journal.ID
	g := e.newGate(plan.Bytes / int64(plan.Count))
	run := &uploadRun{
		engine: e, datasetID: plan.DatasetID, to: datasetDestination{e.client, plan.DatasetID}, files: files, journal: journal, before: old.uploads, gate: g,
		meter: startMeter(journal.ID, g, len(files), plan.Bytes, tell), complete: make([]string, len(files)), more: make(chan struct{}, 1),
	}
	err = run.run(ctx)
	run.meter.end()
	result.BytesSent = run.meter.moved.Load()
	result.Uploaded = run.appended
	for _, f := range files[:run.appended] {
		result.Bytes += f.SizeBytes
	}
	if run.appended > 0 {
		result.First, result.Last = &run.first, &run.last
	}
	if err != nil {
		return result, errors.Join(err, journal.close())
	}
	e.abandon(ctx, spare(old))
	return result, journal.remove()
}

func (e *Engine) transferOf(plan *UploadPlan) Transfer {
	return Transfer{ID: plan.transferID, Kind: KindUpload, Server: e.client.URL(), DatasetID: plan.DatasetID, Files: plan.Count, Bytes: plan.Bytes}
}

// wanted is the files that are to be sent.
func (p *UploadPlan) wanted() []PlannedFile {
	if p.Count == len(p.Files) {
		return p.Files
	}
	files := make([]PlannedFile, 0, p.Count)
	for _, f := range p.Files {
		if f.Action == ActionUpload {
			files = append(files, f)
		}
	}
	return files
}

// forget ends a transfer of which nothing is left: it was interrupted after its
// last step.
func (e *Engine) forget(t Transfer, takes func(memory) bool) error {
	old, err := e.store.interrupted(t, takes)
	if err != nil || old.ID == "" {
		return err
	}
	journal, _, err := e.store.begin(t, takes, nothing)
	if err != nil {
		return err
	}
	return journal.remove()
}

// hasAny reports whether a journal knows one of the files.
func (m memory) hasAny(files []PlannedFile) bool {
	for _, f := range files {
		if _, ok := m.known[f.source]; ok {
			return true
		}
	}
	return false
}

// carry is what a new journal says about the files, as far as an old one knows
// them.
func (m memory) carry(files []PlannedFile, spare []string) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		for i := range files {
			if !yield(entry{File: &files[i].source}) {
				return
			}
		}
		for i, f := range files {
			if b, ok := m.uploads[f.source]; ok && !yield(entry{Index: i, Upload: b.upload, Try: b.try}) {
				return
			}
		}
		for _, id := range spare {
			if !yield(entry{Spare: id}) {
				return
			}
		}
	}
}

// nothing is what a new journal says that is removed at once.
func nothing(memory) iter.Seq[entry] { return func(func(entry) bool) {} }

// spares are uploads of a journal that none of the files needs, be it to be sent
// or there already.
func (m memory) spares(files []PlannedFile) []string {
	if len(m.uploads) == 0 {
		return m.spare
	}
	needed := make(map[identity]bool, len(files))
	for _, f := range files {
		needed[f.source] = true
	}
	ids := slices.Clone(m.spare)
	for id, b := range m.uploads {
		if !needed[id] {
			ids = append(ids, b.upload)
		}
	}
	return ids
}

// abandon gives uploads up that nobody will finish. What can't be given up ends
// by itself when its time is over.
func (e *Engine) abandon(ctx context.Context, uploads []string) { _ = e.abort(ctx, uploads) }

// destination is where the files of an upload go.
type destination interface {
	// begin creates the upload of a file. It may be repeated with the same key.
	begin(ctx context.Context, f PlannedFile, key string) (client.Upload, error)
	// has reports an upload of which nothing is left to do.
	has(view client.Upload) bool
	// finish makes the parts whole, if they have the checksum. It may be repeated.
	finish(ctx context.Context, uploadID, checksum string) error
}

// datasetDestination takes files that are appended when they are complete.
type datasetDestination struct {
	client    *client.Client
	datasetID string
}

func (d datasetDestination) begin(ctx context.Context, f PlannedFile, key string) (client.Upload, error) {
	return d.client.CreateUpload(ctx, client.NewUpload{
		DatasetID: d.datasetID, FileName: f.Name, SizeBytes: f.SizeBytes, PartSize: partSizeOf(f.SizeBytes), Limit: partsAsked, SinglePut: true,
	}, key)
}

func (d datasetDestination) has(view client.Upload) bool { return view.State == client.UploadComplete }

func (d datasetDestination) finish(ctx context.Context, uploadID, checksum string) error {
	_, err := d.client.CompleteUpload(ctx, uploadID, checksum)
	return err
}

// uploadRun is an upload that runs.
type uploadRun struct {
	engine    *Engine
	datasetID string
	to        destination
	files     []PlannedFile
	journal   *journal
	before    map[identity]begun
	gate      *gate
	meter     *meter

	mu       sync.Mutex
	complete []string      // the uploads that can be appended, by file
	more     chan struct{} // another one is complete

	appended    int // files, from the first on
	first, last int64
}

func (r *uploadRun) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.appendAll(ctx) })
	room := make(chan struct{}, filesAtOnce)
	for i := range r.files {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			defer func() { <-room }()
			id, err := r.upload(ctx, i)
			if err != nil {
				return err
			}
			r.mu.Lock()
			r.complete[i] = id
			r.mu.Unlock()
			select {
			case r.more <- struct{}{}:
			default: // it is known already that there is more
			}
			return nil
		})
	}
	return group.Wait()
}

// Batches of files that are appended.
const (
	appendRun  = 32                     // the server's own: all or none of them
	appendWait = 300 * time.Millisecond // for as many to come together
)

// appendAll appends the files in order, as they become complete.
func (r *uploadRun) appendAll(ctx context.Context) error {
	for r.appended < len(r.files) {
		batch := r.batch()
		if len(batch) == 0 {
			if err := r.await(ctx, nil); err != nil {
				return err
			}
			continue
		}
		if len(batch) < appendRun && r.appended+len(batch) < len(r.files) {
			batch = r.fuller(ctx)
		}
		files, err := r.engine.client.AppendFiles(ctx, r.datasetID, batch)
		if err != nil {
			return err
		}
		if len(files) != len(batch) {
			return fault.New(fault.CodeUnavailable, "The server's answer about what it appended can't be understood.", "Run the same command again: it finds out.")
		}
		if r.appended == 0 {
			r.first = files[0].Position
		}
		r.last = files[len(files)-1].Position
		r.appended += len(files)
		if err := r.journal.note(entry{Done: r.appended}, false); err != nil {
			return err
		}
		for _, f := range files {
			r.meter.fileDone(FileDone{Name: f.Name, Position: f.Position, SizeBytes: f.SizeBytes})
		}
	}
	return nil
}

// batch is the complete uploads that come next.
func (r *uploadRun) batch() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.appended
	for end < len(r.files) && end-r.appended < client.MaxAppend && r.complete[end] != "" {
		end++
	}
	return r.complete[r.appended:end:end]
}

// fuller gives a short batch some time to grow.
func (r *uploadRun) fuller(ctx context.Context) []string {
	timer := time.NewTimer(appendWait)
	defer timer.Stop()
	for {
		batch := r.batch()
		if len(batch) >= appendRun || r.appended+len(batch) == len(r.files) {
			return batch
		}
		if err := r.await(ctx, timer.C); err != nil {
			return batch
		}
	}
}

var errEnough = errors.New("waited long enough")

// await returns when another upload is complete.
func (r *uploadRun) await(ctx context.Context, enough <-chan time.Time) error {
	select {
	case <-r.more:
		return nil
	case <-enough:
		return errEnough
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Bounds of what is tried for one file.
const (
	maxRounds = 6 // of sending what is missing
	maxTries  = 3 // uploads that were closed by somebody else
)

// uploading is a file under way.
type uploading struct {
	index int
	PlannedFile
	file   *os.File
	meter  *fileMeter
	id     string // of its upload, or ""
	try    int
	anew   bool // the parts that have arrived are not to be trusted
	joined bool // its parts may be joined already
	single bool // it goes as one
	parts  int
	size   int64 // of a part
	urls   urls
	sums   []checksum.Sum
	damage int // how often the checksum was another one
}

// upload brings a file to where it can be appended, and returns its upload.
func (r *uploadRun) upload(ctx context.Context, index int) (string, error) {
	u := &uploading{index: index, PlannedFile: r.files[index]}
	b := r.before[u.source]
	u.id, u.try = b.upload, b.try
	var err error
	if u.file, err = os.Open(u.Path); err != nil {
		return "", errChanged(u.source, err)
	}
	defer u.file.Close()
	u.meter = r.meter.begin(index, u.Name, u.SizeBytes)
	defer r.meter.leave(u.meter)
	for round := 1; ; round++ {
		err := r.round(ctx, u)
		switch {
		case err == nil:
			return u.id, nil
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case fault.Is(err, fault.CodeFileChanged):
			r.giveUp(ctx, u)
			return "", err
		case round == maxRounds || !r.another(ctx, u, err):
			return "", ofFile(err, u.Path)
		}
		r.meter.have(u.meter, -u.meter.done.Load())
	}
}

// another prepares for another round after an error that one may mend.
func (r *uploadRun) another(ctx context.Context, u *uploading, err error) bool {
	switch fault.CodeOf(err) {
	case fault.CodeUploadIncomplete: // parts are missing: they are asked for anew
		return true
	case fault.CodeChecksumMismatch:
		u.anew = !u.single
		u.damage++
		if u.single { // what went as one is not replaced
			r.giveUp(ctx, u)
			u.id = ""
			u.try++
		}
		return u.damage == 1
	case fault.CodeUploadClosed:
		// Or its parts were joined by a request whose answer was lost.
		if u.joined = !u.joined && u.id != ""; u.joined {
			return true
		}
		fallthrough
	case fault.CodeUploadNotFound:
		u.id = ""
		u.try++
		return u.try < maxTries
	}
	return false
}

// join completes an upload whose parts may have been joined before: the server
// knows. Its checksum is computed from the whole file.
func (r *uploadRun) join(ctx context.Context, u *uploading) error {
	whole, err := checksum.Of(&untilDone{ctx, io.NewSectionReader(u.file, 0, u.SizeBytes)}, u.SizeBytes)
	if err != nil {
		return err
	}
	if err := u.source.unchanged(u.file); err != nil {
		return err
	}
	err = r.to.finish(ctx, u.id, whole.String())
	if fault.Is(err, fault.CodeUploadIncomplete) || fault.Is(err, fault.CodeUnavailable) {
		return fault.New(fault.CodeUploadClosed, "The upload was closed meanwhile.", "Run the same command again.").Because(err)
	}
	if err == nil {
		r.meter.have(u.meter, u.SizeBytes)
	}
	return err
}

// giveUp lets the bytes of a file go that is not what it was.
func (r *uploadRun) giveUp(ctx context.Context, u *uploading) {
	if u.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = r.engine.client.AbortUpload(ctx, u.id) // or it ends by itself
}

// ofFile has an error name the file that it is about.
func ofFile(err error, path string) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return fmt.Errorf("uploading %s: %w", path, err)
	}
	if _, known := f.Details["path"]; known {
		return err
	}
	c := f.With("path", path)
	c.Message = path + ": " + f.Message
	return c
}

// round sends what is missing of a file and has the server check the whole.
func (r *uploadRun) round(ctx context.Context, u *uploading) error {
	if err := u.source.unchanged(u.file); err != nil {
		return err
	}
	if u.joined {
		return r.join(ctx, u)
	}
	done, err := r.open(ctx, u)
	if err != nil || done {
		return err
	}
	if err := r.send(ctx, u); err != nil {
		if changed := u.source.unchanged(u.file); changed != nil && ctx.Err() == nil {
			return changed
		}
		return err
	}
	if err := u.source.unchanged(u.file); err != nil {
		return err
	}
	var whole checksum.Sum
	for _, sum := range u.sums {
		whole = checksum.Join(whole, sum)
	}
	return r.to.finish(ctx, u.id, whole.String())
}

// key is the Idempotency-Key that a file's upload is created under: the same one
// when a run was killed before it heard of the upload.
func (r *uploadRun) key(u *uploading) string {
	id := u.source
	sum := sha256.Sum256([]byte(id.Path + "\x00" + strconv.FormatInt(id.Size, 10) + "\x00" + strconv.FormatInt(id.ModTime, 10) + "\x00" +
		strconv.FormatUint(id.Inode, 10) + "\x00" + strconv.Itoa(u.try)))
	return r.journal.Nonce + "-" + hex.EncodeToString(sum[:12])
}

// partsAsked is how many parts' URLs are asked for at a time, and partsListed how
// many when it is to be known which have arrived.
const (
	partsAsked  = 100
	partsListed = 1000
)

// open creates the file's upload, or finds out how far it has come. done means
// that nothing is left to send.
func (r *uploadRun) open(ctx context.Context, u *uploading) (done bool, err error) {
	if u.id == "" {
		return r.create(ctx, u)
	}
	view, err := r.engine.client.Upload(ctx, u.id, 1, partsListed)
	if fault.Is(err, fault.CodeUploadNotFound) {
		u.id, u.try = "", u.try+1
		return r.create(ctx, u)
	}
	if err != nil {
		return false, err
	}
	switch {
	case r.to.has(view) && view.SizeBytes == u.SizeBytes && !u.anew:
		r.meter.have(u.meter, u.SizeBytes)
		return true, nil
	case view.State != client.UploadOpen || len(view.PartURLs) == 0 || view.SizeBytes != u.SizeBytes:
		u.id, u.try = "", u.try+1
		return r.create(ctx, u)
	}
	u.take(view)
	arrived := view.Parts
	for view.NextPartsFrom > 0 {
		if view, err = r.engine.client.Upload(ctx, u.id, view.NextPartsFrom, partsListed); err != nil {
			return false, err
		}
		arrived = append(arrived, view.Parts...)
		u.urls.add(view)
	}
	if !u.anew {
		err = r.readArrived(ctx, u, arrived)
	}
	return false, err
}

// create begins an upload, and notes it before a byte moves. done means that it
// was begun before, by a run that was not heard of, and is done.
func (r *uploadRun) create(ctx context.Context, u *uploading) (done bool, err error) {
	view, err := r.to.begin(ctx, u.PlannedFile, r.key(u))
	if err != nil {
		return false, err
	}
	if r.to.has(view) && view.SizeBytes == u.SizeBytes {
		u.id = view.ID
		r.meter.have(u.meter, u.SizeBytes)
		return true, nil
	}
	if view.State != client.UploadOpen {
		return false, fault.New(fault.CodeUploadClosed, "The upload was closed meanwhile.", "Run the same command again.")
	}
	u.id = view.ID
	u.take(view)
	return false, r.journal.note(entry{Index: u.index, Upload: u.id, Try: u.try}, true)
}

// take takes an open upload in.
func (u *uploading) take(view client.Upload) {
	u.parts, u.size = view.PartCount, view.PartSize
	u.sums = make([]checksum.Sum, u.parts)
	u.single = len(view.PartURLs) == 1 && len(view.PartURLs[0].Headers) > 0
	u.urls = urls{}
	u.urls.add(view)
}
