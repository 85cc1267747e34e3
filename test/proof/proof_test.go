// Package proof tries to catch Parqueue breaking what docs/protocol.md promises,
// in three ways, each on both sets of stores: DynamoDB (an emulator) with an S3
// store, as deployed, and SQLite with the embedded S3 store, as on a laptop.
//
// Linearizability: many clients work on the same datasets while stores fail, requests
// arrive twice and the server is killed; what they were told is checked with porcupine
// against a dataset that does one thing at a time (linear_*_test.go).
//
// Kill points: a process is killed at every single step of an operation, started
// again and looked at (kill_*_test.go). Another operation is another row in
// kill_operations_test.go.
//
// Faults: one call in twenty fails, in every way in which AWS's do, and operations
// have to succeed all the same (fault_*_test.go).
//
// A plain run takes a minute, or two where others are at work. PARQUEUE_PROOF_SCALE
// multiplies how much is tried: `make proof` takes 20. What is random is drawn from a seed, which is
// printed; PARQUEUE_PROOF_SEED gives one. As goroutines and processes take turns as
// they like, a seed repeats what was drawn, not every step.
package proof

import (
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/testtool"
)

func TestMain(m *testing.M) {
	embeddeds3test.RunChild()
	runVictim()
	os.Exit(m.Run())
}

// dice are random numbers that many may draw. The same seed gives the same row
// of numbers; who gets which is up to the scheduler.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func newDice(t testing.TB) *dice {
	t.Helper()
	return seeded(testtool.Seed(t))
}

func seeded(seed uint64) *dice { return &dice{random: rand.New(rand.NewPCG(seed, 0))} } //nolint:gosec // no secret

// fork gives dice of their own to somebody who draws alone.
func (d *dice) fork() *dice {
	d.mu.Lock()
	defer d.mu.Unlock()
	return seeded(d.random.Uint64())
}

// below draws a number from 0 up to n, without n.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

// hits reports true with a probability.
func (d *dice) hits(probability float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.Float64() < probability
}

// upTo draws a time.
func (d *dice) upTo(most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.random.Int64N(int64(most)))
}
