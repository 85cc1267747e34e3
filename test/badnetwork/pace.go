package badnetwork

import (
	"context"
	"io"
	"sync"
	"time"
)

// pace is how fast bytes travel.
type pace struct {
	mu   sync.Mutex
	rate int64     // bytes a second, or 0
	next time.Time // when the bytes that are under way have arrived
}

func (p *pace) limit(bytesPerSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
}

// wait returns when so many more bytes have had their time.
func (p *pace) wait(ctx context.Context, bytes int) error {
	p.mu.Lock()
	if p.rate == 0 {
		p.mu.Unlock()
		return nil
	}
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(bytes) * time.Second / time.Duration(p.rate))
	wait := p.next.Sub(now)
	p.mu.Unlock()
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reader reads no faster than the pace allows.
func (p *pace) reader(ctx context.Context, r io.Reader) io.Reader { return &paced{ctx, r, p} }

type paced struct {
	ctx  context.Context
	from io.Reader
	pace *pace
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.from.Read(b[:min(len(b), 64<<10)])
	if n > 0 {
		if waited := p.pace.wait(p.ctx, n); waited != nil {
			return n, waited
		}
	}
	return n, err
}
