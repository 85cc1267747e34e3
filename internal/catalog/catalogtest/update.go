package catalogtest

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func updateTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"an update changes what it names and nothing else": func(t *testing.T, e *env) {
			want := e.create(t)
			e.append(t, want, "a")
			want = e.dataset(t, want.ID)
			for _, u := range []dataset.Update{
				{Name: new("one")},
				{Metadata: json.RawMessage(`{"a":"日本"}`)},
				{Name: new("two \"quoted\" :name #name"), Metadata: json.RawMessage(`{}`)},
				{Name: new("")},
				{IngestOrder: new(dataset.IngestName)},
				{Name: new("three"), IngestOrder: new(dataset.IngestArrival)},
				{},
			} {
				u.Tenant, u.DatasetID = e.tenant, want.ID
				got, err := e.UpdateDataset(e.ctx, u)
				if err != nil {
					t.Fatal(err)
				}
				if u.Name != nil {
					want.Name = *u.Name
				}
				if u.Metadata != nil {
					want.Metadata = u.Metadata
				}
				if u.IngestOrder != nil {
					want.IngestOrder = *u.IngestOrder
				}
				if want.Version++; !got.UpdatedAt.After(want.UpdatedAt) {
					t.Errorf("updated at %v, before that %v", got.UpdatedAt, want.UpdatedAt)
				}
				want.UpdatedAt = got.UpdatedAt
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("got %+v, want %+v", got, want)
				}
				if read := e.dataset(t, want.ID); !reflect.DeepEqual(read, want) {
					t.Fatalf("read %+v, want %+v", read, want)
				}
			}
		},
		"every change counts a version": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "a")
			e.append(t, d, "b", "c")
			_, _ = e.Append(e.ctx, e.request(d, "a")) // changes nothing
			if got := e.dataset(t, d.ID).Version; d.Version != 1 || got != 3 {
				t.Fatalf("the version was %d and is %d", d.Version, got)
			}
		},
		"an update of another version is refused": func(t *testing.T, e *env) {
			d := e.create(t)
			u := dataset.Update{Tenant: e.tenant, DatasetID: d.ID, Name: new("one"), IfVersion: d.Version}
			if _, err := e.UpdateDataset(e.ctx, u); err != nil {
				t.Fatal(err)
			}
			for _, version := range []int64{1, 3, -1} {
				u.Name, u.IfVersion = new("two"), version
				_, err := e.UpdateDataset(e.ctx, u)
				wantCode(t, err, fault.CodeVersionMismatch)
				if got := err.(*fault.Error).Details["version"]; got != int64(2) {
					t.Errorf("it says that the version is %v", got)
				}
			}
			if got := e.dataset(t, d.ID); got.Name != "one" || got.Version != 2 {
				t.Fatalf("the dataset is %+v", got)
			}
			u.IfVersion = 2
			if got, err := e.UpdateDataset(e.ctx, u); err != nil || got.Name != "two" || got.Version != 3 {
				t.Fatalf("got %+v, %v", got, err)
			}
		},
		"an update under a known key changes nothing": testUpdateReplay,
		"one of many updates of a version wins": func(t *testing.T, e *env) {
			d := e.create(t)
			wantOneWinner(t, race(8, func(int) error {
				_, err := e.UpdateDataset(e.ctx, dataset.Update{Tenant: e.tenant, DatasetID: d.ID, Name: new("mine"), IfVersion: 1})
				return err
			}), fault.CodeVersionMismatch)
			if got := e.dataset(t, d.ID).Version; got != 2 {
				t.Fatalf("the version is %d", got)
			}
		},
		"updates and appends at once are all counted": func(t *testing.T, e *env) {
			d := e.create(t)
			for i, err := range race(8, func(i int) error {
				if i%2 == 0 {
					_, err := e.Append(e.ctx, e.request(d, newName("")))
					return err
				}
				_, err := e.UpdateDataset(e.ctx, dataset.Update{Tenant: e.tenant, DatasetID: d.ID, Name: new("n")})
				return err
			}) {
				if err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			}
			if got := e.dataset(t, d.ID); got.Version != 9 || got.FileCount != 4 {
				t.Fatalf("the dataset is %+v", got)
			}
		},
	}
}

func testUpdateReplay(t *testing.T, e *env) {
	d, other := e.create(t), e.create(t)
	u := dataset.Update{
		Tenant: e.tenant, DatasetID: d.ID, Name: new("one"), IfVersion: 1,
		Idempotency: dataset.Idempotency{Key: "k", Fingerprint: "f"},
	}
	if _, err := e.UpdateDataset(e.ctx, u); err != nil {
		t.Fatal(err)
	}
	e.append(t, d, "a")
	if got, err := e.UpdateDataset(e.ctx, u); err != nil || got.Version != 3 || got.Name != "one" {
		t.Fatalf("repeated: %+v, %v", got, err)
	}
	for name, change := range map[string]func(*dataset.Update){
		"another request": func(u *dataset.Update) { u.Idempotency.Fingerprint = "g" },
		"another dataset": func(u *dataset.Update) { u.DatasetID = other.ID },
	} {
		reused := u
		change(&reused)
		if _, err := e.UpdateDataset(e.ctx, reused); !fault.Is(err, fault.CodeIdempotencyKeyReused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := e.request(d, "b")
	a.Idempotency = u.Idempotency
	_, err := e.Append(e.ctx, a)
	wantCode(t, err, fault.CodeIdempotencyKeyReused)

	u.DatasetID = e.newDataset().ID // there is none; that comes before the key
	_, err = e.UpdateDataset(e.ctx, u)
	wantCode(t, err, fault.CodeDatasetNotFound)

	e.clock.advance(dataset.IdempotencyWindow + time.Second)
	u.DatasetID, u.IfVersion = d.ID, 0
	if got, err := e.UpdateDataset(e.ctx, u); err != nil || got.Version != 4 {
		t.Fatalf("after the window: %+v, %v", got, err)
	}
	u.IfVersion, u.Idempotency.Key = 3, "k2"
	_, err = e.UpdateDataset(e.ctx, u)
	wantCode(t, err, fault.CodeVersionMismatch)
	u.IfVersion = 4 // a refused update leaves its key free
	if got, err := e.UpdateDataset(e.ctx, u); err != nil || got.Version != 5 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// dataset reads a dataset of the env's tenant.
func (e *env) dataset(t testing.TB, id string) dataset.Dataset {
	t.Helper()
	d, err := e.Dataset(e.ctx, e.tenant, id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
