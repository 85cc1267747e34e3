package main

import (
	"net"
	"sync"
	"time"
)

// pacedListener accepts connections that carry no more than a rate, each way.
type pacedListener struct {
	net.Listener
	bytesPerSecond int64
}

// Accept implements net.Listener.
func (l *pacedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // net.Listener
	}
	return &pacedConn{Conn: c, in: pace{bytesPerSecond: l.bytesPerSecond}, out: pace{bytesPerSecond: l.bytesPerSecond}}, nil
}

// pacedConn is a connection that carries no more than a rate, each way.
type pacedConn struct {
	net.Conn
	in, out pace
}

// pieceSize is what a connection carries at a time: small against its rate, so
// that bytes flow and don't come in bursts.
const pieceSize = 64 << 10

func (c *pacedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), pieceSize)])
	c.in.pass(n)
	return n, err //nolint:wrapcheck // net.Conn
}

func (c *pacedConn) Write(p []byte) (total int, err error) {
	for len(p) > 0 && err == nil {
		piece := p[:min(len(p), pieceSize)]
		c.out.pass(len(piece))
		var n int
		n, err = c.Conn.Write(piece)
		total += n
		p = p[n:]
	}
	return total, err //nolint:wrapcheck // net.Conn
}

const (
	// paceAhead is how far ahead of its rate a connection may be before it waits:
	// sleeps are not exact, and shorter ones not worth it.
	paceAhead = time.Millisecond
	// paceBehind is what a connection that was idle may catch up.
	paceBehind = 5 * time.Millisecond
)

// pace waits so that bytes pass at a rate.
type pace struct {
	bytesPerSecond int64

	mu   sync.Mutex
	next time.Time // when all that has passed would have, at the rate
}

func (p *pace) pass(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if earliest := now.Add(-paceBehind); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Duration(n) * time.Second / time.Duration(p.bytesPerSecond))
	if ahead := p.next.Sub(now); ahead > paceAhead {
		time.Sleep(ahead)
	}
}
