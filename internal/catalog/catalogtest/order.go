package catalogtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func orderTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"order and density under many writers": func(t *testing.T, e *env) { testOrder(t, e, 8, 6) },
		"order and density under very many":    func(t *testing.T, e *env) { testOrder(t, e, 32, 1) },
		"one of many wins a name": func(t *testing.T, e *env) {
			d := e.create(t)
			won := race(8, func(i int) error {
				_, err := e.Append(e.ctx, e.request(d, fmt.Sprint("own", i), "wanted"))
				return err
			})
			wantOneWinner(t, won, fault.CodeFileExists)
			if got := e.list(t, d, 100); len(got) != 2 {
				t.Fatalf("listed %v", nameList(got))
			}
		},
		"one of many first schemas wins": func(t *testing.T, e *env) {
			for range 4 {
				d := e.create(t)
				won := race(8, func(i int) error {
					a := e.request(d, fmt.Sprint("f", i))
					a.Schema = columns(fmt.Sprintf("c%d int64", i))
					_, err := e.Append(e.ctx, a)
					return err
				})
				winner := wantOneWinner(t, won, fault.CodeSchemaMismatch)
				got, err := e.Dataset(e.ctx, e.tenant, d.ID)
				if err != nil || got.Schema.Fields[0].Name != fmt.Sprint("c", winner) || got.SchemaFile != fmt.Sprint("f", winner) {
					t.Fatalf("%d won, the dataset is %+v (%v)", winner, got, err)
				}
			}
		},
		"one of many with a key does the work": func(t *testing.T, e *env) {
			d := e.create(t)
			var replays atomic.Int64
			for i, err := range race(8, func(int) error {
				a := e.request(d, "a")
				a.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
				done, err := e.Append(e.ctx, a)
				if done.Replayed {
					replays.Add(1)
				}
				return err
			}) {
				if err != nil {
					t.Errorf("request %d: %v", i, err)
				}
			}
			if replays.Load() != 7 || len(e.list(t, d, 10)) != 1 {
				t.Fatalf("%d replays, listed %v", replays.Load(), nameList(e.list(t, d, 10)))
			}
		},
		"one of many with a key creates": func(t *testing.T, e *env) {
			for i, err := range race(8, func(int) error {
				_, err := e.CreateDataset(e.ctx, e.tenant, e.newDataset(), dataset.Idempotency{Key: "k", Fingerprint: "f"})
				return err
			}) {
				if err != nil {
					t.Errorf("request %d: %v", i, err)
				}
			}
			page, err := e.Datasets(e.ctx, e.tenant, "", 100)
			if err != nil || len(page.Datasets) != 1 {
				t.Fatalf("%d datasets, %v", len(page.Datasets), err)
			}
		},
	}
}

// race runs n functions at once and returns what each returned.
func race(n int, run func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = run(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func wantOneWinner(t *testing.T, errs []error, lost fault.Code) (winner int) {
	t.Helper()
	winner = -1
	for i, err := range errs {
		if err != nil {
			wantCode(t, err, lost)
		} else if winner >= 0 {
			t.Fatalf("%d and %d both won", winner, i)
		} else {
			winner = i
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	return winner
}

// testOrder has writers append single files and lists at once while readers
// list. Whatever a reader saw must be a prefix of every later list.
func testOrder(t *testing.T, e *env, writers, each int) {
	d := e.create(t)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, limit := range []int{1000, 5} {
		readers.Go(func() { watch(t, e, d, limit, done) })
	}
	appended := make([][]dataset.File, writers*each)
	for i, err := range race(writers, func(w int) error {
		for k := range each {
			names := make([]string, 1+2*(k+w)%4)
			for n := range names {
				names[n] = fmt.Sprintf("%d-%d-%d", w, k, n)
			}
			a, err := e.Append(e.ctx, e.request(d, names...))
			if err != nil {
				return err
			}
			appended[w*each+k] = a.Files
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	close(done)
	readers.Wait()
	checkAppended(t, e.list(t, d, 1000), appended)
}

// checkAppended fails unless the list consists of what the appends were
// answered: every file at its position, none missing, the files of one append
// next to one another in the order given.
func checkAppended(t *testing.T, list []dataset.File, appended [][]dataset.File) {
	t.Helper()
	total := 0
	for _, files := range appended {
		total += len(files)
		for i, f := range files {
			if f.Position != files[0].Position+int64(i) {
				t.Fatalf("one append got the positions %v", nameList(files))
			}
			if f.Position >= int64(len(list)) || list[f.Position] != f {
				t.Fatalf("%+v was answered and is not listed at its place", f)
			}
		}
	}
	if total != len(list) {
		t.Fatalf("%d files appended, %d listed", total, len(list))
	}
}

// watch lists again and again and compares each list with the one before.
func watch(t *testing.T, e *env, d dataset.Dataset, limit int, done <-chan struct{}) {
	var before []dataset.File
	for {
		select {
		case <-done:
			return
		default:
		}
		now, ok := watchOnce(t, e, d, limit)
		if !ok {
			return
		}
		if len(now) < len(before) {
			t.Errorf("a list had %d files, a later one has %d", len(before), len(now))
			return
		}
		for i := range before {
			if now[i] != before[i] {
				t.Errorf("position %d was %s, later it is %s", i, before[i].Name, now[i].Name)
				return
			}
		}
		before = now
	}
}

func watchOnce(t *testing.T, e *env, d dataset.Dataset, limit int) (list []dataset.File, ok bool) {
	for {
		page, err := e.Files(e.ctx, e.tenant, d.ID, int64(len(list)), limit)
		if err != nil {
			t.Errorf("listing: %v", err)
			return nil, false
		}
		for _, f := range page.Files {
			if f.Position != int64(len(list)) {
				t.Errorf("position %d follows %d", f.Position, len(list)-1)
				return nil, false
			}
			list = append(list, f)
		}
		if page.Dataset.NextPosition < int64(len(list)) || page.Dataset.FileCount != page.Dataset.NextPosition {
			t.Errorf("%d files are listed and the dataset is %+v", len(list), page.Dataset)
			return nil, false
		}
		if !page.More {
			return list, true
		}
		if len(page.Files) == 0 {
			t.Error("an empty page says that there is more")
			return nil, false
		}
	}
}
