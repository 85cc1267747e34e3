package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestPagesAreReadAhead sees that one page is read while the rows of the one before
// it are gone through, and no more than one.
func TestPagesAreReadAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := 0
		rows := pages(t.Context(), func(_ context.Context, cursor string) ([]int, string, error) {
			begun++
			return []int{len(cursor)}, cursor + "x", nil
		})
		n := 0
		for row, err := range rows {
			synctest.Wait()
			if err != nil || row != n || begun != n+2 {
				t.Fatalf("row %d is %d, %v; %d pages were read", n, row, err, begun)
			}
			if n++; n == 5 {
				break
			}
		}
	})
}

// TestPagesEnd sees where a listing ends: at its last page, at an error behind the
// rows of the pages before it, and with its context.
func TestPagesEnd(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	for end, want := range map[string]error{"": nil, "fails": gone, "hangs": context.Canceled} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var got []int
			var ended error
			for row, err := range pages(ctx, func(ctx context.Context, cursor string) ([]int, string, error) {
				switch cursor {
				case "":
					return []int{1, 2}, "2", nil
				case "2":
					return []int{3}, end, nil
				case "hangs":
					time.AfterFunc(time.Second, cancel)
					<-ctx.Done()
					return nil, "", ctx.Err()
				}
				return nil, "", gone
			}) {
				if ended != nil {
					t.Error("goes on behind an error")
				}
				if ended = err; err == nil {
					got = append(got, row)
				}
			}
			if !slices.Equal(got, []int{1, 2, 3}) || !errors.Is(ended, want) {
				t.Errorf("%q: %v, %v", end, got, ended)
			}
		})
	}
}

// TestPagesLeftEarly sees that whoever stops ends the reading as well: nothing is
// left running.
func TestPagesLeftEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for range pages(t.Context(), func(ctx context.Context, cursor string) ([]int, string, error) {
			if cursor != "" {
				<-ctx.Done()
				return nil, "", fmt.Errorf("reading a page: %w", ctx.Err())
			}
			return []int{1, 2}, "2", nil
		}) {
			break
		}
	})
}
