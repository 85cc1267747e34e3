package api

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// One tenant can't take all the turns, and together they never take more than
// there are.
func TestTurns(t *testing.T) {
	turns := newTurns(4)
	for range 3 {
		if err := turns.take(t.Context(), "greedy"); err != nil {
			t.Fatal(err)
		}
	}
	waiting, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := turns.take(waiting, "greedy"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a fourth turn for one tenant: %v", err)
	}
	if err := turns.take(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	waiting, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := turns.take(waiting, "third"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a fifth turn: %v", err)
	}
	got := make(chan error)
	go func() { got <- turns.take(t.Context(), "third") }()
	turns.giveBack("greedy")
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestTurnsAreNeverLost(t *testing.T) {
	turns := newTurns(3)
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			tenant := string(rune('a' + i%5))
			if err := turns.take(t.Context(), tenant); err != nil {
				t.Error(err)
				return
			}
			turns.giveBack(tenant)
		})
	}
	group.Wait()
	if turns.taken != 0 || len(turns.by) != 0 {
		t.Fatalf("%d turns are still taken, by %v", turns.taken, turns.by)
	}
}
