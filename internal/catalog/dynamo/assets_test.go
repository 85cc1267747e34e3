package dynamo_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// content is a complete upload of a new asset, or of the next content of one.
func (b *bench) content(t *testing.T, assetID string, i asset.Info) dataset.Upload {
	t.Helper()
	b.ids++
	id, now := fmt.Sprint("upload-", b.ids), time.Now().UTC()
	fileID := dataset.FileIDOf(id)
	d := &asset.Draft{AssetID: fileID, Owner: asset.Owner{Type: asset.Project, ID: "p"}, Info: i}
	if assetID != "" {
		d.AssetID = assetID
	}
	_, err := b.other.CreateUpload(t.Context(), tenant, dataset.Upload{
		ID: id, FileID: fileID, FileName: id, SizeBytes: 1, PartSize: dataset.MinPartSize, ObjectKey: dataset.FileKey(tenant, fileID), PartsID: "p",
		CreatedAt: now, ExpiresAt: now.Add(time.Hour), Asset: d,
	}, dataset.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := b.other.CompleteUpload(t.Context(), tenant, id, dataset.Completion{CRC64NVME: "AAAAAAAAAAA=", ExpiresAt: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// thing is an asset that is there.
func (b *bench) thing(t *testing.T) asset.Asset {
	t.Helper()
	u, err := b.other.CommitAsset(t.Context(), tenant, b.content(t, "", asset.Info{Alias: "old", Tags: []string{"old"}}).ID)
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.other.Asset(t.Context(), tenant, u.AssetID())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// assetWrites are the writes of assets: each is prepared, done, and looked at.
var assetWrites = map[string]func(*testing.T, *bench) (id string, write func() (any, error), look func(asset.Asset, error) bool){
	"a new asset": func(t *testing.T, b *bench) (string, func() (any, error), func(asset.Asset, error) bool) {
		u := b.content(t, "", asset.Info{Alias: "new", Tags: []string{"new"}})
		return u.FileID, func() (any, error) { return b.CommitAsset(t.Context(), tenant, u.ID) }, func(a asset.Asset, err error) bool {
			return err == nil && a.Info.Alias == "new" && a.Content.Version == 1
		}
	},
	"new content": func(t *testing.T, b *bench) (string, func() (any, error), func(asset.Asset, error) bool) {
		a := b.thing(t)
		u := b.content(t, a.ID, asset.Info{})
		return a.ID, func() (any, error) { return b.CommitAsset(t.Context(), tenant, u.ID) }, func(a asset.Asset, err error) bool {
			return err == nil && a.Info.Alias == "old" && a.Content.Version == 2 && a.Content.FileID == u.FileID
		}
	},
	"a change": func(t *testing.T, b *bench) (string, func() (any, error), func(asset.Asset, error) bool) {
		a := b.thing(t)
		u := dataset.AssetUpdate{
			Tenant: tenant, ID: a.ID, Changes: asset.Changes{Alias: new("new"), Tags: &[]string{"new"}}, IfMatch: asset.ParseIfMatch(asset.EntityTag(a)),
			Idempotency: dataset.Idempotency{Key: "k", Fingerprint: "f"},
		}
		return a.ID, func() (any, error) {
				changed, err := b.SetAsset(t.Context(), u)
				return changed.Info, err // others may have changed what else there is
			}, func(a asset.Asset, err error) bool {
				return err == nil && a.Info.Alias == "new" && a.Content.Version == 1
			}
	},
	"a deletion": func(t *testing.T, b *bench) (string, func() (any, error), func(asset.Asset, error) bool) {
		a := b.thing(t)
		d := dataset.AssetDeletion{ID: "delete-1", Tenant: tenant, AssetID: a.ID}
		return a.ID, func() (any, error) { return b.DeleteAsset(t.Context(), d) }, func(_ asset.Asset, err error) bool {
			return fault.Is(err, fault.CodeAssetNotFound)
		}
	},
	"a file's deletion": func(t *testing.T, b *bench) (string, func() (any, error), func(asset.Asset, error) bool) {
		b.byAnother(t, "a", "b")
		f, err := b.other.File(t.Context(), tenant, b.dataset.ID, "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.other.SetAsset(t.Context(), dataset.AssetUpdate{Tenant: tenant, ID: f.ID, Changes: asset.Changes{Tags: &[]string{"x"}}}); err != nil {
			t.Fatal(err)
		}
		d := dataset.AssetDeletion{ID: "delete-1", Tenant: tenant, AssetID: f.ID}
		return f.ID, func() (any, error) { return b.DeleteAsset(t.Context(), d) }, func(_ asset.Asset, err error) bool {
			return fault.Is(err, fault.CodeAssetNotFound)
		}
	},
}

// The answer to a write is lost, once or until the writer gives up, and then it is made
// again: it is done once.
func TestAssetWritesWhoseAnswerIsLost(t *testing.T) {
	for name, prepare := range assetWrites {
		for kind, cause := range lost {
			for _, always := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, always %v", name, kind, always), func(t *testing.T) {
					t.Parallel()
					b := newBench(t)
					id, write, look := prepare(t, b)
					b.spy.transact = func(n int, send func() error) error {
						if err := send(); n > 0 && !always {
							return err
						}
						return cause
					}
					first, err := write()
					var known *fault.Error
					if always && (err == nil || errors.As(err, &known)) {
						t.Fatalf("an unknown outcome became %v", err)
					}
					if !always && err != nil {
						t.Fatal(err)
					}
					b.spy.transact = nil
					again, err := write()
					if err != nil || !always && !reflect.DeepEqual(first, again) {
						t.Fatalf("got %+v and then %+v, %v", first, again, err)
					}
					now, err := b.Asset(t.Context(), tenant, id)
					if !look(now, err) {
						t.Fatalf("in the end it is %+v, %v", now, err)
					}
				})
			}
		}
	}
}

// What passes is tried again with the same transaction.
func TestAssetWritesRetryWhatPasses(t *testing.T) {
	for name, prepare := range assetWrites {
		for kind, cause := range throttling {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				id, write, look := prepare(t, b)
				b.spy.reset()
				b.spy.transact = func(n int, send func() error) error {
					if n < 2 {
						return cause
					}
					return send()
				}
				if _, err := write(); err != nil {
					t.Fatal(err)
				}
				for _, token := range b.spy.tokens {
					if token == "" || token != b.spy.tokens[0] {
						t.Fatalf("one transaction was sent with the tokens %q", b.spy.tokens)
					}
				}
				if now, err := b.Asset(t.Context(), tenant, id); !look(now, err) {
					t.Fatalf("in the end it is %+v, %v", now, err)
				}
			})
		}
	}
}

// Another writer comes between what a write reads and its transaction.
func TestAssetWritesThatMeetOthers(t *testing.T) {
	for name, prepare := range assetWrites {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			id, write, look := prepare(t, b)
			b.spy.transact = func(n int, send func() error) error {
				if n == 0 {
					_, err := b.other.SetAsset(t.Context(), dataset.AssetUpdate{Tenant: tenant, ID: id, Changes: asset.Changes{Title: new("T"), Tags: &[]string{"between"}}})
					if err != nil && !fault.Is(err, fault.CodeAssetNotFound) {
						t.Error(err)
					}
				}
				return send()
			}
			_, err := write()
			if name == "a change" { // it was for a revision that is no more
				if !fault.Is(err, fault.CodeAssetChanged) {
					t.Fatalf("got the error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			now, err := b.Asset(t.Context(), tenant, id)
			if !look(now, err) {
				t.Fatalf("in the end it is %+v, %v", now, err)
			}
			page, err := b.ListAssets(t.Context(), tenant, asset.Filter{Tag: "between"}, "", 10)
			if err != nil || (len(page.Assets) == 1) != now.Info.HasTag("between") {
				t.Errorf("with the tag are listed %+v, %v", page, err)
			}
		})
	}
}

// A dataset goes while something is said of a file of it: nothing is left of that.
func TestNothingIsSaidOfFilesOfDeletedDatasets(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a")
	f, err := b.other.File(t.Context(), tenant, b.dataset.ID, "a")
	if err != nil {
		t.Fatal(err)
	}
	b.spy.transact = func(n int, send func() error) error {
		if n == 0 {
			if _, err := b.other.DeleteDataset(t.Context(), dataset.DatasetDeletion{ID: "delete-1", Tenant: tenant, DatasetID: b.dataset.ID}); err != nil {
				t.Error(err)
			}
		}
		return send()
	}
	_, err = b.SetAsset(t.Context(), dataset.AssetUpdate{Tenant: tenant, ID: f.ID, Changes: asset.Changes{Tags: &[]string{"late"}}})
	if !fault.Is(err, fault.CodeAssetNotFound) {
		t.Fatalf("got the error %v", err)
	}
	gone, err := b.DeletedDatasets(t.Context(), dataset.DeletedDataset{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range gone {
		if d.ID != b.dataset.ID {
			continue
		}
		if n, err := b.RemoveInfos(t.Context(), d, 10); err != nil || n != 0 {
			t.Errorf("something was said of %d files, %v", n, err)
		}
	}
}

// A query does not see the item of a version that is being committed.
func TestVersionsWaitForWholeTransactions(t *testing.T) {
	for _, times := range []int{1, 3, 1000} {
		b := newBench(t)
		a := b.thing(t)
		if _, err := b.other.CommitAsset(t.Context(), tenant, b.content(t, a.ID, asset.Info{}).ID); err != nil {
			t.Fatal(err)
		}
		b.spy.query = func(n int, out *dynamodb.QueryOutput) {
			if n < times {
				without(out, "V#0000000000000000002")
			}
		}
		list, err := b.AssetVersions(t.Context(), tenant, a.ID, 0, 10)
		if times == 1000 {
			if !fault.Is(err, fault.CodeUnavailable) {
				t.Errorf("without it for ever: %+v, %v", list, err)
			}
			continue
		}
		if err != nil || len(list) != 2 || list[0].Version != 2 {
			t.Errorf("without it at first: %+v, %v", list, err)
		}
	}
}
