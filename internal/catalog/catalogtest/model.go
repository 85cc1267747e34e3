package catalogtest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// testModel does random things to a store and to a model of it in memory, and
// compares every answer.
func testModel(t *testing.T, open Open) {
	c := newClock()
	store := open(t, c.Now)
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{
			env:     &env{Store: store, ctx: context.Background(), clock: c},
			tenants: []string{newName("tenant-"), newName("tenant-")},
			model:   model{datasets: map[string]*modelDataset{}, requests: map[[2]string]modelRequest{}, ids: map[string]modelID{}},
		}
		t.Repeat(map[string]func(*rapid.T){
			"create":   m.create,
			"append":   m.append,
			"update":   m.update,
			"delete":   m.delete,
			"redelete": m.repeatDelete,
			"repeat":   m.repeat,
			"file":     m.file,
			"files":    m.files,
			"datasets": m.listDatasets,
			"claim":    m.claim,
			"record":   m.record,
			"wait":     m.wait,
			"drop":     m.dropDataset,
			"purge":    m.purge,
		})
	})
}

// model is what a catalog promises, in the plainest code.
type model struct {
	datasets map[string]*modelDataset // by tenant and id
	requests map[[2]string]modelRequest
	ids      map[string]modelID // what became of file ids
}

type modelID struct {
	state     dataset.FileState
	file      dataset.File
	datasetID string
}

type modelDataset struct {
	tenant, id string
	name       string
	version    int64
	files      []dataset.File // those that are listed
	next       int64
	gone       map[string]modelDeleted // by name, the one deleted last
	schema     *schema.Schema
	schemaFile string
}

type modelRequest struct {
	fingerprint, kind, datasetID string
	files                        []dataset.File
	deleted                      modelDeleted
	dropped                      dataset.DatasetDeleted
	until                        time.Time
}

type modelDeleted struct {
	file dataset.File
	by   string
}

func (m *model) earlier(tenant string, idem dataset.Idempotency, now time.Time) (modelRequest, bool) {
	r, ok := m.requests[[2]string{tenant, idem.Key}]
	return r, ok && idem.Key != "" && now.Before(r.until)
}

func (m *model) remember(tenant string, idem dataset.Idempotency, r modelRequest, now time.Time) {
	r.fingerprint, r.until = idem.Fingerprint, now.Add(dataset.IdempotencyWindow)
	m.requests[[2]string{tenant, idem.Key}] = r
}

func (m *model) create(tenant, id string, idem dataset.Idempotency, now time.Time) (string, fault.Code) {
	if r, ok := m.earlier(tenant, idem, now); ok {
		if r.fingerprint != idem.Fingerprint || r.kind != "create" {
			return "", fault.CodeIdempotencyKeyReused
		}
		if m.datasets[tenant+" "+r.datasetID] == nil {
			return "", fault.CodeDatasetNotFound
		}
		return r.datasetID, ""
	}
	m.datasets[tenant+" "+id] = &modelDataset{tenant: tenant, id: id, version: 1, gone: map[string]modelDeleted{}}
	m.remember(tenant, idem, modelRequest{kind: "create", datasetID: id}, now)
	return id, ""
}

func (m *model) append(a dataset.Append, now time.Time) (files []dataset.File, replayed bool, code fault.Code) {
	if code := repeatedName(a.Files); code != "" {
		return nil, false, code
	}
	d := m.datasets[a.Tenant+" "+a.DatasetID]
	if d == nil {
		return nil, false, fault.CodeDatasetNotFound
	}
	if r, ok := m.earlier(a.Tenant, a.Idempotency, now); ok {
		if r.fingerprint != a.Idempotency.Fingerprint || r.kind != "append" || r.datasetID != d.id {
			return nil, false, fault.CodeIdempotencyKeyReused
		}
		return r.files, r.files[0].ID != a.Files[0].ID, ""
	}
	if files := m.appended(a); a.SameFiles(files) {
		return files, false, ""
	}
	if d.schema != nil && !reflect.DeepEqual(*d.schema, a.Schema) {
		return nil, false, fault.CodeSchemaMismatch
	}
	if len(m.appended(a)) > 0 || slices.ContainsFunc(a.Files, func(f dataset.File) bool { return d.named(f.Name) >= 0 }) {
		return nil, false, fault.CodeFileExists
	}
	if slices.ContainsFunc(a.Files, func(f dataset.File) bool { return m.ids[f.ID].state == dataset.FileAborted }) {
		return nil, false, fault.CodeUploadClosed
	}
	if d.schema == nil {
		d.schema, d.schemaFile = &a.Schema, a.Files[0].Name
	}
	d.version++
	first := len(d.files)
	for _, f := range a.Files {
		f.Position = d.next
		d.next++
		d.files = append(d.files, f)
		m.ids[f.ID] = modelID{dataset.FileAppended, f, d.id}
	}
	files = slices.Clone(d.files[first:])
	m.remember(a.Tenant, a.Idempotency, modelRequest{kind: "append", datasetID: d.id, files: files}, now)
	return files, false, ""
}

func (m *model) delete(del dataset.Deletion, now time.Time) (f dataset.File, replayed bool, code fault.Code) {
	d := m.datasets[del.Tenant+" "+del.DatasetID]
	if d == nil {
		return f, false, fault.CodeDatasetNotFound
	}
	if r, ok := m.earlier(del.Tenant, del.Idempotency, now); ok {
		if r.fingerprint != del.Idempotency.Fingerprint || r.kind != "delete" || r.datasetID != d.id {
			return f, false, fault.CodeIdempotencyKeyReused
		}
		return r.deleted.file, r.deleted.by != del.ID, ""
	}
	i := d.named(del.Name)
	if i < 0 {
		if gone := d.gone[del.Name]; gone.by == del.ID {
			return gone.file, false, ""
		}
		return f, false, fault.CodeFileNotFound
	}
	gone := modelDeleted{d.files[i], del.ID}
	m.ids[gone.file.ID] = modelID{dataset.FileDeleted, gone.file, d.id}
	d.gone[del.Name] = gone
	d.files = slices.Delete(slices.Clone(d.files), i, i+1)
	d.version++
	m.remember(del.Tenant, del.Idempotency, modelRequest{kind: "delete", datasetID: d.id, deleted: gone}, now)
	return gone.file, false, ""
}

func (m *model) drop(del dataset.DatasetDeletion, now time.Time) (dataset.DatasetDeleted, fault.Code) {
	if r, ok := m.earlier(del.Tenant, del.Idempotency, now); ok {
		if r.fingerprint != del.Idempotency.Fingerprint || r.kind != "drop" || r.datasetID != del.DatasetID {
			return dataset.DatasetDeleted{}, fault.CodeIdempotencyKeyReused
		}
		r.dropped.Replayed = true
		return r.dropped, ""
	}
	d := m.datasets[del.Tenant+" "+del.DatasetID]
	if d == nil {
		return dataset.DatasetDeleted{}, fault.CodeDatasetNotFound
	}
	if del.IfVersion != 0 && del.IfVersion != d.version {
		return dataset.DatasetDeleted{}, fault.CodeVersionMismatch
	}
	size, _ := dataset.Sums(d.files)
	dropped := dataset.DatasetDeleted{DatasetID: d.id, FileCount: int64(len(d.files)), TotalSizeBytes: size}
	delete(m.datasets, del.Tenant+" "+del.DatasetID)
	m.remember(del.Tenant, del.Idempotency, modelRequest{kind: "drop", datasetID: d.id, dropped: dropped}, now)
	return dropped, ""
}

func (m *model) update(u dataset.Update, now time.Time) (version int64, code fault.Code) {
	d := m.datasets[u.Tenant+" "+u.DatasetID]
	if d == nil {
		return 0, fault.CodeDatasetNotFound
	}
	if r, ok := m.earlier(u.Tenant, u.Idempotency, now); ok {
		if r.fingerprint != u.Idempotency.Fingerprint || r.kind != "update" || r.datasetID != d.id {
			return 0, fault.CodeIdempotencyKeyReused
		}
		return d.version, ""
	}
	if u.IfVersion != 0 && u.IfVersion != d.version {
		return 0, fault.CodeVersionMismatch
	}
	d.name = *u.Name
	d.version++
	m.remember(u.Tenant, u.Idempotency, modelRequest{kind: "update", datasetID: d.id}, now)
	return d.version, ""
}

func repeatedName(files []dataset.File) fault.Code {
	for i, f := range files {
		if slices.ContainsFunc(files[:i], func(g dataset.File) bool { return g.Name == f.Name }) {
			return fault.CodeFileExists
		}
	}
	return ""
}

func (d *modelDataset) named(name string) int {
	return slices.IndexFunc(d.files, func(f dataset.File) bool { return f.Name == name })
}

// appended are the files of an append that were appended before.
func (m *model) appended(a dataset.Append) []dataset.File {
	var files []dataset.File
	for _, f := range a.Files {
		if known := m.ids[f.ID]; known.state == dataset.FileAppended || known.state == dataset.FileDeleted {
			files = append(files, known.file)
		}
	}
	return files
}

// same compares a dataset of the store with the model's.
func (d *modelDataset) same(got dataset.Dataset) bool {
	var size, rows int64
	for _, f := range d.files {
		size, rows = size+f.SizeBytes, rows+f.RowCount
	}
	n := int64(len(d.files))
	return got.ID == d.id && got.Name == d.name && got.Version == d.version && got.FileCount == n && got.NextPosition == d.next && got.TotalSizeBytes == size && got.TotalRows == rows &&
		got.SchemaFile == d.schemaFile && reflect.DeepEqual(got.Schema, d.schema)
}

// machine draws what to do and does it to both.
type machine struct {
	*env
	tenants []string
	ids     []string // of every tenant's datasets
	model   model
	last    []dataset.Append
	refs    []dataset.FileRef // the first file id of each append
	deletes []dataset.Deletion
}

func (m *machine) drawTenant(t *rapid.T) string {
	return rapid.SampledFrom(m.tenants).Draw(t, "tenant")
}

func (m *machine) drawDataset(t *rapid.T) string {
	if len(m.ids) == 0 {
		t.Skip("no dataset yet")
	}
	return rapid.SampledFrom(m.ids).Draw(t, "dataset")
}

func (m *machine) drawIdempotency(t *rapid.T) dataset.Idempotency {
	key := rapid.SampledFrom([]string{"", "", "", "k1", "k2"}).Draw(t, "key")
	if key == "" {
		return dataset.Idempotency{}
	}
	return dataset.Idempotency{Key: key, Fingerprint: rapid.SampledFrom([]string{"f1", "f2"}).Draw(t, "fingerprint")}
}

func (m *machine) create(t *rapid.T) {
	tenant, d, idem := m.drawTenant(t), m.newDataset(), m.drawIdempotency(t)
	want, code := m.model.create(tenant, d.ID, idem, m.clock.Now())
	got, err := m.CreateDataset(m.ctx, tenant, d, idem)
	if fault.CodeOf(err) != code || got.ID != want {
		t.Fatalf("created %q, %v; want %q, %q", got.ID, err, want, code)
	}
	if want == d.ID {
		m.ids = append(m.ids, d.ID)
	}
}

func (m *machine) append(t *rapid.T) {
	a := dataset.Append{
		Tenant: m.drawTenant(t), DatasetID: m.drawDataset(t), Idempotency: m.drawIdempotency(t),
		Schema: columns(rapid.SampledFrom([]string{"a int64", "a int64", "a int64", "b int64"}).Draw(t, "schema")),
	}
	for _, n := range rapid.SliceOfN(rapid.IntRange(0, 30), 1, 3).Draw(t, "names") {
		a.Files = append(a.Files, m.env.file(fmt.Sprint("f", n)))
	}
	m.do(t, a)
	m.last, m.refs = append(m.last, a), append(m.refs, dataset.FileRef{Tenant: a.Tenant, FileID: a.Files[0].ID})
}

// drawRef draws a file id, of an earlier append or a new one.
func (m *machine) drawRef(t *rapid.T) dataset.FileRef {
	if len(m.refs) == 0 || rapid.IntRange(0, 5).Draw(t, "new") == 0 {
		return dataset.FileRef{Tenant: m.drawTenant(t), FileID: newName("file-")}
	}
	return rapid.SampledFrom(m.refs).Draw(t, "ref")
}

// claim claims a file id that nothing is known of, or tries to claim another one,
// and then appends a file with it.
func (m *machine) claim(t *rapid.T) {
	ref := m.drawRef(t)
	if m.model.ids[ref.FileID].state == dataset.FileUnknown {
		m.model.ids[ref.FileID] = modelID{state: dataset.FileAborted}
	}
	want := m.model.ids[ref.FileID]
	got, err := m.ClaimFile(m.ctx, ref)
	if err != nil || got.FileRef != ref || got.State != want.state || got.DatasetID != want.datasetID {
		t.Fatalf("claimed %+v, %v; want %+v", got, err, want)
	}
	a := dataset.Append{Tenant: ref.Tenant, DatasetID: m.drawDataset(t), Schema: columns("a int64"), Files: m.env.files("f0")}
	a.Files[0].ID = ref.FileID
	if want.state == dataset.FileAborted {
		m.do(t, a)
	}
}

func (m *machine) record(t *rapid.T) {
	refs := []dataset.FileRef{m.drawRef(t), m.drawRef(t)}
	got, err := m.FileRecords(m.ctx, refs)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i, ref := range refs {
		if want := m.model.ids[ref.FileID]; got[i].FileRef != ref || got[i].State != want.state || got[i].DatasetID != want.datasetID {
			t.Fatalf("got %+v, want %+v", got[i], want)
		}
	}
}

// repeat does one of the earlier appends again.
func (m *machine) repeat(t *rapid.T) {
	if len(m.last) == 0 {
		t.Skip("nothing to repeat")
	}
	m.do(t, rapid.SampledFrom(m.last).Draw(t, "append"))
}

func (m *machine) do(t *rapid.T, a dataset.Append) {
	want, replayed, code := m.model.append(a, m.clock.Now())
	got, err := m.Append(m.ctx, a)
	if fault.CodeOf(err) != code || got.Replayed != replayed || !slices.Equal(got.Files, want) {
		t.Fatalf("got %+v, %v\nwant %+v, %v, %q", got, err, want, replayed, code)
	}
}

func (m *machine) delete(t *rapid.T) {
	del := dataset.Deletion{
		ID: newName("delete-"), Tenant: m.drawTenant(t), DatasetID: m.drawDataset(t), Idempotency: m.drawIdempotency(t),
		Name: fmt.Sprint("f", rapid.IntRange(0, 30).Draw(t, "name")),
	}
	if d := m.model.datasets[del.Tenant+" "+del.DatasetID]; d != nil && len(d.files) > 0 && rapid.IntRange(0, 3).Draw(t, "known") > 0 {
		del.Name = rapid.SampledFrom(d.files).Draw(t, "file").Name
	}
	m.doDelete(t, del)
	m.deletes = append(m.deletes, del)
}

// repeatDelete does one of the earlier deletions again.
func (m *machine) repeatDelete(t *rapid.T) {
	if len(m.deletes) == 0 {
		t.Skip("nothing to repeat")
	}
	m.doDelete(t, rapid.SampledFrom(m.deletes).Draw(t, "deletion"))
}

func (m *machine) doDelete(t *rapid.T, del dataset.Deletion) {
	want, replayed, code := m.model.delete(del, m.clock.Now())
	got, err := m.DeleteFile(m.ctx, del)
	if fault.CodeOf(err) != code || got.Replayed != replayed || got.File != want {
		t.Fatalf("got %+v, %v\nwant %+v, %v, %q", got, err, want, replayed, code)
	}
}

func (m *machine) dropDataset(t *rapid.T) {
	del := dataset.DatasetDeletion{
		ID: newName("drop-"), Tenant: m.drawTenant(t), DatasetID: m.drawDataset(t), Idempotency: m.drawIdempotency(t),
		IfVersion: rapid.Int64Range(0, 4).Draw(t, "version"),
	}
	want, code := m.model.drop(del, m.clock.Now())
	got, err := m.DeleteDataset(m.ctx, del)
	if fault.CodeOf(err) != code || got != want {
		t.Fatalf("got %+v, %v\nwant %+v, %q", got, err, want, code)
	}
	if code == "" { // what is known of its files' ids is forgotten sooner or later
		m.refs = slices.DeleteFunc(m.refs, func(ref dataset.FileRef) bool { return m.model.ids[ref.FileID].datasetID == del.DatasetID })
	}
}

// purge changes nothing else that anybody could see.
func (m *machine) purge(t *rapid.T) {
	r := m.env.remover()
	r.tenant = m.drawTenant(t)
	if _, err := m.env.purger(r).Purge(m.ctx); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) update(t *rapid.T) {
	u := dataset.Update{
		Tenant: m.drawTenant(t), DatasetID: m.drawDataset(t), Idempotency: m.drawIdempotency(t),
		Name: new(rapid.StringN(0, 5, 20).Draw(t, "name")), IfVersion: rapid.Int64Range(0, 4).Draw(t, "version"),
	}
	want, code := m.model.update(u, m.clock.Now())
	got, err := m.UpdateDataset(m.ctx, u)
	if fault.CodeOf(err) != code || got.Version != want {
		t.Fatalf("got %+v, %v\nwant the version %d, %q", got, err, want, code)
	}
}

func (m *machine) file(t *rapid.T) {
	tenant, id, name := m.drawTenant(t), m.drawDataset(t), fmt.Sprint("f", rapid.IntRange(0, 30).Draw(t, "name"))
	got, err := m.File(m.ctx, tenant, id, name)
	d := m.model.datasets[tenant+" "+id]
	switch {
	case d == nil:
		wantModelCode(t, err, fault.CodeDatasetNotFound)
	case d.named(name) < 0:
		wantModelCode(t, err, fault.CodeFileNotFound)
	case err != nil || got != d.files[d.named(name)]:
		t.Fatalf("got %+v, %v; want %+v", got, err, d.files[d.named(name)])
	}
}

func (m *machine) files(t *rapid.T) {
	tenant, id := m.drawTenant(t), m.drawDataset(t)
	from, limit := rapid.IntRange(0, 12).Draw(t, "from"), rapid.IntRange(1, 12).Draw(t, "limit")
	page, err := m.Files(m.ctx, tenant, id, int64(from), limit)
	d := m.model.datasets[tenant+" "+id]
	if d == nil {
		wantModelCode(t, err, fault.CodeDatasetNotFound)
		return
	}
	var want []dataset.File
	for _, f := range d.files {
		if f.Position >= int64(from) && len(want) < limit {
			want = append(want, f)
		}
	}
	next := d.next
	if len(want) == limit {
		next = want[limit-1].Position + 1
	}
	if more := next < d.next; err != nil || !d.same(page.Dataset) || page.More != more || more && page.Next != next || !slices.Equal(page.Files, want) {
		t.Fatalf("got %+v, %v; want %+v of %+v", page, err, want, d)
	}
	one, err := m.Dataset(m.ctx, tenant, id)
	if err != nil || !reflect.DeepEqual(one, page.Dataset) {
		t.Fatalf("the dataset alone is %+v, %v; with its files %+v", one, err, page.Dataset)
	}
}

func (m *machine) listDatasets(t *rapid.T) {
	tenant, limit := m.drawTenant(t), rapid.IntRange(1, 5).Draw(t, "limit")
	got := 0
	for after := ""; ; {
		page, err := m.Datasets(m.ctx, tenant, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Datasets {
			known := m.model.datasets[tenant+" "+d.ID]
			if known == nil || !known.same(d) {
				t.Fatalf("listed %+v, want %+v", d, known)
			}
			got++
		}
		if after = page.Next; after == "" {
			break
		}
	}
	want := 0
	for _, d := range m.model.datasets {
		if d.tenant == tenant {
			want++
		}
	}
	if got != want {
		t.Fatalf("listed %d datasets, want %d", got, want)
	}
}

func (m *machine) wait(t *rapid.T) {
	m.clock.advance(time.Duration(rapid.IntRange(1, 30).Draw(t, "hours")) * time.Hour)
}

func wantModelCode(t *rapid.T, err error, code fault.Code) {
	if !fault.Is(err, code) {
		t.Fatalf("got the error %v, want the code %q", err, code)
	}
}
