package catalogtest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// completeWith is a complete upload into a dataset of which something is said.
func (e *env) completeWith(t testing.TB, d dataset.Dataset, name string, i asset.Info) dataset.Upload {
	t.Helper()
	u := e.newUpload(d, name)
	u.Asset = &asset.Draft{AssetID: u.FileID, Owner: asset.OfDataset(d.ID), Info: i}
	created, err := e.CreateUpload(e.ctx, e.tenant, u, dataset.Idempotency{})
	if err != nil || !reflect.DeepEqual(created, u) {
		t.Fatalf("created\n%+v, %v, want\n%+v", created, err, u)
	}
	done, err := e.CompleteUpload(e.ctx, e.tenant, u.ID, e.completion(u))
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// appendWith is the append of uploads with what is said of them.
func (e *env) appendWith(d dataset.Dataset, uploads ...dataset.Upload) dataset.Append {
	a := e.appendOf(d, uploads...)
	for _, u := range uploads {
		a.Infos = append(a.Infos, u.Info())
	}
	return a
}

func fileAssetTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"a file of a dataset is an asset, however it came": func(t *testing.T, e *env) {
			d := e.create(t)
			direct := e.append(t, d, "direct")[0]
			done, err := e.Append(e.ctx, e.appendOf(d, e.complete(t, d, "uploaded")...))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []dataset.File{direct, done.Files[0]} {
				if a := e.asset(t, f.ID); !reflect.DeepEqual(a, dataset.FileAsset(d.ID, f)) {
					t.Fatalf("got\n%+v, want\n%+v", a, dataset.FileAsset(d.ID, f))
				}
				u := e.set(f.ID, asset.Changes{Title: new("T"), Alias: new("alias of " + f.Name), Tags: &[]string{"tag"}})
				u.IfMatch = asset.ParseIfMatch(asset.EntityTag(asset.Asset{}))
				changed, err := e.SetAsset(e.ctx, u)
				if err != nil || changed.Info.Title != "T" || changed.Revision != 1 || changed.Content.FileID != f.ID {
					t.Fatalf("got %+v, %v", changed, err)
				}
				if a := e.asset(t, f.ID); !reflect.DeepEqual(a, changed) {
					t.Fatalf("read %+v, want %+v", a, changed)
				}
				e.wantListed(t, asset.Filter{Alias: "alias of " + f.Name}, f.ID)
			}
			e.wantListed(t, asset.Filter{})
			ids := []string{direct.ID, done.Files[0].ID}
			slices.Sort(ids)
			slices.Reverse(ids)
			e.wantListed(t, asset.Filter{Tag: "tag"}, ids...)
			e.wantListed(t, asset.Filter{Tag: "tag", Owner: asset.OfDataset(d.ID)}, ids...)
			_, err = e.AssetVersions(e.ctx, e.tenant, direct.ID, 0, 1)
			wantCode(t, err, fault.CodeAssetNotFound) // its versions are not kept here
			all, err := e.AssetsOfFiles(e.ctx, e.tenant, d.ID, e.list(t, d, 10))
			if err != nil || len(all) != 2 || all[0].Info.Alias != "alias of direct" || all[1].Info.Alias != "alias of uploaded" {
				t.Fatalf("got %+v, %v", all, err)
			}
			wantFiles(t, e.list(t, d, 10), []dataset.File{direct, done.Files[0]})
		},
		"what is said of a file comes with it": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.appendWith(d, e.completeWith(t, d, "a", everything), e.complete(t, d, "b")[0], e.completeWith(t, d, "c", asset.Info{Tags: []string{"x"}}))
			done, err := e.Append(e.ctx, a)
			if err != nil {
				t.Fatal(err)
			}
			got := e.asset(t, done.Files[0].ID)
			want := dataset.FileAsset(d.ID, done.Files[0])
			want.Info, want.Revision = everything, 1
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got\n%+v, want\n%+v", got, want)
			}
			e.wantListed(t, asset.Filter{Tag: "x"}, done.Files[2].ID, done.Files[0].ID)
			e.wantListed(t, asset.Filter{Owner: asset.OfDataset(d.ID), Alias: "latest"}, done.Files[0].ID)
			if again, err := e.Append(e.ctx, a); err != nil || !reflect.DeepEqual(again, done) {
				t.Fatalf("again %+v, %v, want %+v", again, err, done)
			}
			if u, err := e.Upload(e.ctx, e.tenant, a.Uploads[0]); err != nil || u.State != dataset.UploadAppended || u.Asset != nil {
				t.Fatalf("the upload is %+v, %v", u, err)
			}
		},
		"an append whose alias is taken": func(t *testing.T, e *env) {
			d := e.create(t)
			first := e.append(t, d, "first")[0]
			if _, err := e.SetAsset(e.ctx, e.set(first.ID, asset.Changes{Alias: new("latest")})); err != nil {
				t.Fatal(err)
			}
			a := e.appendWith(d, e.complete(t, d, "a")[0], e.completeWith(t, d, "b", everything))
			_, err := e.Append(e.ctx, a)
			wantAlias(t, err, "latest", first.ID)
			wantFiles(t, e.list(t, d, 10), []dataset.File{first})
			e.wantListed(t, asset.Filter{Tag: "x"})
			if _, err := e.SetAsset(e.ctx, e.set(first.ID, asset.Changes{Alias: new("")})); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Append(e.ctx, a); err != nil {
				t.Fatal(err)
			}
			twice := e.appendWith(d, e.completeWith(t, d, "c", asset.Info{Alias: "same"}), e.completeWith(t, d, "d", asset.Info{Alias: "same"}))
			_, err = e.Append(e.ctx, twice)
			wantAlias(t, err, "same", twice.Files[0].ID)
		},
		"as much as one append takes": func(t *testing.T, e *env) {
			d := e.create(t)
			i := asset.Info{Alias: "a"}
			for n := range asset.MaxTags {
				i.Tags = append(i.Tags, fmt.Sprint(n))
			}
			var uploads []dataset.Upload
			for weight := 0; weight+dataset.AppendWeight(i) <= dataset.MaxAppendWeight; weight += dataset.AppendWeight(i) {
				i.Alias = fmt.Sprint("alias ", weight)
				uploads = append(uploads, e.completeWith(t, d, fmt.Sprint(weight), i))
			}
			a := e.appendWith(d, uploads...)
			a.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			if _, err := e.Append(e.ctx, a); err != nil {
				t.Fatalf("appending %d: %v", len(uploads), err)
			}
			i.Alias = "one more"
			a = e.appendWith(d, append(uploads, e.completeWith(t, d, "more", i))...)
			_, err := e.Append(e.ctx, a)
			wantCode(t, err, fault.CodeInternal)
		},
		"a file that is deleted takes with it what was said": func(t *testing.T, e *env) {
			for name, remove := range map[string]func(t *testing.T, d dataset.Dataset, f dataset.File){
				"by its name": func(t *testing.T, d dataset.Dataset, f dataset.File) {
					del := e.deletion(d, f.Name)
					del.Idempotency = dataset.Idempotency{Key: newName("k"), Fingerprint: "f"}
					for range 2 {
						if got, err := e.DeleteFile(e.ctx, del); err != nil || got.File != f {
							t.Fatalf("got %+v, %v", got, err)
						}
					}
				},
				"by its id": func(t *testing.T, d dataset.Dataset, f dataset.File) {
					del := e.assetDeletion(f.ID)
					want := dataset.AssetDeleted{AssetID: f.ID, Owner: asset.OfDataset(d.ID), Objects: []string{f.ObjectKey}}
					for range 2 {
						if got, err := e.DeleteAsset(e.ctx, del); err != nil || !reflect.DeepEqual(got, want) {
							t.Fatalf("got %+v, %v, want %+v", got, err, want)
						}
					}
				},
				"by its id and under a key": func(t *testing.T, d dataset.Dataset, f dataset.File) {
					del := e.assetDeletion(f.ID)
					del.Idempotency = dataset.Idempotency{Key: newName("k"), Fingerprint: "f"}
					if _, err := e.DeleteAsset(e.ctx, del); err != nil {
						t.Fatal(err)
					}
					del.ID, del.ReplayOnly = newName("delete-"), true
					want := dataset.AssetDeleted{AssetID: f.ID, Owner: asset.OfDataset(d.ID), Objects: []string{f.ObjectKey}, Replayed: true}
					if got, err := e.DeleteAsset(e.ctx, del); err != nil || !reflect.DeepEqual(got, want) {
						t.Fatalf("got %+v, %v, want %+v", got, err, want)
					}
				},
			} {
				t.Run(name, func(t *testing.T) {
					d := e.create(t)
					files := e.append(t, d, "a", "b")
					i := everything
					i.Tags = []string{name}
					if _, err := e.SetAsset(e.ctx, e.set(files[0].ID, asset.Changes{Title: &i.Title, Alias: &i.Alias, Tags: &i.Tags})); err != nil {
						t.Fatal(err)
					}
					before, err := e.Dataset(e.ctx, e.tenant, d.ID)
					if err != nil {
						t.Fatal(err)
					}
					remove(t, d, files[0])
					_, err = e.Asset(e.ctx, e.tenant, files[0].ID)
					wantCode(t, err, fault.CodeAssetNotFound)
					e.wantListed(t, asset.Filter{Tag: name})
					e.wantListed(t, asset.Filter{Owner: asset.OfDataset(d.ID), Alias: "latest"})
					wantFiles(t, e.list(t, d, 10), files[1:])
					after, err := e.Dataset(e.ctx, e.tenant, d.ID)
					if err != nil || after.Version != before.Version+1 || after.FileCount != 1 || after.TotalSizeBytes != files[1].SizeBytes {
						t.Fatalf("the dataset is %+v, %v", after, err)
					}
					if state := e.fileState(t, files[0].ID); state != dataset.FileDeleted {
						t.Fatalf("its record says %q", state)
					}
					_, err = e.SetAsset(e.ctx, e.set(files[0].ID, asset.Changes{Title: new("x")}))
					wantCode(t, err, fault.CodeAssetNotFound)
					if _, err := e.SetAsset(e.ctx, e.set(files[1].ID, asset.Changes{Alias: new("latest")})); err != nil {
						t.Fatal(err) // the alias is free
					}
					e.append(t, d, "a") // as is the name
				})
			}
		},
		"a dataset that is deleted takes with it what was said": func(t *testing.T, e *env) {
			d, other := e.create(t), e.create(t)
			files := e.append(t, d, "a", "b", "c")
			kept := e.append(t, other, "a")[0]
			for n, f := range append(files, kept) {
				c := asset.Changes{Title: new("secret words"), Tags: &[]string{"tag"}}
				if n%2 == 0 {
					c.Alias = new(fmt.Sprint("secret alias ", n))
				}
				if _, err := e.SetAsset(e.ctx, e.set(f.ID, c)); err != nil {
					t.Fatal(err)
				}
			}
			deleted, err := e.DeleteDataset(e.ctx, dataset.DatasetDeletion{ID: newName("delete-"), Tenant: e.tenant, DatasetID: d.ID})
			if err != nil || deleted.FileCount != 3 {
				t.Fatalf("got %+v, %v", deleted, err)
			}
			_, err = e.Asset(e.ctx, e.tenant, files[0].ID)
			wantCode(t, err, fault.CodeAssetNotFound)
			_, err = e.SetAsset(e.ctx, e.set(files[1].ID, asset.Changes{Title: new("x")}))
			wantCode(t, err, fault.CodeAssetNotFound)
			_, err = e.DeleteAsset(e.ctx, e.assetDeletion(files[1].ID))
			wantCode(t, err, fault.CodeAssetNotFound)
			e.wantListed(t, asset.Filter{Tag: "tag"}, kept.ID)
			e.wantListed(t, asset.Filter{Alias: "secret alias 0"})
			e.clock.advance(2 * dataset.SettleTime)
			r := e.remover()
			if _, err := dataset.NewPurger(r, r, r, e.clock.Now).Purge(e.ctx); err != nil {
				t.Fatal(err)
			}
			e.wantListed(t, asset.Filter{Tag: "tag"}, kept.ID)
			for _, trace := range e.Store.(Traced).Traces(t, e.tenant) {
				for _, f := range files {
					if strings.Contains(trace, f.ID) {
						t.Errorf("of %s is left %s", f.Name, trace)
					}
				}
				if strings.Contains(trace, "secret alias") || strings.Contains(trace, "secret words") && !strings.Contains(trace, kept.ID) {
					t.Errorf("what was said is left: %s", trace)
				}
			}
		},
	}
}
