package catalogtest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func project(id string) asset.Owner    { return asset.Owner{Type: asset.Project, ID: id} }
func collection(id string) asset.Owner { return asset.Owner{Type: asset.Collection, ID: id} }

// assetUpload begins an upload of a new asset, or of new content for one with an id.
func (e *env) assetUpload(t testing.TB, d asset.Draft, name string) dataset.Upload {
	t.Helper()
	u := e.newUpload(dataset.Dataset{}, name)
	if d.AssetID == "" {
		d.AssetID = u.FileID
	}
	u.Asset = &d
	created, err := e.CreateUpload(e.ctx, e.tenant, u, dataset.Idempotency{})
	if err != nil {
		t.Fatalf("creating an upload: %v", err)
	}
	return created
}

// assetComplete is assetUpload with all bytes there.
func (e *env) assetComplete(t testing.TB, d asset.Draft, name string) dataset.Upload {
	t.Helper()
	u := e.assetUpload(t, d, name)
	done, err := e.CompleteUpload(e.ctx, e.tenant, u.ID, dataset.Completion{CRC64NVME: "AAAAAAAAAAA=", ExpiresAt: e.clock.Now().Add(dataset.UploadLifetime)})
	if err != nil {
		t.Fatalf("completing an upload: %v", err)
	}
	return done
}

func (e *env) commit(t testing.TB, u dataset.Upload) dataset.Upload {
	t.Helper()
	done, err := e.CommitAsset(e.ctx, e.tenant, u.ID)
	if err != nil {
		t.Fatalf("committing: %v", err)
	}
	return done
}

// newAsset is an asset that is there.
func (e *env) newAsset(t testing.TB, o asset.Owner, i asset.Info) asset.Asset {
	t.Helper()
	u := e.commit(t, e.assetComplete(t, asset.Draft{Owner: o, Info: i}, "a.bin"))
	return e.asset(t, u.AssetID())
}

func (e *env) asset(t testing.TB, id string) asset.Asset {
	t.Helper()
	a, err := e.Asset(e.ctx, e.tenant, id)
	if err != nil {
		t.Fatalf("reading an asset: %v", err)
	}
	return a
}

func (e *env) set(id string, c asset.Changes) dataset.AssetUpdate {
	return dataset.AssetUpdate{Tenant: e.tenant, ID: id, Changes: c}
}

func (e *env) assetDeletion(id string) dataset.AssetDeletion {
	return dataset.AssetDeletion{ID: newName("delete-"), Tenant: e.tenant, AssetID: id}
}

// listAssets lists all that matches, page by page.
func (e *env) listAssets(t testing.TB, f asset.Filter, limit int) []string {
	t.Helper()
	ids := []string{}
	for after := ""; ; {
		page, err := e.ListAssets(e.ctx, e.tenant, f, after, limit)
		if err != nil {
			t.Fatalf("listing assets: %v", err)
		}
		if len(page.Assets) > limit {
			t.Fatalf("a page of %d assets, asked for %d", len(page.Assets), limit)
		}
		for _, a := range page.Assets {
			if !f.Matches(a) {
				t.Fatalf("%+v is listed and does not match %+v", a, f)
			}
			ids = append(ids, a.ID)
		}
		if page.Next == "" {
			return ids
		}
		if after != "" && page.Next >= after {
			t.Fatalf("a page after %s says to continue after %s", after, page.Next)
		}
		after = page.Next
	}
}

func (e *env) wantListed(t testing.TB, f asset.Filter, want ...string) {
	t.Helper()
	for _, limit := range []int{1, 2, 100} {
		if got := e.listAssets(t, f, limit); !reflect.DeepEqual(got, append([]string{}, want...)) {
			t.Fatalf("%+v lists %v, want %v", f, got, want)
		}
	}
}

func (e *env) fileState(t testing.TB, fileID string) dataset.FileState {
	t.Helper()
	records, err := e.FileRecords(e.ctx, []dataset.FileRef{{Tenant: e.tenant, FileID: fileID}})
	if err != nil || len(records) != 1 {
		t.Fatalf("reading a record: %v, %v", records, err)
	}
	claimed, err := e.ClaimFile(e.ctx, dataset.FileRef{Tenant: e.tenant, FileID: fileID})
	if err != nil || claimed.State != records[0].State && records[0].State != dataset.FileUnknown {
		t.Fatalf("the record is %+v, and claimed it is %+v, %v", records[0], claimed, err)
	}
	return records[0].State
}

func wantAlias(t testing.TB, err error, alias, holder string) {
	t.Helper()
	wantCode(t, err, fault.CodeAliasTaken)
	if d := err.(*fault.Error).Details; d["alias"] != alias || d["alias_asset_id"] != holder {
		t.Fatalf("refused with %v, want %s of %s", d, alias, holder)
	}
}

var everything = asset.Info{
	Title: "A title", Description: "two\nlines", Alias: "latest", Tags: []string{"x", "ü"}, Metadata: json.RawMessage(`{"a":[1,{"b":null}],"<&>":"é\u003c"}`),
}

func assetTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"an asset is there when it is committed, and not before": func(t *testing.T, e *env) {
			o := project("p.1")
			u := e.assetUpload(t, asset.Draft{Owner: o, Info: everything}, "a.bin")
			_, err := e.CommitAsset(e.ctx, e.tenant, u.ID)
			wantCode(t, err, fault.CodeUploadIncomplete)
			u, err = e.CompleteUpload(e.ctx, e.tenant, u.ID, dataset.Completion{CRC64NVME: "AAAAAAAAAAA=", ExpiresAt: e.clock.Now().Add(dataset.UploadLifetime)})
			if err != nil || u.State != dataset.UploadComplete {
				t.Fatalf("got %+v, %v", u, err)
			}
			_, err = e.Asset(e.ctx, e.tenant, u.FileID)
			wantCode(t, err, fault.CodeAssetNotFound)
			e.wantListed(t, asset.Filter{Owner: o})
			done := e.commit(t, u)
			if done.State != dataset.UploadAppended || done.Version != 1 || done.AssetID() != u.FileID || done.UploadedAt.IsZero() {
				t.Fatalf("committed as %+v", done)
			}
			a := e.asset(t, u.FileID)
			want := asset.Asset{
				ID: u.FileID, Owner: o, Info: everything, CreatedAt: done.UploadedAt, UpdatedAt: done.UploadedAt, Revision: 1,
				Content: asset.Content{Version: 1, FileID: u.FileID, FileName: "a.bin", SizeBytes: u.SizeBytes, CRC64NVME: "AAAAAAAAAAA=", ObjectKey: u.ObjectKey, CreatedAt: done.UploadedAt},
			}
			if !reflect.DeepEqual(a, want) {
				t.Fatalf("got\n%+v, want\n%+v", a, want)
			}
			if again := e.commit(t, u); !reflect.DeepEqual(again, done) {
				t.Fatalf("committed again as\n%+v, and before as\n%+v", again, done)
			}
			if e.fileState(t, u.FileID) != dataset.FileAppended {
				t.Error("its record is not that of a file that is needed")
			}
			_, err = e.AbortUpload(e.ctx, e.tenant, u.ID)
			wantClosed(t, err, u, "appended")
			e.wantListed(t, asset.Filter{}, a.ID)
			_, err = e.UploadSchema(e.ctx, e.tenant, u.ID)
			wantCode(t, err, fault.CodeUploadNotFound)
		},
		"an asset upload and datasets keep apart": func(t *testing.T, e *env) {
			d := e.create(t)
			u := e.assetComplete(t, asset.Draft{Owner: project("p")}, "a")
			a := e.appendOf(d, u)
			_, err := e.Append(e.ctx, a)
			wantCode(t, err, fault.CodeUploadNotFound)
			_, err = e.CommitAsset(e.ctx, e.tenant, e.complete(t, d, "b")[0].ID)
			wantCode(t, err, fault.CodeUploadNotFound)
			page, err := e.ListUploads(e.ctx, e.tenant, "", "", 10)
			if err != nil || len(page.Uploads) != 2 {
				t.Fatalf("the tenant's uploads are %+v, %v", page, err)
			}
			if page, err = e.ListUploads(e.ctx, e.tenant, d.ID, "", 10); err != nil || len(page.Uploads) != 1 {
				t.Fatalf("the dataset's uploads are %+v, %v", page, err)
			}
		},
		"an aborted or expired upload is no asset": func(t *testing.T, e *env) {
			u := e.assetComplete(t, asset.Draft{Owner: project("p"), Info: everything}, "a")
			if _, err := e.AbortUpload(e.ctx, e.tenant, u.ID); err != nil {
				t.Fatal(err)
			}
			_, err := e.CommitAsset(e.ctx, e.tenant, u.ID)
			wantClosed(t, err, u, "aborted")
			late := e.assetComplete(t, asset.Draft{Owner: project("p"), Info: everything}, "b")
			e.clock.advance(dataset.UploadLifetime + time.Minute)
			_, err = e.CommitAsset(e.ctx, e.tenant, late.ID)
			wantClosed(t, err, late, "expired")
			if r, err := e.ClaimFile(e.ctx, dataset.FileRef{Tenant: e.tenant, FileID: late.FileID}); err != nil || r.State != dataset.FileAborted {
				t.Fatalf("claimed as %+v, %v", r, err)
			}
			_, err = e.CommitAsset(e.ctx, e.tenant, late.ID)
			wantClosed(t, err, late, "aborted")
			e.wantListed(t, asset.Filter{})
			e.newAsset(t, project("p"), everything) // the alias was never taken
		},
		"another tenant's asset": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), everything)
			other := newName("tenant-")
			_, err := e.Asset(e.ctx, other, a.ID)
			wantCode(t, err, fault.CodeAssetNotFound)
			_, err = e.AssetVersions(e.ctx, other, a.ID, 0, 10)
			wantCode(t, err, fault.CodeAssetNotFound)
			u := e.set(a.ID, asset.Changes{Title: new("stolen")})
			u.Tenant = other
			_, err = e.SetAsset(e.ctx, u)
			wantCode(t, err, fault.CodeAssetNotFound)
			del := e.assetDeletion(a.ID)
			del.Tenant = other
			_, err = e.DeleteAsset(e.ctx, del)
			wantCode(t, err, fault.CodeAssetNotFound)
			for _, f := range []asset.Filter{{}, {Owner: a.Owner}, {Tag: "x"}, {Alias: "latest"}, {Owner: a.Owner, Alias: "latest"}, {Owner: a.Owner, Tag: "x"}} {
				if page, err := e.ListAssets(e.ctx, other, f, "", 10); err != nil || len(page.Assets) != 0 {
					t.Errorf("%+v lists %+v, %v", f, page, err)
				}
			}
		},
		"what is no asset": func(t *testing.T, e *env) {
			for _, id := range []string{"", "#", "file-0", "file-" + strings.Repeat("0", 3000), "asset'"} {
				_, err := e.Asset(e.ctx, e.tenant, id)
				wantCode(t, err, fault.CodeAssetNotFound)
				_, err = e.SetAsset(e.ctx, e.set(id, asset.Changes{Title: new("x")}))
				wantCode(t, err, fault.CodeAssetNotFound)
				_, err = e.DeleteAsset(e.ctx, e.assetDeletion(id))
				wantCode(t, err, fault.CodeAssetNotFound)
				_, err = e.AssetVersions(e.ctx, e.tenant, id, 0, 1)
				wantCode(t, err, fault.CodeAssetNotFound)
				_, err = e.CommitAsset(e.ctx, e.tenant, id)
				wantCode(t, err, fault.CodeUploadNotFound)
			}
		},
		"new content is the next version": func(t *testing.T, e *env) {
			a := e.newAsset(t, collection("c"), everything)
			var want []asset.Content
			want = append(want, a.Content)
			for n := 2; n <= 5; n++ {
				u := e.commit(t, e.assetComplete(t, asset.Draft{AssetID: a.ID, Owner: a.Owner}, fmt.Sprintf("v%d", n)))
				now := e.asset(t, a.ID)
				if u.Version != int64(n) || u.AssetID() != a.ID || now.Content != u.Content() || now.Revision != int64(n) || !reflect.DeepEqual(now.Info, a.Info) ||
					!now.CreatedAt.Equal(a.CreatedAt) || !now.UpdatedAt.Equal(u.UploadedAt) {
					t.Fatalf("with version %d it is %+v after %+v", n, now, u)
				}
				want = append([]asset.Content{now.Content}, want...)
				_, err := e.Asset(e.ctx, e.tenant, u.FileID) // a content is no asset
				wantCode(t, err, fault.CodeAssetNotFound)
				if e.fileState(t, u.FileID) != dataset.FileAppended {
					t.Fatalf("the record of version %d is not that of a file that is needed", n)
				}
			}
			for below := int64(0); below <= 6; below++ {
				for limit := 1; limit <= 6; limit++ {
					got, err := e.AssetVersions(e.ctx, e.tenant, a.ID, below, limit)
					rest := want
					if below > 0 {
						rest = want[max(0, 6-int(below)):]
					}
					rest = rest[:min(limit, len(rest))]
					if err != nil || len(got) != len(rest) || len(rest) > 0 && !reflect.DeepEqual(got, rest) {
						t.Fatalf("%d versions below %d are\n%+v, %v, want\n%+v", limit, below, got, err, rest)
					}
				}
			}
			e.wantListed(t, asset.Filter{Owner: a.Owner}, a.ID)
		},
		"versions that race have no gaps": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), asset.Info{})
			uploads := make([]dataset.Upload, 6)
			for n := range uploads {
				uploads[n] = e.assetComplete(t, asset.Draft{AssetID: a.ID, Owner: a.Owner}, fmt.Sprint(n))
			}
			var group sync.WaitGroup
			for n := range uploads {
				group.Go(func() {
					var err error
					if uploads[n], err = e.CommitAsset(e.ctx, e.tenant, uploads[n].ID); err != nil {
						t.Error(err)
					}
				})
				group.Go(func() {
					if _, err := e.SetAsset(e.ctx, e.set(a.ID, asset.Changes{Title: new(fmt.Sprint(n))})); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			now, versions := e.asset(t, a.ID), map[int64]string{}
			for _, u := range uploads {
				versions[u.Version] = u.FileID
			}
			list, err := e.AssetVersions(e.ctx, e.tenant, a.ID, 0, 10)
			if err != nil || len(versions) != 6 || len(list) != 7 || now.Content.Version != 7 || now.Revision != 13 {
				t.Fatalf("the versions are %v, %+v, %v; the asset is %+v", versions, list, err, now)
			}
			for n, c := range list {
				if c.Version != int64(7-n) || c.Version > 1 && versions[c.Version] != c.FileID {
					t.Fatalf("at %d is %+v, and its upload was told %v", n, c, versions)
				}
			}
		},
		"one commit of one upload": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), asset.Info{})
			u := e.assetComplete(t, asset.Draft{AssetID: a.ID, Owner: a.Owner}, "b")
			var group sync.WaitGroup
			for range 6 {
				group.Go(func() {
					if got, err := e.CommitAsset(e.ctx, e.tenant, u.ID); err != nil || got.Version != 2 {
						t.Errorf("got %+v, %v", got, err)
					}
				})
			}
			group.Wait()
			if now := e.asset(t, a.ID); now.Content.Version != 2 || now.Revision != 2 {
				t.Errorf("it is %+v", now)
			}
		},
		"an abort races a commit": func(t *testing.T, e *env) {
			for n := range 8 {
				u := e.assetComplete(t, asset.Draft{Owner: project("p")}, fmt.Sprint(n))
				var commitErr, abortErr error
				var group sync.WaitGroup
				group.Go(func() { _, commitErr = e.CommitAsset(e.ctx, e.tenant, u.ID) })
				group.Go(func() { _, abortErr = e.AbortUpload(e.ctx, e.tenant, u.ID) })
				group.Wait()
				_, err := e.Asset(e.ctx, e.tenant, u.FileID)
				switch {
				case commitErr == nil && fault.Is(abortErr, fault.CodeUploadClosed) && err == nil:
				case abortErr == nil && fault.Is(commitErr, fault.CodeUploadClosed) && fault.Is(err, fault.CodeAssetNotFound):
				default:
					t.Fatalf("the commit ended with %v, the abort with %v, and the asset with %v", commitErr, abortErr, err)
				}
			}
		},
		"an alias is one asset's in its owner": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), asset.Info{Alias: "x"})
			u := e.assetComplete(t, asset.Draft{Owner: project("p"), Info: asset.Info{Alias: "x"}}, "b")
			_, err := e.CommitAsset(e.ctx, e.tenant, u.ID)
			wantAlias(t, err, "x", a.ID)
			if e.state(t, u) != dataset.UploadComplete {
				t.Error("the upload is no longer complete")
			}
			_, err = e.Asset(e.ctx, e.tenant, u.FileID)
			wantCode(t, err, fault.CodeAssetNotFound)
			c := e.newAsset(t, collection("p"), asset.Info{Alias: "x"}) // another owner
			_, err = e.SetAsset(e.ctx, e.set(e.newAsset(t, project("p"), asset.Info{}).ID, asset.Changes{Alias: new("x")}))
			wantAlias(t, err, "x", a.ID)
			e.wantListed(t, asset.Filter{Alias: "x"}, c.ID, a.ID)
			e.wantListed(t, asset.Filter{Owner: a.Owner, Alias: "x"}, a.ID)
			if _, err := e.SetAsset(e.ctx, e.set(a.ID, asset.Changes{Alias: new("x")})); err != nil { // its own
				t.Fatal(err)
			}
			if _, err := e.SetAsset(e.ctx, e.set(a.ID, asset.Changes{Alias: new("y")})); err != nil {
				t.Fatal(err)
			}
			e.wantListed(t, asset.Filter{Owner: a.Owner, Alias: "x"})
			e.wantListed(t, asset.Filter{Alias: "y"}, a.ID)
			e.commit(t, u) // it is free now
			e.wantListed(t, asset.Filter{Owner: a.Owner, Alias: "x"}, u.FileID)
		},
		"two that want one alias": func(t *testing.T, e *env) {
			for n := range 6 {
				alias := fmt.Sprint("alias ", n)
				var ids [4]string
				var errs [4]error
				var group sync.WaitGroup
				for i := range ids {
					if i < 2 {
						u := e.assetComplete(t, asset.Draft{Owner: project("p"), Info: asset.Info{Alias: alias}}, "a")
						ids[i] = u.FileID
						group.Go(func() { _, errs[i] = e.CommitAsset(e.ctx, e.tenant, u.ID) })
						continue
					}
					ids[i] = e.newAsset(t, project("p"), asset.Info{}).ID
					group.Go(func() { _, errs[i] = e.SetAsset(e.ctx, e.set(ids[i], asset.Changes{Alias: &alias})) })
				}
				group.Wait()
				winner := ""
				for i, err := range errs {
					if err == nil {
						if winner != "" {
							t.Fatalf("both %s and %s have it", winner, ids[i])
						}
						winner = ids[i]
					} else if !fault.Is(err, fault.CodeAliasTaken) {
						t.Fatal(err)
					}
				}
				e.wantListed(t, asset.Filter{Owner: project("p"), Alias: alias}, winner)
			}
		},
		"what is said changes": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), everything)
			got, err := e.SetAsset(e.ctx, e.set(a.ID, asset.Changes{Title: new("B"), Tags: &[]string{"ü", "y"}}))
			want := a
			want.Info.Title, want.Info.Tags, want.Revision = "B", []string{"ü", "y"}, 2
			want.UpdatedAt = got.UpdatedAt
			if err != nil || !reflect.DeepEqual(got, want) || !got.UpdatedAt.After(a.UpdatedAt) {
				t.Fatalf("got\n%+v, %v, want\n%+v", got, err, want)
			}
			if read := e.asset(t, a.ID); !reflect.DeepEqual(read, got) {
				t.Fatalf("read\n%+v, want\n%+v", read, got)
			}
			e.wantListed(t, asset.Filter{Tag: "x"})
			for _, tag := range []string{"ü", "y"} {
				e.wantListed(t, asset.Filter{Tag: tag}, a.ID)
				e.wantListed(t, asset.Filter{Tag: tag, Owner: a.Owner}, a.ID)
				e.wantListed(t, asset.Filter{Tag: tag, Owner: project("q")})
				e.wantListed(t, asset.Filter{Tag: tag, Alias: "latest"}, a.ID)
			}
			e.wantListed(t, asset.Filter{Tag: "x", Alias: "latest"})
			cleared, err := e.SetAsset(e.ctx, e.set(a.ID, asset.Changes{
				Title: new(""), Description: new(""), Alias: new(""), Tags: new([]string), Metadata: new(json.RawMessage),
			}))
			if err != nil || !cleared.Info.Empty() || cleared.Revision != 3 {
				t.Fatalf("got %+v, %v", cleared, err)
			}
			for _, f := range []asset.Filter{{Tag: "ü"}, {Tag: "y"}, {Alias: "latest"}, {Owner: a.Owner, Alias: "latest"}} {
				e.wantListed(t, f)
			}
			e.wantListed(t, asset.Filter{Owner: a.Owner}, a.ID)
		},
		"as much as can be said": func(t *testing.T, e *env) {
			big := asset.Info{Title: strings.Repeat("t", asset.MaxTitleBytes), Description: strings.Repeat("d", asset.MaxDescriptionBytes),
				Alias: strings.Repeat("a", asset.MaxAliasBytes), Metadata: json.RawMessage(`{"m":"` + strings.Repeat("<", asset.MaxMetadataBytes-8) + `"}`)}
			other := big
			for n := range asset.MaxTags {
				big.Tags = append(big.Tags, fmt.Sprintf("%064d", n))
				other.Tags = append(other.Tags, fmt.Sprintf("%064d", n+asset.MaxTags))
			}
			other.Alias = strings.Repeat("b", asset.MaxAliasBytes)
			a := e.newAsset(t, collection(strings.Repeat("c", asset.MaxOwnerIDBytes)), big)
			u := e.set(a.ID, asset.Changes{Alias: &other.Alias, Tags: &other.Tags})
			u.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			if got, err := e.SetAsset(e.ctx, u); err != nil || !reflect.DeepEqual(got.Info, other) {
				t.Fatalf("got %v", err)
			}
			e.wantListed(t, asset.Filter{Tag: big.Tags[3]})
			e.wantListed(t, asset.Filter{Owner: a.Owner, Tag: other.Tags[3]}, a.ID)
			if _, err := e.DeleteAsset(e.ctx, e.assetDeletion(a.ID)); err != nil {
				t.Fatal(err)
			}
			e.wantListed(t, asset.Filter{Tag: other.Tags[3]})
		},
		"If-Match": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), asset.Info{})
			u := e.set(a.ID, asset.Changes{Title: new("B")})
			u.IfMatch = asset.ParseIfMatch(asset.EntityTag(a))
			b, err := e.SetAsset(e.ctx, u)
			if err != nil || asset.EntityTag(a) == asset.EntityTag(b) {
				t.Fatalf("got %+v, %v", b, err)
			}
			_, err = e.SetAsset(e.ctx, u)
			wantCode(t, err, fault.CodeAssetChanged)
			if d := err.(*fault.Error).Details; d["etag"] != asset.EntityTag(b) {
				t.Fatalf("refused with %v", d)
			}
			e.commit(t, e.assetComplete(t, asset.Draft{AssetID: a.ID, Owner: a.Owner}, "new content"))
			u.IfMatch = asset.ParseIfMatch(asset.EntityTag(b))
			_, err = e.SetAsset(e.ctx, u)
			wantCode(t, err, fault.CodeAssetChanged)
		},
		"of those that change the same revision one wins": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), asset.Info{})
			var errs [6]error
			var group sync.WaitGroup
			for n := range errs {
				u := e.set(a.ID, asset.Changes{Title: new(fmt.Sprint(n)), Tags: &[]string{fmt.Sprint(n)}})
				u.IfMatch = asset.ParseIfMatch(asset.EntityTag(a))
				group.Go(func() { _, errs[n] = e.SetAsset(e.ctx, u) })
			}
			group.Wait()
			won := -1
			for n, err := range errs {
				switch {
				case err == nil && won < 0:
					won = n
				case !fault.Is(err, fault.CodeAssetChanged):
					t.Fatalf("%d ended with %v, and %d had won", n, err, won)
				}
			}
			if now := e.asset(t, a.ID); now.Info.Title != fmt.Sprint(won) || now.Revision != 2 {
				t.Fatalf("%d won, and it is %+v", won, now)
			}
			for n := range errs {
				if n != won {
					e.wantListed(t, asset.Filter{Tag: fmt.Sprint(n)})
				}
			}
		},
		"a change under a known key": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), asset.Info{})
			u := e.set(a.ID, asset.Changes{Title: new("B")})
			u.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			u.IfMatch = asset.ParseIfMatch(asset.EntityTag(a))
			if _, err := e.SetAsset(e.ctx, u); err != nil {
				t.Fatal(err)
			}
			c, err := e.SetAsset(e.ctx, e.set(a.ID, asset.Changes{Title: new("C")}))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := e.SetAsset(e.ctx, u); err != nil || !reflect.DeepEqual(again, c) {
				t.Fatalf("again it is %+v, %v, want %+v", again, err, c)
			}
			u.Idempotency.Fingerprint = "g"
			_, err = e.SetAsset(e.ctx, u)
			wantCode(t, err, fault.CodeIdempotencyKeyReused)
			del := e.assetDeletion(a.ID)
			del.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			_, err = e.DeleteAsset(e.ctx, del)
			wantCode(t, err, fault.CodeIdempotencyKeyReused)
		},
		"a deleted asset is gone with all its versions": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), everything)
			second := e.commit(t, e.assetComplete(t, asset.Draft{AssetID: a.ID, Owner: a.Owner}, "b"))
			third := e.assetComplete(t, asset.Draft{AssetID: a.ID, Owner: a.Owner}, "c")
			del := e.assetDeletion(a.ID)
			del.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			done, err := e.DeleteAsset(e.ctx, del)
			want := dataset.AssetDeleted{AssetID: a.ID, Owner: a.Owner, Objects: []string{second.ObjectKey, a.Content.ObjectKey}}
			if err != nil || !reflect.DeepEqual(done, want) {
				t.Fatalf("got %+v, %v, want %+v", done, err, want)
			}
			_, err = e.Asset(e.ctx, e.tenant, a.ID)
			wantCode(t, err, fault.CodeAssetNotFound)
			_, err = e.AssetVersions(e.ctx, e.tenant, a.ID, 0, 1)
			wantCode(t, err, fault.CodeAssetNotFound)
			_, err = e.SetAsset(e.ctx, e.set(a.ID, asset.Changes{Title: new("x")}))
			wantCode(t, err, fault.CodeAssetNotFound)
			_, err = e.CommitAsset(e.ctx, e.tenant, third.ID)
			wantCode(t, err, fault.CodeAssetNotFound)
			if e.state(t, third) != dataset.UploadComplete {
				t.Error("the upload that came late has changed")
			}
			for _, f := range []asset.Filter{{}, {Owner: a.Owner}, {Tag: "x"}, {Owner: a.Owner, Tag: "x"}, {Alias: "latest"}, {Owner: a.Owner, Alias: "latest"}} {
				e.wantListed(t, f)
			}
			for _, id := range []string{a.ID, second.FileID} {
				if state := e.fileState(t, id); state != dataset.FileDeleted {
					t.Errorf("the record of %s says %q", id, state)
				}
			}
			if again, err := e.DeleteAsset(e.ctx, del); err != nil || !reflect.DeepEqual(again, want) { // another try of the same request
				t.Errorf("again %+v, %v", again, err)
			}
			other := e.assetDeletion(a.ID)
			_, err = e.DeleteAsset(e.ctx, other)
			wantCode(t, err, fault.CodeAssetNotFound)
			other.Idempotency, other.ReplayOnly = del.Idempotency, true
			want.Replayed = true
			if again, err := e.DeleteAsset(e.ctx, other); err != nil || !reflect.DeepEqual(again, want) {
				t.Errorf("replayed %+v, %v", again, err)
			}
			other.Idempotency.Key = "unknown"
			_, err = e.DeleteAsset(e.ctx, other)
			wantCode(t, err, fault.CodeAssetNotFound)
			e.newAsset(t, project("p"), everything) // the alias is free
			e.clock.advance(2 * dataset.UploadKept)
			e.newAsset(t, project("p"), asset.Info{}) // what is forgotten is forgotten now
			for _, id := range []string{a.ID, second.FileID} {
				if state := e.fileState(t, id); state != dataset.FileDeleted {
					t.Errorf("long after, the record of %s says %q", id, state)
				}
			}
		},
		"a deletion again without a key": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), asset.Info{})
			replay := e.assetDeletion(a.ID)
			replay.ReplayOnly = true
			_, err := e.DeleteAsset(e.ctx, replay)
			wantCode(t, err, fault.CodeAssetNotFound)
			del := e.assetDeletion(a.ID)
			first, err := e.DeleteAsset(e.ctx, del)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := e.DeleteAsset(e.ctx, del); err != nil || !reflect.DeepEqual(again, first) {
				t.Fatalf("again %+v, %v, want %+v", again, err, first)
			}
		},
		"an asset stays known when its uploads are forgotten": func(t *testing.T, e *env) {
			a := e.newAsset(t, project("p"), everything)
			second := e.commit(t, e.assetComplete(t, asset.Draft{AssetID: a.ID, Owner: a.Owner}, "b"))
			e.clock.advance(2 * dataset.UploadKept)
			e.newAsset(t, project("p"), asset.Info{}) // what is forgotten is forgotten now
			for _, id := range []string{a.ID, second.FileID} {
				if state := e.fileState(t, id); state != dataset.FileAppended {
					t.Errorf("the record of %s says %q", id, state)
				}
			}
			if now := e.asset(t, a.ID); now.Content.FileID != second.FileID {
				t.Errorf("it is %+v", now)
			}
		},
		"listings are newest first": func(t *testing.T, e *env) {
			var all, tagged []string
			for n := range 7 {
				i := asset.Info{}
				if n%3 == 0 {
					i.Tags = []string{"third"}
				}
				a := e.newAsset(t, project("p"), i)
				all = append([]string{a.ID}, all...)
				if n%3 == 0 {
					tagged = append([]string{a.ID}, tagged...)
				}
			}
			b := e.newAsset(t, collection("p"), asset.Info{Tags: []string{"third"}})
			e.wantListed(t, asset.Filter{Owner: project("p")}, all...)
			e.wantListed(t, asset.Filter{Owner: project("p"), Tag: "third"}, tagged...)
			e.wantListed(t, asset.Filter{Tag: "third"}, append([]string{b.ID}, tagged...)...)
			e.wantListed(t, asset.Filter{}, append([]string{b.ID}, all...)...)
			e.wantListed(t, asset.Filter{Owner: project("P")})
			if page, err := e.ListAssets(e.ctx, e.tenant, asset.Filter{}, "#", 10); err != nil || len(page.Assets) != 0 {
				t.Errorf("after nothing that can be comes %+v, %v", page, err)
			}
		},
	}
}
