package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// An asset goes up in parts and comes back; an interruption of either costs the
// parts that were under way.
func TestAssetThereAndBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connections = 2
	content := bytes.Repeat([]byte("of any format "), 3*mib)
	path := f.write("big.bin", content)
	up := transfer.AssetUpload{Path: path, OwnerType: "project", OwnerID: "p", Info: transfer.AssetInfo{Title: "Big"}}
	size := int64(len(content))
	ctx, stop := stopping(t, size/2)
	first, err := f.slowly().UploadAsset(ctx, up, stop)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %+v, %v", first, err)
	}
	second, err := f.engine().UploadAsset(t.Context(), up, nil)
	if err != nil {
		t.Fatal(err)
	}
	if second.TransferID != first.TransferID || second.Version != 1 || first.BytesSent+second.BytesSent > size+2*2*8*mib {
		t.Errorf("ended with %+v after %+v", second, first)
	}
	down := transfer.AssetDownload{AssetID: second.AssetID, Folder: filepath.Join(f.dir, "back")}
	ctx, stop = stopping(t, size/2)
	got, err := f.slowly().DownloadAsset(ctx, down, stop)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %+v, %v", got, err)
	}
	rest, err := f.engine().DownloadAsset(t.Context(), down, nil)
	if err != nil || got.BytesGot+rest.BytesGot > size+2*2*8*mib {
		t.Errorf("ended with %+v after %+v, %v", rest, got, err)
	}
	if back, err := os.ReadFile(rest.Path); err != nil || !bytes.Equal(back, content) {
		t.Errorf("other bytes came back, %v", err)
	}
	if left := f.unfinished(); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}

// stopping is a context and an observer that ends it when so many bytes have moved.
func stopping(t *testing.T, at int64) (context.Context, transfer.Observer) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, func(e transfer.Event) {
		if e.BytesMoved >= at {
			cancel()
		}
	}
}

// A transfer that is run once more under its id, because its end was not heard of,
// makes no second asset.
func TestAssetIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	up := transfer.AssetUpload{TransferID: uuid.NewString(), Path: f.write("a.txt", []byte("text")), OwnerType: "project", OwnerID: "twice"}
	first, err := f.engine().UploadAsset(t.Context(), up, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.engine().UploadAsset(t.Context(), up, nil)
	if err != nil || second.AssetID != first.AssetID || second.Version != first.Version || second.BytesSent != 0 {
		t.Errorf("made %+v and then %+v, %v", first, second, err)
	}
	count := 0
	for _, err := range f.client.Assets(t.Context(), client.AssetFilter{OwnerType: "project", OwnerID: "twice"}) {
		if count++; err != nil {
			t.Fatal(err)
		}
	}
	if count != 1 {
		t.Errorf("there are %d", count)
	}
	up.TransferID = ""
	other, err := f.engine().UploadAsset(t.Context(), up, nil)
	if err != nil || other.AssetID == first.AssetID {
		t.Errorf("another upload made %+v, %v", other, err)
	}
}

// slowly is an engine that is still at it when a test looks.
func (f *fixture) slowly() *transfer.Engine {
	f.t.Helper()
	e, err := transfer.New(f.client, transfer.Options{StateDir: f.state, Retry: quick(), Connections: 2, BytesPerSecond: 40 * mib})
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

func TestAssetsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for path, code := range map[string]fault.Code{
		filepath.Join(f.dir, "none"): fault.CodeFileNotFound, f.dir: fault.CodeInvalidRequest, f.write("con", nil): fault.CodeInvalidFileName,
	} {
		_, err := f.engine().UploadAsset(t.Context(), transfer.AssetUpload{Path: path, OwnerType: "project", OwnerID: "p"}, nil)
		if !fault.Is(err, code) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, d := range []transfer.AssetDownload{{AssetID: "file-none"}, {AssetID: "../../etc"}} {
		d.Folder = f.dir
		if _, err := f.engine().DownloadAsset(t.Context(), d, nil); !fault.Is(err, fault.CodeAssetNotFound) {
			t.Errorf("%s: %v", d.AssetID, err)
		}
	}
}
