package proof

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/testtool"
)

// What a campaign has to show.
const (
	faultRate        = 0.05   // of the calls to the stores, and of the invocations
	mostRepeated     = 0.0025 // of the operations, by the client, when calls to the stores alone fail
	clientRetries    = 3      // of one operation, with the same Idempotency-Key
	wantSuccess      = 0.9999 // of the operations
	mostAmplified    = 3.0    // calls to the stores, as many times as without faults
	campaignWorkers  = 64
	campaignDatasets = 8
	campaignRounds   = 2 // of one worker; each is some 13 operations
)

// TestFaults has operations succeed although one call in twenty fails, in every
// way in which AWS's do, with the retries of the SDK as they are in production and
// three of the client's.
func TestFaults(t *testing.T) {
	t.Parallel()
	d := newDice(t)
	stores := startCloud(t)
	clean := campaign(t, stores, d.fork(), 0, 0, 1)
	if clean.failed > 0 || clean.retried > 0 {
		t.Fatalf("without a fault %d operations failed and %d were repeated", clean.failed, clean.retried)
	}
	within := campaign(t, stores, d.fork(), faultRate, 0, campaignRounds*testtool.Scale(t))
	t.Logf("with %d of %d calls to the stores hurt, and no invocation, clients repeated %d of %d operations", within.hurt, within.calls, within.retried, within.operations)
	if float64(within.retried) > mostRepeated*float64(within.operations) {
		t.Errorf("that is more than %.2f %%: functions don't repeat what they should", 100*mostRepeated)
	}
	faulty := campaign(t, stores, d.fork(), faultRate, faultRate, campaignRounds*testtool.Scale(t))
	success := 1 - float64(faulty.failed)/float64(faulty.operations)
	amplified := faulty.callsPerOperation() / clean.callsPerOperation()
	t.Logf("%d operations, of which %d failed (%.4f %% succeeded; with 95 %% confidence more than %.4f %% do) and %d were repeated, %d requests in all, in %v",
		faulty.operations, faulty.failed, 100*success, 100*(1-3/float64(faulty.operations)), faulty.retried, faulty.requests, faulty.took.Round(time.Millisecond))
	t.Logf("%.2f calls to the stores for an operation, %.2f without faults: %.2f times as many", faulty.callsPerOperation(), clean.callsPerOperation(), amplified)
	t.Logf("%d of %d calls to the stores were hurt: %v", faulty.hurt, faulty.calls, faulty.hurtCalls)
	t.Logf("%d of %d invocations were hurt: %v", faulty.hurtTimes, faulty.invoked, faulty.hurtInvocations)
	if success < wantSuccess {
		t.Errorf("%.4f %% of the operations succeeded", 100*success)
	}
	if amplified > mostAmplified {
		t.Errorf("%.2f times as many calls as without faults", amplified)
	}
	for _, f := range networkFaults() {
		if faulty.hurtCalls[f.name] == 0 && testtool.Scale(t) > 1 {
			t.Errorf("no call was hurt in this way: %s", f.name)
		}
	}
}

// outcomes is what came of a campaign.
type outcomes struct {
	mu                                    sync.Mutex
	operations, failed, retried, requests int

	calls, hurt, invoked, hurtTimes int
	hurtCalls, hurtInvocations      map[string]int
	took                            time.Duration
}

func (o *outcomes) callsPerOperation() float64 { return float64(o.calls) / float64(o.operations) }

// campaign has workers do their rounds while some of the calls to the stores, and
// some of the invocations and of the clients' own calls to S3, are hurt; and checks
// what is there afterwards.
func campaign(t testing.TB, stores cloud, d *dice, calls, invocations float64, rounds int) *outcomes {
	t.Helper()
	net, outside := newNetwork(d.fork(), calls, time.Second), newNetwork(d.fork(), invocations, time.Second)
	g := newGateway(d.fork(), invocations, 200*time.Millisecond, outside, skewed(stores, wiring{transport: net})...)
	sound := newGateway(d.fork(), 0, 0, newTransport(), stores.handler(wiring{})).client()
	datasets := make([]string, campaignDatasets)
	for n := range datasets {
		var err error
		if datasets[n], err = sound.create(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	o := new(outcomes)
	workers := make([]*worker, campaignWorkers)
	group, ctx := errgroup.WithContext(t.Context())
	began := time.Now()
	for n := range workers {
		w := &worker{client: g.client(), outcomes: o, dataset: datasets[n%len(datasets)], number: n, dice: d.fork()}
		workers[n] = w
		group.Go(func() error {
			for round := range rounds {
				if err := w.round(ctx, round); err != nil {
					return fmt.Errorf("worker %d, round %d: %w", n, round, err)
				}
			}
			return nil
		})
	}
	err := group.Wait()
	o.took = time.Since(began)
	g.running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	o.calls, o.hurt, o.hurtCalls = net.counts()
	o.invoked, o.hurtTimes, o.hurtInvocations = g.counts()
	for n, id := range datasets {
		if err := settled(t.Context(), sound, id, workers, n); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	return o
}

// settled checks a dataset at the end: every worker's files are there, in the
// order and at the positions that it was told, with their bytes; what it deleted
// is not; and what it was told nothing of, at most once.
func settled(ctx context.Context, c client, id string, workers []*worker, n int) error {
	files, err := c.files(ctx, id)
	if err != nil {
		return err
	}
	there := map[string]row{}
	for at, r := range files {
		if _, twice := there[r.Sum]; twice || at > 0 && files[at-1].Position >= r.Position {
			return fmt.Errorf("the listing is wrong at %v", r)
		}
		there[r.Sum] = r
	}
	expected := 0
	for ; n < len(workers); n += campaignDatasets {
		w := workers[n]
		expected += len(w.listed) + len(w.doubtful)
		for _, r := range w.listed {
			if there[r.Sum] != r {
				return fmt.Errorf("worker %d was told %v, and listed is %v", n, r, there[r.Sum])
			}
		}
		if !slices.IsSortedFunc(w.listed, func(a, b row) int { return int(a.Position - b.Position) }) {
			return fmt.Errorf("worker %d got its files in another order than it gave them: %v", n, w.listed)
		}
		for _, r := range w.deleted {
			if _, ok := there[r.Sum]; ok {
				return fmt.Errorf("worker %d deleted %v", n, r)
			}
		}
	}
	if len(files) > expected {
		return fmt.Errorf("%d files are listed, and at most %d were appended", len(files), expected)
	}
	return whole(ctx, c, id, files)
}

// worker does operations one after the other, as a client that wants each of them
// done.
type worker struct {
	client
	*outcomes
	dataset string
	number  int
	dice    *dice

	listed, deleted []row
	doubtful        []row // nobody said what became of them
}

// nowhere is the position of a file that nobody saw.
const nowhere = -1

// round does every kind of operation. One that fails is counted, and what was to
// follow it is left out; an error is a wrong answer.
func (w *worker) round(ctx context.Context, n int) error {
	name := func(what string) string { return fmt.Sprintf("%d-%d-%s.parquet", w.number, n, what) }
	for _, what := range []string{"a", "b"} {
		if err := w.append(ctx, []file{newFile(name(what))}, func(ctx context.Context, files []file, key string) (answer, error) {
			return w.upload(ctx, w.dataset, files[0], key)
		}); err != nil {
			return err
		}
	}
	var uploads []string
	files := []file{newFile(name("c")), newFile(name("d"))}
	for _, f := range files {
		id, err := w.send(ctx, f)
		if id == "" || err != nil {
			return err
		}
		uploads = append(uploads, id)
	}
	if err := w.append(ctx, files, func(ctx context.Context, _ []file, key string) (answer, error) {
		return w.appendUploads(ctx, w.dataset, uploads, key)
	}); err != nil {
		return err
	}
	if err := w.remove(ctx); err != nil {
		return err
	}
	if err := w.look(ctx); err != nil {
		return err
	}
	_, _, err := w.do(ctx, func(ctx context.Context, _ string) (answer, error) {
		return w.json(ctx, "/get-dataset", object{"dataset_id": w.dataset}, "")
	})
	return err
}

// do repeats a request as a careful client does. done is false when it gave up;
// an error says that an answer was wrong.
func (w *worker) do(ctx context.Context, send func(ctx context.Context, key string) (answer, error)) (a answer, done bool, err error) {
	key := uuid.NewString()
	for try := range clientRetries + 1 {
		if try > 0 {
			pause(ctx, w.dice.upTo(100*time.Millisecond<<try))
		}
		a, err = send(ctx, key)
		if ctx.Err() != nil {
			return a, false, ctx.Err()
		}
		w.count(try)
		if err == nil && a.status == http.StatusOK {
			return a, true, nil
		}
		if err == nil && a.status < 500 && a.code() != "conflict" {
			return a, false, fmt.Errorf("answered %d %s at try %d", a.status, a.body, try)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed++
	return a, false, nil
}

func (w *worker) count(try int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	switch try {
	case 0:
		w.operations++
	case 1:
		w.retried++
	}
}

// append appends files, and notes what it was told of them.
func (w *worker) append(ctx context.Context, files []file, send func(context.Context, []file, string) (answer, error)) error {
	a, done, err := w.do(ctx, func(ctx context.Context, key string) (answer, error) { return send(ctx, files, key) })
	if err != nil {
		return err
	}
	if !done {
		for _, f := range files {
			w.doubtful = append(w.doubtful, row{f.name, nowhere, f.sum})
		}
		return nil
	}
	var answered struct {
		row
		Files []row `json:"files"`
	}
	if err := a.decode(&answered); err != nil {
		return err
	}
	if answered.Files == nil {
		answered.Files = []row{answered.row}
	}
	for n, f := range files {
		if n >= len(answered.Files) || answered.Files[n].Sum != f.sum || answered.Files[n].Name != f.name {
			return fmt.Errorf("appending %s was answered %s", f.name, a.body)
		}
	}
	w.listed = append(w.listed, answered.Files...)
	return nil
}

// send brings a file into the store as a large one, up to its append.
func (w *worker) send(ctx context.Context, f file) (upload string, err error) {
	a, done, err := w.do(ctx, func(ctx context.Context, key string) (answer, error) { return w.begin(ctx, w.dataset, f, key) })
	if !done || err != nil {
		return "", err
	}
	var b begun
	if err := a.decode(&b); err != nil {
		return "", err
	}
	_, done, err = w.do(ctx, func(ctx context.Context, _ string) (answer, error) {
		if err := b.sendParts(ctx, w.http, f); err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusOK}, nil
	})
	if !done || err != nil {
		return "", err
	}
	_, done, err = w.do(ctx, func(ctx context.Context, key string) (answer, error) { return w.complete(ctx, b.ID, false, key) })
	if !done {
		return "", err
	}
	return b.ID, err
}

// remove deletes the worker's first file.
func (w *worker) remove(ctx context.Context) error {
	if len(w.listed) == 0 {
		return nil
	}
	first := w.listed[0]
	a, done, err := w.do(ctx, func(ctx context.Context, key string) (answer, error) {
		return w.delete(ctx, w.dataset, first.Name, key)
	})
	if err != nil {
		return err
	}
	w.listed = w.listed[1:]
	if !done {
		w.doubtful = append(w.doubtful, first)
		return nil
	}
	w.deleted = append(w.deleted, first)
	var told row
	if err := a.decode(&told); err != nil {
		return err
	}
	if told.Position != first.Position {
		return fmt.Errorf("deleting %v was answered %s", first, a.body)
	}
	return nil
}

// look lists the dataset, whole and in part, and downloads a file.
func (w *worker) look(ctx context.Context) error {
	a, done, err := w.do(ctx, func(ctx context.Context, _ string) (answer, error) { return w.list(ctx, w.dataset, "", 0) })
	if err != nil {
		return err
	}
	if done {
		p, err := must[page](a, nil)
		if err != nil {
			return err
		}
		for _, r := range w.listed {
			if !slices.Contains(p.Files, r) {
				return fmt.Errorf("%v was acknowledged and is not listed", r)
			}
		}
	}
	if _, _, err := w.do(ctx, func(ctx context.Context, _ string) (answer, error) { return w.list(ctx, w.dataset, "", 3) }); err != nil || len(w.listed) == 0 {
		return err
	}
	r := w.listed[w.dice.below(len(w.listed))]
	a, done, err = w.do(ctx, func(ctx context.Context, _ string) (answer, error) { return w.download(ctx, w.dataset, r.Name) })
	if err == nil && done && sumOf(a.body) != r.Sum {
		err = errors.New("the download has other bytes")
	}
	return err
}
