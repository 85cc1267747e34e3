package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	parquetgo "github.com/parquet-go/parquet-go"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/ingest"
)

// slowCopies is a worker whose copies of some objects take longer than there is
// time. Like those of S3 they are cut off with the context.
type slowCopies struct {
	*worker
	slow []string // keys
}

func (s slowCopies) CopyIn(ctx context.Context, from dataset.InboxObject, toKey string) (dataset.Stored, error) {
	if slices.Contains(s.slow, from.Key) {
		<-ctx.Done()
		return dataset.Stored{}, context.Cause(ctx)
	}
	return s.worker.CopyIn(ctx, from, toKey)
}

func (s slowCopies) Append(ctx context.Context, a dataset.Append) (dataset.Appended, error) {
	if err := ctx.Err(); err != nil {
		return dataset.Appended{}, err
	}
	return s.worker.Append(ctx, a)
}

// A very large object, whose copying takes several calls, does not keep back those
// that came with it.
func TestALargeObjectKeepsNoOtherBack(t *testing.T) {
	for name, tc := range map[string]struct {
		datasetID string
		files     []string // the third is the large one
		want      []ingest.State
		listed    int
	}{
		"as they come": {arriving, []string{"a", "b", "large", "c"}, []ingest.State{ingest.Listed, ingest.Listed, ingest.Failed, ingest.Listed}, 3},
		"by name":      {byName, []string{"a", "b", "large", "c"}, []ingest.State{ingest.Listed, ingest.Listed, ingest.Failed, ingest.Failed}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				var notices []ingest.Notice
				for _, f := range tc.files {
					w.put(key(tc.datasetID, f), parquet(t, f))
					notices = append(notices, ingest.Notice{Bucket: bucket, Key: key(tc.datasetID, f)})
				}
				if tc.datasetID == byName {
					w.putOrder(t, tc.files...)
				}
				s := slowCopies{w.worker(-1), []string{key(tc.datasetID, "large")}}
				ctx, cancel := context.WithTimeout(t.Context(), 280*time.Second)
				defer cancel()
				got := ingest.New(tenant, bucket, s, s, ingest.WithClock(w.clock)).Ingest(ctx, notices)
				wantStates(t, got, tc.want...)
				if listed := w.names(tc.datasetID); len(listed) != tc.listed {
					t.Errorf("listed are %q", listed)
				}
			})
		})
	}
}

// largeFooters is a worker whose objects are all as large as a footer may be and
// consist of nothing else, without holding them. It notes how many bytes are read
// from the inbox at a time at most.
type largeFooters struct {
	*worker
	mu        sync.Mutex
	now, most int64
}

const footerBytes = 64 << 20

func (l *largeFooters) Stat(ctx context.Context, key string) (dataset.InboxObject, error) {
	o, err := l.worker.Stat(ctx, key)
	if strings.HasPrefix(key, ingest.IncomingPrefix) {
		o.SizeBytes = footerBytes + 12
	}
	return o, err
}

func (l *largeFooters) Open(_ context.Context, _ dataset.InboxObject, part dataset.Range) (io.ReadCloser, error) {
	l.add(part.Length)
	time.Sleep(time.Millisecond)
	at := part.Offset
	return &generated{at: at, end: at + part.Length, done: func() { l.add(-part.Length) }}, nil
}

func (l *largeFooters) add(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now += n
	l.most = max(l.most, l.now)
}

// generated is a part of a Parquet file whose footer is full of zeros.
type generated struct {
	at, end int64
	done    func()
}

func (g *generated) Read(p []byte) (int, error) {
	n := int(min(int64(len(p)), g.end-g.at))
	clear(p[:n])
	for at, mark := range map[int64]string{0: "PAR1", footerBytes + 4: "\x00\x00\x00\x04PAR1"} { // 64 MiB
		for i := range len(mark) {
			if in := at + int64(i) - g.at; in >= 0 && in < int64(n) {
				p[in] = mark[i]
			}
		}
	}
	if g.at += int64(n); g.at == g.end {
		return n, io.EOF
	}
	return n, nil
}

func (g *generated) Close() error { g.done(); return nil }

// However large the footers are that come together, they are looked at within the
// memory that a function has.
func TestLargeFootersTakeTurns(t *testing.T) {
	w := newWorld()
	var notices []ingest.Notice
	for n := range 24 {
		k := key(arriving, fmt.Sprint(n))
		w.put(k, nil)
		notices = append(notices, ingest.Notice{Bucket: bucket, Key: k})
	}
	l := &largeFooters{worker: w.worker(-1)}
	for _, o := range ingest.New(tenant, bucket, l, l).Ingest(t.Context(), notices) {
		if !fault.Is(o.Err, fault.CodeInvalidParquet) {
			t.Fatalf("%+v", o)
		}
	}
	if l.most > 4*footerBytes {
		t.Errorf("%d MiB of footers were read at a time", l.most>>20)
	}
}

// weighing is a worker that weighs what is held whenever something is appended.
type weighing struct {
	*worker
	most uint64
}

func (w *weighing) Append(ctx context.Context, a dataset.Append) (dataset.Appended, error) {
	w.most = max(w.most, heap())
	return w.worker.Append(ctx, a)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Files of many columns that come together are not each held with a schema of
// its own.
func TestWideFilesTakeLittleMemoryTogether(t *testing.T) {
	columns := parquetgo.Group{}
	for n := range 1000 {
		columns[fmt.Sprintf("a column with a long name, number %d", n)] = parquetgo.String()
	}
	var file bytes.Buffer
	if err := parquetgo.NewWriter(&file, parquetgo.NewSchema("wide", columns)).Close(); err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	const files = 300
	for n := range files {
		w.put(key(arriving, fmt.Sprint(n)), file.Bytes())
	}
	before := heap()
	l := &weighing{worker: w.worker(-1)}
	done, err := ingest.New(tenant, bucket, l, l, ingest.WithClock(w.clock)).Rescan(t.Context(), 0, 0)
	if err != nil || done[ingest.Listed] != files {
		t.Fatalf("%v, %v", done, err)
	}
	if more := int64(l.most) - int64(before); more > 10<<20 {
		t.Errorf("%d files of 1000 columns are held in %d MiB", files, more>>20)
	} else {
		t.Logf("held: %d MiB", more>>20)
	}
}

// slowStore is a worker whose store takes a second to answer.
type slowStore struct{ *worker }

func (s slowStore) Stat(ctx context.Context, key string) (dataset.InboxObject, error) {
	select {
	case <-time.After(time.Second):
		return s.worker.Stat(ctx, key)
	case <-ctx.Done():
		return dataset.InboxObject{}, context.Cause(ctx)
	}
}

// More objects may wait in the inbox than there is time to look at: what comes
// behind them has its turn all the same.
func TestARescanGoesOnWhereItWasCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for n := range 1000 {
			w.put(key(byName, fmt.Sprint(n)), nil) // no list names them
		}
		lost := key("dataset-9", "lost")
		w.put(lost, parquet(t, ""))
		s := slowStore{w.worker(-1)}
		rescan := func() (ingest.Rescanned, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			return ingest.New(tenant, bucket, s, s, ingest.WithClock(w.clock)).Rescan(ctx, 0, 0)
		}
		passes := 0
		for ; slices.Contains(w.incoming(), lost); passes++ {
			if done, err := rescan(); passes == 20 {
				t.Fatalf("after %d passes the last object was not looked at; of the last one: %v, %v", passes, done, err)
			}
		}
		w.put(key("dataset-8", "next"), parquet(t, ""))
		w.put(key("dataset-0", "first"), parquet(t, ""))
		for range passes + 1 { // and begins again
			_, _ = rescan()
		}
		if left := w.incoming(); len(left) != 1000 {
			t.Errorf("%d objects are left, of them the first is %s and the last %s", len(left), left[0], left[len(left)-1])
		}
	})
}

// What has waited for its list for days is not asked about one by one every hour,
// but what is new among it is, and the list is followed when it comes.
func TestWhatWaitsForDaysCostsLittle(t *testing.T) {
	w := newWorld()
	const files = 2500
	for n := range files {
		w.put(key(byName, fmt.Sprintf("%04d", n)), parquet(t, ""))
	}
	rescan := func() (ingest.Rescanned, int) {
		t.Helper()
		r := w.worker(-1)
		done, err := r.ingester().Rescan(t.Context(), time.Hour, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return done, r.taken
	}
	w.now = w.now.Add(2 * time.Hour)
	if done, _ := rescan(); done[ingest.Waiting] != files {
		t.Errorf("the first look: %v", done)
	}
	w.now = w.now.Add(48 * time.Hour)
	w.put(key(byName, "1000 "), parquet(t, "")) // as no list can name it
	w.now = w.now.Add(2 * time.Hour)
	done, steps := rescan()
	if done[ingest.Waiting] != files || done[ingest.Rejected] != 1 || steps > 100 {
		t.Errorf("two days later: %v in %d calls", done, steps)
	}
	w.putOrder(t, "2400", "0001")
	w.now = w.now.Add(2 * time.Hour)
	if done, _ := rescan(); len(w.incoming()) != files-2 {
		t.Errorf("with a list: %v", done)
	}
	wantNames(t, w, "2400", "0001")
	w.sets[byName].d.IngestOrder = ""
	if done, _ := rescan(); done[ingest.Listed] != files-2 {
		t.Errorf("as they come: %v", done)
	}
}
