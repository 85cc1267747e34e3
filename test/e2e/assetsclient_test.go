package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"

	apiclient "github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
)

// TestAssetsByTheClient takes the way of a transfer, call by call.
func TestAssetsByTheClient(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	ctx := t.Context()
	c, err := apiclient.New(apiclient.Config{URL: srv.url, Key: srv.key})
	if err != nil {
		t.Fatal(err)
	}
	send := func(u apiclient.Upload, content string) apiclient.Upload {
		t.Helper()
		for _, p := range u.PartURLs {
			if err := put(p.URL, []byte(content[p.Offset:p.Offset+p.SizeBytes])); err != nil {
				t.Fatal(err)
			}
		}
		done, err := c.CommitUpload(ctx, u.ID, crc64nvme([]byte(content)))
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	var ids []string
	for n := range 3 {
		new := apiclient.NewAsset{OwnerType: apiclient.OwnerProject, OwnerID: "p", FileName: fmt.Sprint(n), SizeBytes: 5}
		new.Tags = &[]string{"t", fmt.Sprint(n)}
		key := apiclient.NewKey()
		u, err := c.CreateAsset(ctx, new, key)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := c.CreateAsset(ctx, new, key); err != nil || again.ID != u.ID || again.AssetID != u.AssetID {
			t.Fatalf("created %+v and then %+v, %v", u, again, err)
		}
		if done := send(u, "first"); done.State != apiclient.UploadAppended || done.Version != 1 || done.AssetID != u.AssetID {
			t.Fatalf("committed %+v", done)
		}
		ids = append([]string{u.AssetID}, ids...)
	}
	a, err := c.Asset(ctx, ids[0])
	if err != nil || a.Title != "2" || a.Checksum != crc64nvme([]byte("first")) || a.ETag == "" {
		t.Fatalf("got %+v, %v", a, err)
	}
	metadata, none := json.RawMessage(`{"a":1}`), json.RawMessage(nil)
	b, err := c.SetAsset(ctx, a.ID, apiclient.AssetChanges{Title: ptr("T"), Alias: ptr("newest"), Metadata: &metadata}, a.ETag)
	if err != nil || b.Title != "T" || string(b.Metadata) != `{"a":1}` || len(b.Tags) != 2 {
		t.Fatalf("got %+v, %v", b, err)
	}
	if _, err := c.SetAsset(ctx, a.ID, apiclient.AssetChanges{Title: ptr("U")}, a.ETag); !fault.Is(err, fault.CodeAssetChanged) {
		t.Fatalf("got the error %v", err)
	}
	if b, err = c.SetAsset(ctx, a.ID, apiclient.AssetChanges{Title: ptr(""), Tags: new([]string), Metadata: &none}, ""); err != nil || b.Title != "2" || len(b.Tags) != 0 || string(b.Metadata) != "{}" {
		t.Fatalf("cleared to %+v, %v", b, err)
	}
	for f, want := range map[apiclient.AssetFilter][]string{
		{}: ids, {Tag: "t"}: ids[1:], {Alias: "newest"}: ids[:1], {OwnerType: apiclient.OwnerProject, OwnerID: "p", Tag: "0"}: ids[2:],
	} {
		var got []string
		for a, err := range c.Assets(ctx, f) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, a.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v lists %v, want %v", f, got, want)
		}
	}
	u, err := c.CreateAssetVersion(ctx, apiclient.NewAssetVersion{AssetID: a.ID, SizeBytes: 6}, apiclient.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	if done := send(u, "second"); done.Version != 2 || done.AssetID != a.ID || done.DatasetID != "" {
		t.Fatalf("committed %+v", done)
	}
	var versions []int64
	for v, err := range c.AssetVersions(ctx, a.ID) {
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v.Version)
	}
	if !slices.Equal(versions, []int64{2, 1}) {
		t.Errorf("the versions are %v", versions)
	}
	for version, want := range []string{"second", "first", "second"} {
		d, err := c.DownloadAsset(ctx, a.ID, int64(version))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get(d.URL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != want {
			t.Errorf("version %d is %q, %v", version, got, err)
		}
	}
	if err := c.DeleteAsset(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Asset(ctx, a.ID); !fault.Is(err, fault.CodeAssetNotFound) {
		t.Fatalf("got the error %v", err)
	}
}

func ptr(s string) *string { return &s }
