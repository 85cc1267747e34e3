package transfer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Turns go to the earliest file that waits, and never more than the limit.
func TestGatePrefersEarlierFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 1)
		if err := g.acquire(t.Context(), 9); err != nil {
			t.Fatal(err)
		}
		var order []int
		for _, file := range []int{5, 2, 7, 2, 1} {
			go func() {
				if err := g.acquire(t.Context(), file); err != nil {
					t.Error(err)
				}
				order = append(order, file)
				g.release()
			}()
			synctest.Wait()
		}
		g.release()
		synctest.Wait()
		want := []int{1, 2, 2, 5, 7}
		for i := range want {
			if len(order) != len(want) || order[i] != want[i] {
				t.Fatalf("the turns were %v, want %v", order, want)
			}
		}
	})
}

// Who gives up waiting takes no turn with it.
func TestGateLosesNoTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, 2)
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			if err := g.acquire(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 10 {
			go func() {
				if err := g.acquire(ctx, i); err == nil {
					g.release()
				} else if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		go g.release()
		go cancel()
		synctest.Wait()
		g.release()
		if g.used != 0 || len(g.waiting) != 0 {
			t.Errorf("%d turns are taken, %d wait", g.used, len(g.waiting))
		}
	})
}

// The number of connections grows while it pays, stops when it doesn't, and is
// halved once when the store has enough.
func TestGateFindsItsNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(8, 32)
		ctx, cancel := context.WithCancel(t.Context())
		for range 40 {
			go func() { _ = g.acquire(ctx, 0) }()
		}
		synctest.Wait()
		for _, step := range []struct {
			rate float64
			want int
		}{{100, 16}, {180, 32}, {300, 32}} {
			if g.tick(step.rate); g.limit != step.want {
				t.Fatalf("at %v there are %d connections, want %d", step.rate, g.limit, step.want)
			}
		}
		time.Sleep(time.Minute)
		g.slower()
		g.slower()
		if g.limit != 16 {
			t.Errorf("halved to %d", g.limit)
		}
		for range calmTicks - 1 {
			g.tick(1000)
		}
		if g.limit != 16 {
			t.Errorf("grew at once to %d", g.limit)
		}
		if g.tick(1000); g.limit != 32 {
			t.Errorf("did not grow again: %d", g.limit)
		}
		cancel()
		synctest.Wait()

		flat := newGate(8, 32)
		flat.waiting, flat.used = queue{{}}, 32 // somebody waits, and all turns are taken
		flat.tick(100)
		if flat.tick(103); flat.limit != 16 {
			t.Errorf("grew to %d although it did not pay", flat.limit)
		}
	})
}
