package objectstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/crc64nvme"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

const (
	contentType = "application/octet-stream"

	// settleTime is how long Put goes on after a failure to find out what became
	// of the object and to clean up, even when its context has ended.
	settleTime = 15 * time.Second

	// putMark is the metadata under which an object carries a random mark of the
	// Put that made it. It tells a Put whose answer was lost from another's object.
	putMark = "parqueue-put"
)

// Put stores body under key. It holds at most one part more than the set
// concurrency in memory: 32 MiB in all for objects of up to 8 GiB, or of a known
// bound of up to 80 GB; see partSize for larger ones.
//
// Once all of body is read, the end of ctx no longer breaks the write off: it
// is let finish for some seconds and then undone, so that what is stored is
// known.
func (s *Store) Put(ctx context.Context, key string, body io.Reader, atMost int64) (dataset.Stored, error) {
	p := &put{store: s, key: key, mark: rand.Text(), body: body, atMost: atMost}
	first, err := p.nextPart(ctx)
	if err != nil {
		return dataset.Stored{}, err
	}
	if p.atEnd {
		defer first.release()
		return p.whole(ctx, first)
	}
	return p.inParts(ctx, first)
}

// put is one call of Put.
type put struct {
	store  *Store
	key    string
	mark   string
	body   io.Reader
	atMost int64

	ahead []byte // read from body to see whether more follows; none or one byte
	atEnd bool   // body has ended
	parts int    // read so far
	size  int64  // of these parts
	crc   uint64 // of these parts
}

func (p *put) stored() dataset.Stored {
	return dataset.Stored{SizeBytes: p.size, CRC64NVME: sumText(p.crc)}
}

// part is a stretch of the body in memory.
type part struct {
	bytes   []byte
	release func() // gives the memory back
}

// nextPart reads the next part of the body, and one byte more to know whether
// it is the last. Memory is waited for only while holding none that isn't on
// its way out, so that Puts cannot wait for each other in a circle.
func (p *put) nextPart(ctx context.Context) (part, error) {
	size, err := partSize(p.parts, p.size, p.atMost)
	if err != nil {
		return part{}, err
	}
	if p.atMost >= 0 && p.size+int64(len(p.ahead)) > p.atMost {
		return part{}, fault.Internal("storing an object", fmt.Errorf("the body is longer than its bound of %d bytes", p.atMost))
	}
	next, err := p.store.takeMemory(ctx, size)
	if err != nil {
		return part{}, err
	}
	n := copy(next.bytes, p.ahead)
	got, err := readFull(ctx, p.body, next.bytes[n:])
	n += got
	if err == nil {
		var one [1]byte
		got, err = readFull(ctx, p.body, one[:])
		p.ahead = append(p.ahead[:0], one[:got]...)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		next.release()
		return part{}, err
	}
	p.atEnd = errors.Is(err, io.EOF)
	next.bytes = next.bytes[:n]
	p.parts++
	p.size += int64(n)
	p.crc = crc64nvme.Update(p.crc, next.bytes)
	return next, nil
}

// readFull fills to. It returns io.EOF with what there is when the body ends
// first, and any other error of the body as it is.
func readFull(ctx context.Context, body io.Reader, to []byte) (n int, err error) {
	for idle := 0; n < len(to); {
		if err := ended(ctx); err != nil {
			return n, fault.Internal("storing an object", err)
		}
		got, err := body.Read(to[n:])
		n += got
		if err != nil {
			return n, bodyError(err, n == len(to))
		}
		if got > 0 {
			idle = 0
		} else if idle++; idle == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

// bodyError keeps the end of the body for the next read when this one got all
// that it asked for.
func bodyError(err error, filled bool) error {
	if err == io.EOF && filled { //nolint:errorlint // readers return io.EOF itself
		return nil
	}
	return err
}

// takeMemory waits until size bytes may be held, and returns them.
func (s *Store) takeMemory(ctx context.Context, size int64) (part, error) {
	weight := min(size, s.memoryLimit)
	if err := s.memory.Acquire(ctx, weight); err != nil {
		return part{}, fault.Internal("storing an object", err)
	}
	if size != minPartSize {
		return part{make([]byte, size), func() { s.memory.Release(weight) }}, nil
	}
	pooled, _ := s.buffers.Get().(*[]byte)
	return part{*pooled, func() {
		s.buffers.Put(pooled)
		s.memory.Release(weight)
	}}, nil
}

// whole stores an object that is one part.
func (p *put) whole(ctx context.Context, all part) (dataset.Stored, error) {
	own, cancel := outlasting(ctx)
	defer cancel()
	_, err := p.store.client.PutObject(own, &s3.PutObjectInput{
		Bucket:            &p.store.bucket,
		Key:               &p.key,
		Body:              bytes.NewReader(all.bytes),
		ContentLength:     aws.Int64(int64(len(all.bytes))),
		ContentType:       aws.String(contentType),
		ChecksumCRC64NVME: aws.String(sumText(p.crc)),
		IfNoneMatch:       aws.String("*"),
		Metadata:          map[string]string{putMark: p.mark},
	}, p.store.signing)
	return p.settle(ctx, err)
}

// outlasting returns a context that ends settleTime after ctx does.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(settleTime, cancel) })
	return own, func() { stop(); cancel() }
}

// signing leaves the body's hash out of the signature where it may.
func (s *Store) signing(o *s3.Options) {
	if !s.hashBodies {
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
}

// settle turns the outcome of the last request of a Put into Put's answer. An
// object can be there although the request failed: its mark tells whether it is
// this Put's. And it is removed again if nobody waits for it any more.
func (p *put) settle(ctx context.Context, err error) (dataset.Stored, error) {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	stored := err == nil || mayHaveStored(err) && p.isStored(own)
	switch {
	case stored && ctx.Err() == nil:
		return p.stored(), nil
	case stored:
		err = errors.Join(context.Cause(ctx), p.store.Delete(own, p.key))
		return dataset.Stored{}, fault.Internal("storing an object", err)
	default:
		return dataset.Stored{}, failure("storing an object", err)
	}
}

// isStored reports whether the object under the key is this Put's. When that
// can't be found out, it counts as not.
func (p *put) isStored(ctx context.Context) bool {
	out, err := p.store.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.store.bucket, Key: &p.key})
	return err == nil && out.Metadata[putMark] == p.mark && aws.ToInt64(out.ContentLength) == p.size
}
