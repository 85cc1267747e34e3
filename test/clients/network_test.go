package clients_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/testtool"
	"github.com/parqueue/parqueue/test/badnetwork"
	"github.com/parqueue/parqueue/test/clients"
)

const mib = 1 << 20

// each runs a test with every client, side by side.
func each(t *testing.T, test func(t *testing.T, kind clients.Kind)) {
	t.Helper()
	for _, kind := range clients.All() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// One request in four is hurt, on the way to the API or to the store: everything
// arrives once, in order, with the bytes that it had, and what was not hurt is not
// sent again.
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, kind clients.Kind) {
		seed := testtool.Seed(t)
		server := clients.Serve(t)
		network := badnetwork.Start(t, server.URL)
		client := clients.New(t, kind, network.URL, server.Key)
		network.Hurt(0.25, seed)
		faults := map[string]int{}
		count := func() {
			for name, times := range network.Faults() {
				faults[name] += times
			}
			network.Forget()
		}
		for round := range testtool.Scale(t) {
			sizes := slices.Repeat([]int{1000, 200_000}, 6)
			files := clients.WriteFolder(t, seed+uint64(100*round), append(sizes, 40*mib)...)
			id := client.Do("create", nil).DatasetID
			client.Do("upload", clients.Job{"dataset": id, "path": files.Dir})
			wantMoved(t, network, files.Bytes, func(c badnetwork.Count) int64 { return c.Sent })
			count()
			to := filepath.Join(t.TempDir(), "back")
			client.Do("download", clients.Job{"dataset": id, "to": to})
			files.WantSame(t, to)
			wantMoved(t, network, files.Bytes, func(c badnetwork.Count) int64 { return c.Got })
			count()
			wantOnce(t, server, id, files)
		}
		t.Logf("faults: %v", faults)
	})
}

// wantMoved compares what a network carried with what there was to carry.
func wantMoved(t *testing.T, network *badnetwork.Network, bytes int64, of func(badnetwork.Count) int64) {
	t.Helper()
	total := network.Total()
	t.Logf("%d bytes moved for %d, %d of them in vain, %d requests came too late; calls: %v", of(total), bytes, total.Wasted, total.Expired, network.Calls())
	if again := of(total) - bytes; again < 0 || again > total.Wasted {
		t.Errorf("%d bytes moved for %d, and only %d in vain", of(total), bytes, total.Wasted)
	}
}

// wantOnce asks the server itself what it has.
func wantOnce(t *testing.T, server *clients.Server, id string, files *clients.Folder) {
	t.Helper()
	direct := clients.New(t, clients.CLI, server.URL, server.Key)
	if names := direct.Do("files", clients.Job{"dataset": id}).Names; !slices.Equal(names, files.Names) {
		t.Errorf("the dataset has %v, and not %v", names, files.Names)
	}
}

// URLs are of no use any more after some megabytes, again and again.
func TestExpiredURLs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, kind clients.Kind) {
		server := clients.Serve(t)
		network := badnetwork.Start(t, server.URL)
		client := clients.New(t, kind, network.URL, server.Key)
		sizes := append(slices.Repeat([]int{1000}, 20), 45*mib, 45*mib)
		files := clients.WriteFolder(t, 1, sizes...)
		network.Hurt(0, testtool.Seed(t))
		network.ExpireEvery(24 * mib)
		id := client.Do("create", nil).DatasetID
		client.Do("upload", clients.Job{"dataset": id, "path": files.Dir})
		wantMoved(t, network, files.Bytes, func(c badnetwork.Count) int64 { return c.Sent })
		wantExpired(t, network)
		network.Forget()
		to := filepath.Join(t.TempDir(), "back")
		client.Do("download", clients.Job{"dataset": id, "to": to})
		files.WantSame(t, to)
		wantMoved(t, network, files.Bytes, func(c badnetwork.Count) int64 { return c.Got })
		wantExpired(t, network)
		wantOnce(t, server, id, files)
	})
}

// wantExpired bounds what is sent in vain and asked for anew.
func wantExpired(t *testing.T, network *badnetwork.Network) {
	t.Helper()
	total, calls := network.Total(), network.Calls()
	if total.Expired == 0 {
		t.Error("no URL was too old")
	}
	if asked := calls["get-upload"] + calls["download-from-dataset"]; asked > total.Expired+50 {
		t.Errorf("new URLs were asked for %d times: %v", asked, calls)
	}
	if total.Wasted > int64(total.Expired)*clients.PartSize {
		t.Errorf("%d bytes were sent in vain, in %d requests", total.Wasted, total.Expired)
	}
}

// Whoever says how long to wait is waited for, the API and the store alike.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, kind clients.Kind) {
		const seconds = 1 // more than any client waits at first by itself
		server := clients.Serve(t)
		network := badnetwork.Start(t, server.URL)
		client := clients.New(t, kind, network.URL, server.Key)
		files := clients.WriteFolder(t, 1, 1000)
		id := client.Do("create", nil).DatasetID
		job := clients.Job{"dataset": id, "path": files.Dir, "to": filepath.Join(t.TempDir(), "back")}
		for _, what := range []string{"upload", "download"} {
			waited := network.Busy(seconds)
			client.Do(what, job)
			if api, store := waited(); api < seconds*time.Second || store < seconds*time.Second {
				t.Errorf("%s called the API again after %v, and the store after %v", what, api, store)
			}
		}
		files.WantSame(t, job["to"].(string))
	})
}
