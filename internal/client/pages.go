package client

import (
	"context"
	"iter"
)

// pageRead is a page of a listing, or why there is none.
type pageRead[T any] struct {
	rows []T
	next string
	err  error
}

// pages goes through the rows of pages until one names no next one. While the
// rows of a page are gone through the next one is read, and no more than that: a
// listing of any length takes the memory of two pages. An error comes behind all
// rows of the pages before. Whoever stops early ends what is being read.
func pages[T any](ctx context.Context, page func(ctx context.Context, cursor string) (rows []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		read := make(chan pageRead[T])
		go func() {
			defer close(read)
			for cursor := ""; ; {
				var p pageRead[T]
				p.rows, p.next, p.err = page(ctx, cursor)
				select {
				case read <- p:
				case <-ctx.Done():
					return
				}
				if cursor = p.next; cursor == "" || p.err != nil {
					return
				}
			}
		}()
		defer func() {
			stop()
			for range read { // until it has ended
			}
		}()
		done := false // the last page was gone through
		for p := range read {
			if p.err != nil {
				var none T
				yield(none, p.err)
				return
			}
			for _, row := range p.rows {
				if !yield(row, nil) {
					return
				}
			}
			done = p.next == ""
		}
		if !done { // the reading ended with its context
			var none T
			yield(none, context.Cause(ctx))
		}
	}
}
