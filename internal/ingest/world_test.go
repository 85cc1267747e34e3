package ingest_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/ingest"
)

const (
	tenant = "acme"
	bucket = "inbox"
	// dataset-1 takes files as they arrive, dataset-2 by name; dataset-3 is another
	// tenant's, which is to say that there is none.
	arriving = "dataset-1"
	byName   = "dataset-2"
	foreign  = "dataset-3"
)

// world is an inbox, the objects of files and a catalog in memory: what S3 and a
// catalog promise, in the plainest code.
type world struct {
	mu      sync.Mutex
	now     time.Time
	inbox   map[string]stored
	objects map[string][]byte
	sets    map[string]*set
	ids     map[string]dataset.File // that were appended
	claimed map[string]bool
	tasks   map[string][]byte
}

type stored struct {
	content []byte
	at      time.Time
}

type set struct {
	d     dataset.Dataset
	files []dataset.File // those that are listed
}

func newWorld() *world {
	w := &world{
		now:   time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC),
		inbox: map[string]stored{}, objects: map[string][]byte{}, sets: map[string]*set{},
		ids: map[string]dataset.File{}, claimed: map[string]bool{}, tasks: map[string][]byte{},
	}
	w.sets[arriving] = &set{d: dataset.Dataset{ID: arriving}}
	w.sets[byName] = &set{d: dataset.Dataset{ID: byName, IngestOrder: dataset.IngestName}}
	return w
}

func (w *world) clock() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

// put is a put of the inbox's owner, a second after the last.
func (w *world) put(key string, content []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Second)
	w.inbox[key] = stored{content, w.now}
}

func (w *world) incoming() []string { return w.under(ingest.IncomingPrefix) }

func (w *world) under(prefix string) (keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.inbox {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// claimCopies is the sweeper: it gives up what was copied and not appended.
func (w *world) claimCopies() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.objects {
		id := key[strings.LastIndex(key, "/")+1:]
		if _, ok := w.ids[id]; !ok {
			w.claimed[id] = true
			delete(w.objects, key)
		}
	}
}

// deleteFile takes the last file out of a dataset.
func (w *world) deleteFile(id string) {
	s := w.sets[id]
	s.files = s.files[:len(s.files)-1]
}

// names lists a dataset.
func (w *world) names(id string) (names []string) {
	for _, f := range w.sets[id].files {
		names = append(names, f.Name)
	}
	return names
}

// worker is a process that ingests. It crashes after a number of steps: the last
// one it takes without hearing of it.
type worker struct {
	*world
	mu    sync.Mutex
	steps int            // left; negative for no end
	taken int            // so far
	hooks map[int]func() // called before a step

	refuses func(step int) error // gives what a step is answered instead of being taken
}

var errCrashed = errors.New("the process has crashed")

func (w *world) worker(steps int) *worker { return &worker{world: w, steps: steps} }

func (w *worker) ingester() *ingest.Ingester {
	return ingest.New(tenant, bucket, w, w, ingest.WithClock(w.clock))
}

func (w *worker) ingest(keys ...string) []ingest.Outcome {
	notices := make([]ingest.Notice, len(keys))
	for n, key := range keys {
		notices[n] = ingest.Notice{Bucket: bucket, Key: key}
	}
	return w.ingester().Ingest(context.Background(), notices)
}

// step does something in one step, unless the process has crashed.
func (w *worker) step(do func() error) error {
	w.mu.Lock()
	alive := w.steps != 0
	if w.steps > 0 {
		w.steps--
	}
	last := alive && w.steps == 0
	hook := w.hooks[w.taken]
	var refusal error
	if w.refuses != nil {
		refusal = w.refuses(w.taken)
	}
	w.taken++
	w.mu.Unlock()
	if hook != nil {
		hook()
	}
	switch {
	case !alive:
		return errCrashed
	case refusal != nil:
		return refusal
	}
	w.world.mu.Lock()
	defer w.world.mu.Unlock()
	if err := do(); !last {
		return err
	}
	return errCrashed
}

func errNone() error { return fault.New(fault.CodeFileNotFound, "no such object", "") }

func etag(content []byte) string {
	sum := md5.Sum(content)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// crc stands for a checksum.
func crc(content []byte) string { return etag(content)[1:9] }

// at finds the version of an object.
func (w *worker) at(from dataset.InboxObject) ([]byte, error) {
	o, ok := w.inbox[from.Key]
	switch {
	case !ok:
		return nil, errNone()
	case etag(o.content) != from.ETag:
		return nil, fault.New(fault.CodeConflict, "replaced", "").Because(dataset.ErrObjectReplaced)
	}
	return o.content, nil
}

func (w *worker) Stat(_ context.Context, key string) (o dataset.InboxObject, err error) {
	return o, w.step(func() error {
		have, ok := w.inbox[key]
		if !ok {
			return errNone()
		}
		o = dataset.InboxObject{Key: key, SizeBytes: int64(len(have.content)), ETag: etag(have.content), ModifiedAt: have.at}
		if len(have.content)%2 == 0 { // of some objects the store has no checksum
			o.CRC64NVME = crc(have.content)
		}
		return nil
	})
}

func (w *worker) List(_ context.Context, prefix, after string, limit int) (objects []dataset.Listed, more bool, err error) {
	return objects, more, w.step(func() error {
		for _, key := range slices.Sorted(maps.Keys(w.inbox)) {
			if o := w.inbox[key]; strings.HasPrefix(key, prefix) && key > after {
				if more = len(objects) == limit; more {
					return nil
				}
				objects = append(objects, dataset.Listed{Key: key, SizeBytes: int64(len(o.content)), ModifiedAt: o.at})
			}
		}
		return nil
	})
}

func (w *worker) Open(_ context.Context, from dataset.InboxObject, part dataset.Range) (body io.ReadCloser, err error) {
	return body, w.step(func() error {
		content, err := w.at(from)
		if err == nil && part != (dataset.Range{}) {
			content = content[part.Offset:min(part.Offset+part.Length, int64(len(content)))]
		}
		body = io.NopCloser(bytes.NewReader(content))
		return err
	})
}

func (w *worker) ReadSmall(_ context.Context, from dataset.InboxObject, atMost int64) (content []byte, err error) {
	if from.SizeBytes > atMost {
		return nil, fault.New(fault.CodeRequestTooLarge, "too large", "")
	}
	return content, w.step(func() (err error) { content, err = w.at(from); return err })
}

func (w *worker) PutSmall(_ context.Context, key string, document []byte) error {
	return w.step(func() error { w.inbox[key] = stored{document, w.now}; return nil })
}

func (w *worker) PutNew(_ context.Context, key string, document []byte) error {
	return w.step(func() error {
		if _, ok := w.inbox[key]; ok {
			return fault.New(fault.CodeConflict, "taken", "")
		}
		w.inbox[key] = stored{document, w.now}
		return nil
	})
}

func (w *worker) Replace(_ context.Context, from dataset.InboxObject, document []byte) error {
	return w.step(func() error {
		_, err := w.at(from)
		if err == nil {
			w.inbox[from.Key] = stored{document, w.now}
		}
		return err
	})
}

func (w *worker) CopyIn(_ context.Context, from dataset.InboxObject, toKey string) (s dataset.Stored, err error) {
	return s, w.step(func() error {
		content, done := w.objects[toKey]
		if !done {
			var err error
			if content, err = w.at(from); err != nil {
				return err
			}
			w.objects[toKey] = content
		}
		s = dataset.Stored{SizeBytes: int64(len(content)), CRC64NVME: crc(content)}
		return nil
	})
}

func (w *worker) Move(_ context.Context, from dataset.InboxObject, toKey string) error {
	err := w.step(func() error {
		content, err := w.at(from)
		if err != nil {
			return err
		}
		if have, ok := w.inbox[toKey]; ok && etag(have.content) != from.ETag {
			return fault.New(fault.CodeConflict, "taken", "")
		} else if !ok {
			w.now = w.now.Add(time.Second)
			w.inbox[toKey] = stored{content, w.now}
		}
		return nil
	})
	if err == nil {
		if err = w.Delete(nil, from); errors.Is(err, dataset.ErrObjectReplaced) {
			err = nil
		}
	}
	return err
}

// Delete compares the time as well in its one step: a real store does that a
// moment before.
func (w *worker) Delete(_ context.Context, from dataset.InboxObject) error {
	return w.step(func() error {
		_, err := w.at(from)
		switch {
		case fault.Is(err, fault.CodeFileNotFound):
			return nil
		case err == nil && !w.inbox[from.Key].at.Equal(from.ModifiedAt):
			return fault.New(fault.CodeConflict, "put again", "").Because(dataset.ErrObjectReplaced)
		case err == nil:
			delete(w.inbox, from.Key)
		}
		return err
	})
}

func (w *worker) Dataset(_ context.Context, who, id string) (d dataset.Dataset, err error) {
	return d, w.step(func() error {
		s := w.sets[id]
		if s == nil || who != tenant {
			return dataset.ErrDatasetNotFound()
		}
		d = s.d
		return nil
	})
}

func (w *worker) File(_ context.Context, _, id, name string) (f dataset.File, err error) {
	return f, w.step(func() error {
		s := w.sets[id]
		if s == nil {
			return dataset.ErrDatasetNotFound()
		}
		for _, f = range s.files {
			if f.Name == name {
				return nil
			}
		}
		return dataset.ErrFileNotFound()
	})
}

func (w *worker) Progress(_ context.Context, task string) (state []byte, err error) {
	return state, w.step(func() error { state = w.tasks[task]; return nil })
}

func (w *worker) SaveProgress(_ context.Context, task string, state []byte) error {
	return w.step(func() error { w.tasks[task] = state; return nil })
}

func (w *worker) Append(_ context.Context, a dataset.Append) (done dataset.Appended, err error) {
	if err := a.Check(); err != nil {
		return done, err
	}
	return done, w.step(func() error { return w.append(a, &done) })
}

func (w *worker) append(a dataset.Append, done *dataset.Appended) error {
	s := w.sets[a.DatasetID]
	if s == nil {
		return dataset.ErrDatasetNotFound()
	}
	var known []dataset.File
	for _, f := range a.Files {
		if have, ok := w.ids[f.ID]; ok {
			known = append(known, have)
		}
	}
	if a.SameFiles(known) {
		done.Files = known
		return nil
	}
	if s.d.Schema != nil && s.d.Schema.Key() != a.Schema.Key() {
		return dataset.Mismatch(*s.d.Schema, a.Schema, s.d.SchemaFile)
	}
	for _, f := range a.Files {
		_, before := w.ids[f.ID]
		if before || slices.ContainsFunc(s.files, func(have dataset.File) bool { return have.Name == f.Name }) {
			return dataset.ErrFileExists(f.Name)
		}
	}
	for _, f := range a.Files {
		if w.claimed[f.ID] {
			return dataset.ErrFileClaimed(f)
		}
	}
	if s.d.Schema == nil {
		s.d.Schema, s.d.SchemaFile = &a.Schema, a.Files[0].Name
	}
	for _, f := range a.Files {
		f.Position = s.d.NextPosition
		s.d.NextPosition++
		s.files = append(s.files, f)
		w.ids[f.ID] = f
		done.Files = append(done.Files, f)
	}
	return nil
}

// parquet is a Parquet file with the usual schema, of which there are as many as
// there are marks.
func parquet(t testing.TB, mark string) []byte {
	t.Helper()
	return variant(t, "same/parquetgo_none.parquet", mark)
}

// otherParquet is one with another schema.
func otherParquet(t testing.TB, mark string) []byte {
	return variant(t, "different/pyarrow_ts_units.parquet", mark)
}

// variant puts a mark behind the magic of a file, where nothing of it lies.
func variant(t testing.TB, name, mark string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "footer", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(content[:4], []byte(mark), content[4:])
}
