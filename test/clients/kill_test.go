package clients_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/testtool"
	"github.com/parqueue/parqueue/test/badnetwork"
	"github.com/parqueue/parqueue/test/clients"
)

// Of the killing.
const (
	killFor   = 8 * time.Second        // for each client
	killsEach = 4                      // of one upload or download, so that it comes to its end
	killAfter = 900 * time.Millisecond // at most, from one to the next, where no number of bytes is waited for
	downFor   = 300 * time.Millisecond // a server, at most
	endsAfter = 90 * time.Second       // what isn't killed any more
	bandwidth = 24_000_000             // bytes a second, so that there is time to kill
)

// The client, the daemon and the server are killed at random moments while files go
// up and come back. The same command, or the same call, goes on: no file is lost, none
// is there twice or out of order, and each kill costs a part per connection at most.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, kind clients.Kind) {
		seed := testtool.Seed(t)
		k := &killing{t: t, random: rand.New(rand.NewPCG(seed, 1)), server: clients.Serve(t)}
		k.network = badnetwork.Start(t, k.server.URL)
		k.network.Limit(bandwidth)
		k.client = clients.New(t, kind, k.network.URL, k.server.Key)
		k.victims = []string{"client", "server"}
		if kind == clients.Daemon {
			k.victims = append(k.victims, "daemon")
		}
		for until := time.Now().Add(time.Duration(testtool.Scale(t)) * killFor); time.Now().Before(until) && !t.Failed(); {
			k.round(seed)
			seed += 1000
		}
		t.Logf("%d rounds, killed: %v", k.rounds, k.killed)
	})
}

// killing is a client and a server that are killed.
type killing struct {
	t       *testing.T
	random  *rand.Rand
	server  *clients.Server
	network *badnetwork.Network
	client  *clients.Client
	victims []string
	rounds  int
	killed  []string
}

// round uploads a folder and downloads it.
func (k *killing) round(seed uint64) {
	k.t.Helper()
	k.rounds++
	files := clients.WriteFolder(k.t, seed, append(slices.Repeat([]int{1000}, 12), 20*mib, 300_000, 20*mib)...)
	id := k.client.Do("create", nil).DatasetID
	k.carry("upload", clients.Job{"dataset": id, "path": files.Dir}, files.Bytes, func(c badnetwork.Count) int64 { return c.Sent })
	if names := k.client.Do("files", clients.Job{"dataset": id}).Names; !slices.Equal(names, files.Names) {
		k.t.Errorf("the dataset has %v", names)
	}
	to := filepath.Join(k.t.TempDir(), "back")
	k.carry("download", clients.Job{"dataset": id, "to": to}, files.Bytes, func(c badnetwork.Count) int64 { return c.Got })
	files.WantSame(k.t, to)
}

// carry does a job however often somebody is killed meanwhile, and counts what it
// moves.
func (k *killing) carry(what string, job clients.Job, total int64, of func(badnetwork.Count) int64) {
	k.t.Helper()
	k.network.Forget()
	kills := 0
	var killed []string
	for done := false; !done; {
		process := k.client.Command(what, job)
		var said bytes.Buffer
		process.Stdout, process.Stderr = &said, &said
		if err := process.Start(); err != nil {
			k.t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- process.Wait() }()
		for running := true; running; {
			moment := time.After(endsAfter)
			if kills < killsEach {
				moment = k.moment(total, of)
			}
			select {
			case err := <-ended:
				if err != nil {
					k.t.Fatalf("%s ended with %v after %v: %s", what, err, killed, said.String())
				}
				running, done = false, true
			case <-moment:
				if kills == killsEach {
					_ = process.Process.Kill()
					k.t.Fatalf("%s has not come to its end, after %v: %s", what, killed, said.String())
				}
				kills++
				victim := k.victims[k.random.IntN(len(k.victims))]
				killed = append(killed, fmt.Sprintf("%s at %d", victim, of(k.network.Total())))
				if k.kill(victim, process.Process); victim == "client" {
					if err := <-ended; err == nil {
						done = true // just before
					}
					running = false
				}
			}
		}
	}
	k.killed = append(k.killed, killed...)
	again := of(k.network.Total()) - total
	k.t.Logf("%s moved %d bytes again, of %d, after %v", what, again, total, killed)
	if again < 0 || again > int64(kills*clients.Connections*clients.PartSize) {
		k.t.Errorf("%s moved %d bytes more than the %d that there are, with %v", what, again, total, killed)
	}
}

// moment comes after a random time, or when a random number of bytes has moved.
func (k *killing) moment(total int64, of func(badnetwork.Count) int64) <-chan time.Time {
	if k.random.IntN(2) == 0 {
		return time.After(time.Duration(k.random.Int64N(int64(killAfter))))
	}
	moved := of(k.network.Total())
	mark := moved + k.random.Int64N(max(1, total-moved))
	moment := make(chan time.Time, 1)
	go func() {
		for deadline := time.Now().Add(endsAfter); of(k.network.Total()) <= mark && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		moment <- time.Now()
	}()
	return moment
}

func (k *killing) kill(victim string, client *os.Process) {
	k.t.Helper()
	switch victim {
	case "client":
		_ = client.Kill()
	case "daemon":
		k.client.KillDaemon()
	case "server":
		k.server.Kill()
		time.Sleep(time.Duration(k.random.Int64N(int64(downFor))))
		k.server.Start()
	}
}

// A process that is killed when it has just put a file in its place leaves what the
// file was until then. The next download removes it, though it needs nothing of it.
func TestKilledAfterTheLastByte(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, kind clients.Kind) {
		server := clients.Serve(t)
		network := badnetwork.Start(t, server.URL)
		client := clients.New(t, kind, network.URL, server.Key)
		files := clients.WriteFolder(t, 1, 30*mib)
		id := client.Do("create", nil).DatasetID
		client.Do("upload", clients.Job{"dataset": id, "path": files.Dir})

		job := clients.Job{"dataset": id, "to": filepath.Join(t.TempDir(), "back")}
		hidden := filepath.Join(job["to"].(string), ".parqueue-*")
		network.Limit(bandwidth)
		process := client.Command("download", job)
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		var left []string
		for deadline := time.Now().Add(endsAfter); len(left) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			left, _ = filepath.Glob(hidden)
		}
		time.Sleep(50 * time.Millisecond)
		left, _ = filepath.Glob(hidden)
		_ = process.Process.Kill()
		_ = process.Wait()
		client.KillDaemon()
		if len(left) == 0 {
			t.Fatal("nothing was left")
		}
		network.Limit(0)
		client.Do("download", job)
		files.WantSame(t, job["to"].(string))
		for _, path := range left {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		client.Do("download", job)
		files.WantSame(t, job["to"].(string))
	})
}
