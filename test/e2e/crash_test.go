package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestKill ends the server with SIGKILL while clients upload, again and again
// over one folder. No acknowledged file is lost or moves, nothing is listed that
// cannot be downloaded whole, and the dataset takes files again.
func TestKill(t *testing.T) {
	t.Parallel()
	const rounds, clients = 4, 4
	total := 0
	srv := serve(t, setup{})
	id := srv.admin().create(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	sent := map[string][32]byte{}
	var last []listed
	for round := range rounds {
		acknowledged := uploadUntilKilled(t, srv, id, round, clients, 100+random.IntN(500), sent)
		srv = serve(t, setup{data: srv.data})
		c := srv.admin()
		files := c.files(t, id)
		if err := extends(last, files); err != nil {
			t.Fatal(err)
		}
		last = files
		byName := map[string]listed{}
		for _, f := range files {
			byName[f.FileName] = f
			if got := sha256.Sum256(c.download(t, id, f.FileName)); got != sent[f.FileName] {
				t.Errorf("%s came back with other bytes", f.FileName)
			}
		}
		for name, f := range acknowledged {
			if byName[name].FileID != f.FileID || byName[name].Position != f.Position {
				t.Errorf("%s was acknowledged at position %d and is listed as %+v", name, f.Position, byName[name])
			}
		}
		name := fmt.Sprintf("after-%d.parquet", round)
		content := parquet(t, 1_000_000+round)
		sent[name] = sha256.Sum256(content)
		c.mustUpload(t, id, name, content)
		last = c.files(t, id)
		total += len(acknowledged)
		t.Logf("round %d: %d acknowledged, %d listed", round, len(acknowledged), len(files))
	}
	if total == 0 {
		t.Error("nothing was acknowledged in any round, so nothing was shown")
	}
}

// uploadUntilKilled has clients upload until the server is killed, after some
// milliseconds, and returns what was acknowledged. It adds what was sent to sent.
func uploadUntilKilled(t *testing.T, srv *server, id string, round, clients, milliseconds int, sent map[string][32]byte) map[string]listed {
	t.Helper()
	c := srv.admin()
	base := parquet(t, 0)
	head, footer := split(t, base)
	var mu sync.Mutex
	acknowledged := map[string]listed{}
	var group sync.WaitGroup
	for n := range clients {
		group.Go(func() {
			for k := 0; ; k++ {
				name := fmt.Sprintf("round-%d-client-%d-%03d.parquet", round, n, k)
				content := append(fmt.Appendf(append([]byte{}, head...), "%s%0*d", name, (k%7)*50_000, 0), footer...)
				mu.Lock()
				sent[name] = sha256.Sum256(content)
				mu.Unlock()
				a, err := c.upload(id, name, content, nil)
				if err != nil {
					return // killed
				}
				f, err := a.file()
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				mu.Lock()
				acknowledged[name] = f
				mu.Unlock()
			}
		})
	}
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	srv.kill()
	group.Wait()
	return acknowledged
}

// jsonInto decodes JSON, for goroutines.
func jsonInto(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the answer is not JSON: %w: %s", err, body)
	}
	return nil
}
