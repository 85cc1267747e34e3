package server

import (
	"io"
	"net/http"
	"time"
)

// stallTime is how long a transfer may stand still. It bounds no transfer that
// moves, however slow and large.
const stallTime = time.Minute

// watchProgress ends connections whose body stands still for stall, in either
// direction.
func watchProgress(next http.Handler, stall time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Body != http.NoBody { // behind which the server reads on already
			r.Body = &watchedBody{ReadCloser: r.Body, control: control, stall: stall}
		}
		next.ServeHTTP(&watchedWriter{w, control, stall}, r)
	})
}

// stallBytes is what has to arrive within a stall for a body to count as moving.
const stallBytes = 4 << 10

type watchedBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	got     int           // bytes since it last moved
	waited  time.Duration // for them
}

// Read waits for a stall at most until enough bytes have come. The time that the
// server takes between reads does not count. At the body's end the deadline is
// lifted: the server goes on reading, to see whether the client leaves.
func (b *watchedBody) Read(p []byte) (int, error) {
	start := time.Now()
	_ = b.control.SetReadDeadline(start.Add(b.stall - b.waited))
	n, err := b.ReadCloser.Read(p)
	b.got += n
	b.waited += time.Since(start)
	if b.got >= stallBytes {
		b.got, b.waited = 0, 0
	}
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

type watchedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

// Write gives every write its own deadline.
func (w *watchedWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stall))
	return w.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
