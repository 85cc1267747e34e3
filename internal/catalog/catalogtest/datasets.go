package catalogtest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func datasetTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"a dataset comes back as it was made": func(t *testing.T, e *env) {
			d := e.newDataset()
			d.Name = "日本 \"quoted\" <&> \U0001F4E6"
			d.Metadata = json.RawMessage(`{"a":[1,2.50,null],"é":"\u0000"}`)
			d.IngestOrder = dataset.IngestName
			made, err := e.CreateDataset(e.ctx, e.tenant, d, dataset.Idempotency{})
			if err != nil {
				t.Fatal(err)
			}
			d.UpdatedAt, d.Version = d.CreatedAt, 1
			if !reflect.DeepEqual(made, d) {
				t.Fatalf("made %+v, want %+v", made, d)
			}
			got, err := e.Dataset(e.ctx, e.tenant, d.ID)
			if err != nil || !reflect.DeepEqual(got, d) {
				t.Fatalf("got %+v (%v), want %+v", got, err, d)
			}
		},
		"a dataset without name and metadata has none": func(t *testing.T, e *env) {
			got, err := e.Dataset(e.ctx, e.tenant, e.create(t).ID)
			if err != nil || got.Name != "" || got.Metadata != nil || got.Schema != nil || got.SchemaFile != "" {
				t.Fatalf("got %+v, %v", got, err)
			}
		},
		"datasets are listed newest first in pages": testDatasetPages,
		"a list of datasets carries counters and schemas": func(t *testing.T, e *env) {
			empty, full := e.create(t), e.create(t)
			e.append(t, full, "a", "b")
			page, err := e.Datasets(e.ctx, e.tenant, "", 10)
			if err != nil || len(page.Datasets) != 2 || page.Next != "" {
				t.Fatalf("got %+v, %v", page, err)
			}
			for i, id := range []string{full.ID, empty.ID} {
				want, err := e.Dataset(e.ctx, e.tenant, id)
				if err != nil || !reflect.DeepEqual(page.Datasets[i], want) {
					t.Fatalf("listed %+v, alone it is %+v (%v)", page.Datasets[i], want, err)
				}
			}
			if page.Datasets[0].Schema == nil || page.Datasets[0].FileCount != 2 {
				t.Fatalf("listed %+v", page.Datasets[0])
			}
		},
		"another tenant's dataset is as unknown as one that never was": testTenants,
		"a dataset id of any kind is not found, not an error": func(t *testing.T, e *env) {
			for _, id := range []string{"", "#", "dataset-", "dataset-x#y", "\x00", "\xff", "D#" + e.tenant, strings.Repeat("a", 5000), "Dataset-1"} {
				_, err := e.Dataset(e.ctx, e.tenant, id)
				wantCode(t, err, fault.CodeDatasetNotFound)
				_, err = e.Files(e.ctx, e.tenant, id, 0, 10)
				wantCode(t, err, fault.CodeDatasetNotFound)
				_, err = e.File(e.ctx, e.tenant, id, "a")
				wantCode(t, err, fault.CodeDatasetNotFound)
				_, err = e.Append(e.ctx, e.request(dataset.Dataset{ID: id}, "a"))
				wantCode(t, err, fault.CodeDatasetNotFound)
				_, err = e.UpdateDataset(e.ctx, dataset.Update{Tenant: e.tenant, DatasetID: id})
				wantCode(t, err, fault.CodeDatasetNotFound)
				_, err = e.DeleteFile(e.ctx, e.deletion(dataset.Dataset{ID: id}, "a"))
				wantCode(t, err, fault.CodeDatasetNotFound)
				if _, err = e.Datasets(e.ctx, e.tenant, id, 10); err != nil {
					t.Fatalf("listing after %q: %v", id, err)
				}
			}
		},
		"creating under a known key creates nothing": testCreateReplay,
		"creating the same dataset again changes nothing": func(t *testing.T, e *env) {
			d := e.newDataset()
			for range 2 {
				if _, err := e.CreateDataset(e.ctx, e.tenant, d, dataset.Idempotency{}); err != nil {
					t.Fatal(err)
				}
				_, _ = e.Append(e.ctx, e.request(d, "a"))
			}
			again, err := e.CreateDataset(e.ctx, e.tenant, d, dataset.Idempotency{Key: "k", Fingerprint: "f"})
			if err != nil || again.FileCount != 1 || again.Schema == nil {
				t.Fatalf("got %+v, %v", again, err)
			}
		},
	}
}

func testDatasetPages(t *testing.T, e *env) {
	const n = 60 // more than one batch of DynamoDB holds
	want := make([]string, n)
	for i := range want {
		want[n-1-i] = e.create(t).ID
	}
	for _, limit := range []int{1, 7, n, n + 1, 1000} {
		var got []string
		for after := ""; ; {
			page, err := e.Datasets(e.ctx, e.tenant, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Datasets) > limit {
				t.Fatalf("%d datasets in a page of %d", len(page.Datasets), limit)
			}
			for _, d := range page.Datasets {
				got = append(got, d.ID)
			}
			if after = page.Next; after == "" {
				break
			}
			if after != got[len(got)-1] {
				t.Fatalf("the page continues after %s, its last is %s", after, got[len(got)-1])
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("pages of %d give %v, want %v", limit, got, want)
		}
	}
}

func testTenants(t *testing.T, e *env) {
	d := e.create(t)
	e.append(t, d, "a")
	stranger := newName("tenant-")
	asked := map[string]func(tenant, id string) error{
		"Dataset": func(tenant, id string) error { _, err := e.Dataset(e.ctx, tenant, id); return err },
		"Files":   func(tenant, id string) error { _, err := e.Files(e.ctx, tenant, id, 0, 10); return err },
		"File":    func(tenant, id string) error { _, err := e.File(e.ctx, tenant, id, "a"); return err },
		"File that is not there": func(tenant, id string) error {
			_, err := e.File(e.ctx, tenant, id, "b")
			return err
		},
		"UpdateDataset": func(tenant, id string) error {
			_, err := e.UpdateDataset(e.ctx, dataset.Update{Tenant: tenant, DatasetID: id, Name: new("theirs")})
			return err
		},
		"UpdateDataset of another version with a used key": func(tenant, id string) error {
			_, err := e.UpdateDataset(e.ctx, dataset.Update{
				Tenant: tenant, DatasetID: id, IfVersion: 77, Idempotency: dataset.Idempotency{Key: "k", Fingerprint: "f"},
			})
			return err
		},
		"Append": func(tenant, id string) error {
			a := e.request(dataset.Dataset{ID: id}, "b")
			a.Tenant = tenant
			_, err := e.Append(e.ctx, a)
			return err
		},
		"DeleteFile": func(tenant, id string) error {
			_, err := e.DeleteFile(e.ctx, dataset.Deletion{ID: "delete-1", Tenant: tenant, DatasetID: id, Name: "a"})
			return err
		},
		"DeleteFile that is not there with a used key": func(tenant, id string) error {
			_, err := e.DeleteFile(e.ctx, dataset.Deletion{
				ID: "delete-1", Tenant: tenant, DatasetID: id, Name: "b", Idempotency: dataset.Idempotency{Key: "k", Fingerprint: "f"},
			})
			return err
		},
		"Append of a taken name, another schema, a used key": func(tenant, id string) error {
			a := e.request(dataset.Dataset{ID: id}, "a")
			a.Tenant, a.Schema, a.Idempotency = tenant, columns("x bool"), dataset.Idempotency{Key: "k", Fingerprint: "f"}
			_, err := e.Append(e.ctx, a)
			return err
		},
	}
	for name, ask := range asked {
		theirs, never := ask(stranger, d.ID), ask(stranger, e.newDataset().ID)
		wantCode(t, theirs, fault.CodeDatasetNotFound)
		if !reflect.DeepEqual(theirs, never) {
			t.Errorf("%s tells another tenant's dataset (%#v) from none (%#v)", name, theirs, never)
		}
	}
	page, err := e.Datasets(e.ctx, stranger, "", 10)
	if err != nil || len(page.Datasets) != 0 || page.Next != "" {
		t.Errorf("the other tenant lists %+v, %v", page, err)
	}
	wantFiles(t, e.list(t, d, 10), e.list(t, d, 1))
	if got := e.list(t, d, 10); len(got) != 1 {
		t.Errorf("the dataset has %d files now", len(got))
	}
}

func testCreateReplay(t *testing.T, e *env) {
	idem := dataset.Idempotency{Key: "the key", Fingerprint: "one"}
	first, err := e.CreateDataset(e.ctx, e.tenant, e.newDataset(), idem)
	if err != nil {
		t.Fatal(err)
	}
	e.append(t, first, "a")
	again, err := e.CreateDataset(e.ctx, e.tenant, e.newDataset(), idem)
	if err != nil || again.ID != first.ID || again.FileCount != 1 {
		t.Fatalf("repeated: %+v, %v", again, err)
	}
	_, err = e.CreateDataset(e.ctx, e.tenant, e.newDataset(), dataset.Idempotency{Key: "the key", Fingerprint: "two"})
	wantCode(t, err, fault.CodeIdempotencyKeyReused)
	a := e.request(first, "b")
	a.Idempotency = idem
	_, err = e.Append(e.ctx, a)
	wantCode(t, err, fault.CodeIdempotencyKeyReused)

	other := newName("tenant-")
	if d, err := e.CreateDataset(e.ctx, other, e.newDataset(), idem); err != nil || d.ID == first.ID {
		t.Fatalf("another tenant's request under the same key: %+v, %v", d, err)
	}
	e.clock.advance(dataset.IdempotencyWindow + time.Second)
	late, err := e.CreateDataset(e.ctx, e.tenant, e.newDataset(), idem)
	if err != nil || late.ID == first.ID {
		t.Fatalf("after the window: %+v, %v", late, err)
	}
	page, err := e.Datasets(e.ctx, e.tenant, "", 10)
	if err != nil || len(page.Datasets) != 2 {
		t.Fatalf("%d datasets, want 2 (%v)", len(page.Datasets), err)
	}
}
