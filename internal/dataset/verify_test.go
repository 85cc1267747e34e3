package dataset

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/keys"
)

// many is a catalog and a store of n files of which nothing is wrong.
type many struct {
	Catalog
	Objects
	n       int64
	mu      sync.Mutex
	asking  int
	busiest int
	asked   map[string]int
}

func (m *many) Files(_ context.Context, _, _ string, from int64, limit int) (FilePage, error) {
	page := FilePage{Dataset: Dataset{NextPosition: m.n}}
	for p := from; p < m.n && len(page.Files) < limit; p++ {
		page.Files = append(page.Files, File{Position: p, ObjectKey: fmt.Sprint(p), SizeBytes: 7, CRC64NVME: "c"})
	}
	page.Next = from + int64(len(page.Files))
	page.More = page.Next < m.n
	return page, nil
}

func (m *many) Stat(_ context.Context, key string) (Stored, error) {
	m.mu.Lock()
	m.asked[key]++
	m.asking++
	m.busiest = max(m.busiest, m.asking)
	m.mu.Unlock()
	time.Sleep(50 * time.Microsecond)
	m.mu.Lock()
	m.asking--
	m.mu.Unlock()
	return Stored{SizeBytes: 7, CRC64NVME: "c"}, nil
}

// A verification reads many pages, never asks too much at once, and ends at its
// limit or when its time is over; wherever it ends, the next one goes on there.
func TestVerifyInParts(t *testing.T) {
	const n = 2*verifyPage + 7
	who := keys.Principal{Tenant: "acme", Scopes: []keys.Scope{keys.ScopeRead}}
	id := "dataset-0192f0c1-2345-7abc-8def-0123456789ab"
	for _, c := range []struct {
		name    string
		limit   int
		tick    time.Duration // by which the clock moves whenever it is read
		answers int
	}{
		{"whole", MaxVerified, 0, 1},
		{"a limit", verifyPage + 4, 0, 2},
		{"a small limit", 100, 0, 11},
		{"no time", MaxVerified, verifyTime/2 + 1, 3},
		{"little time", MaxVerified, verifyTime/3 + 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &many{n: n, asked: map[string]int{}}
			now := time.Now()
			s := &Service{catalog: m, objects: m, now: func() time.Time { now = now.Add(c.tick); return now }}
			checked, answers := 0, 0
			for v := (Verification{More: true}); v.More; answers++ {
				var err error
				if v, err = s.Verify(t.Context(), who, id, v.Next, c.limit); err != nil || v.Checked == 0 || v.Checked > c.limit || len(v.Problems) > 0 {
					t.Fatalf("got %+v, %v", v, err)
				}
				checked += v.Checked
			}
			if checked != n || len(m.asked) != n || answers != c.answers {
				t.Errorf("%d files were checked, %d objects asked about, in %d answers", checked, len(m.asked), answers)
			}
			if m.busiest < 2 || m.busiest > verifyAtOnce {
				t.Errorf("%d questions at once", m.busiest)
			}
		})
	}
}
