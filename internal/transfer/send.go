package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/checksum"
	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
)

// urls are where the parts of an upload go. A URL is good for minutes, so one that
// was handed out a while ago is asked for again.
type urls struct {
	mu   sync.Mutex
	of   map[int]client.PartURL
	from map[int]time.Time // when it was handed out, by this machine's clock

	there map[int]bool // the parts that the server said have arrived when it was asked again
}

// urlsFor is how long a URL is used after it came. The server makes them good for
// 15 minutes; that its clock is another one does not matter so.
const urlsFor = 10 * time.Minute

func (l *urls) add(view client.Upload) {
	if l.of == nil {
		l.of, l.from = map[int]client.PartURL{}, map[int]time.Time{}
	}
	now := time.Now()
	for _, part := range view.PartURLs {
		l.of[part.Number], l.from[part.Number] = part, now
	}
}

// get returns the URL of a part, and asks for those of a stretch if it has none. there
// is what was answered then about the part.
func (l *urls) get(ctx context.Context, c *client.Client, upload string, part int) (to client.PartURL, there bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if url, ok := l.of[part]; ok && time.Since(l.from[part]) < urlsFor {
		return url, l.there[part], nil
	}
	view, err := c.Upload(ctx, upload, part, partsAsked)
	if err != nil {
		return client.PartURL{}, false, err
	}
	l.add(view)
	url, ok := l.of[part]
	if !ok || view.State != client.UploadOpen {
		return client.PartURL{}, false, fault.New(fault.CodeUploadClosed, "The upload was closed meanwhile.", "Run the same command again.")
	}
	l.there = map[int]bool{}
	for _, p := range view.Parts {
		l.there[p.Number] = p.SizeBytes == l.of[p.Number].SizeBytes
	}
	return url, l.there[part], nil
}

// drop forgets a URL that is not taken any more, or is not needed.
func (l *urls) drop(part int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, part)
	delete(l.from, part)
}

// readArrived takes in the parts that were sent before, by reading them here: the
// checksum is then one of the file as it is now, and the server compares it with
// what it has.
func (r *uploadRun) readArrived(ctx context.Context, u *uploading, arrived []client.Part) error {
	for _, p := range arrived {
		if p.Number < 1 || p.Number > u.parts || p.SizeBytes != u.bytesOf(p.Number) {
			continue
		}
		sum, err := checksum.Of(&untilDone{ctx, io.NewSectionReader(u.file, u.offset(p.Number), p.SizeBytes)}, p.SizeBytes)
		if err != nil {
			return err
		}
		if sum.Bytes != p.SizeBytes {
			return errChanged(u.source, nil)
		}
		u.sums[p.Number-1] = sum
		r.meter.have(u.meter, p.SizeBytes)
		u.urls.drop(p.Number)
	}
	return nil
}

func (u *uploading) offset(part int) int64  { return int64(part-1) * u.size }
func (u *uploading) bytesOf(part int) int64 { return min(u.size, u.SizeBytes-u.offset(part)) }

// send sends the parts that have not arrived, as the gate lets them through.
func (r *uploadRun) send(ctx context.Context, u *uploading) error {
	group, inGroup := errgroup.WithContext(ctx)
	for part := 1; part <= u.parts; part++ {
		if u.sums[part-1].Bytes > 0 {
			continue
		}
		end, err := r.engine.turn(inGroup, r.gate, u.index)
		if err != nil {
			break // the group or ctx knows why
		}
		group.Go(func() error {
			defer end()
			return r.engine.options.Retry.Do(inGroup, func(ctx context.Context) error { return r.sendPart(ctx, u, part) })
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// sendPart sends a part once.
func (r *uploadRun) sendPart(ctx context.Context, u *uploading, part int) error {
	to, there, err := u.urls.get(ctx, r.engine.client, u.id, part)
	switch {
	case err != nil:
		return err
	case there && !u.anew: // the answer to an earlier try was lost
		return r.arrived(ctx, u, part)
	}
	sum, err := r.engine.put(ctx, to, &partReader{
		file: io.NewSectionReader(u.file, u.offset(part), u.bytesOf(part)), pace: r.engine.pace,
		moved: func(n int64) { r.meter.add(u.meter, n) },
	})
	if err == nil {
		u.sums[part-1] = sum
		u.urls.drop(part)
		return nil
	}
	r.meter.add(u.meter, -sum.Bytes)
	if statusOf(err) == http.StatusPreconditionFailed && u.single {
		return r.arrived(ctx, u, part)
	}
	heed(err, r.gate, func() { u.urls.drop(part) })
	return err
}

// heed takes from a request to the store that failed what it says of the rate, and of
// the URL, which is dropped unless it is good.
func heed(err error, g *gate, drop func()) {
	switch status := statusOf(err); {
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		g.slower()
	case !goodURL(status):
		drop()
	}
}

// arrived takes a part in that is there.
func (r *uploadRun) arrived(ctx context.Context, u *uploading, part int) error {
	return r.readArrived(ctx, u, []client.Part{{Number: part, SizeBytes: u.bytesOf(part)}})
}

// statusOf is what the store answered a request that failed, or 0.
func statusOf(err error) int {
	if status := (*statusError)(nil); errors.As(err, &status) {
		return status.code
	}
	return 0
}

// goodURL reports an answer that no URL is to blame for. After any other failure a
// new one is asked for, and whether the part is there: the time of the old one may be
// over, or that of the credentials that it was signed with, which S3 says in several
// ways and can't say to a client that still sends; or it leads to where nobody is any
// more; or the answer was lost.
func goodURL(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

// put sends a body to where it goes, and returns the sum of what was read of it.
func (e *Engine) put(ctx context.Context, to client.PartURL, body *partReader) (checksum.Sum, error) {
	ctx, watch := watchStall(ctx, e.options.Stall)
	defer watch.stop()
	body.ctx, body.watch = ctx, watch
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, to.URL, io.NopCloser(body))
	if err != nil {
		return checksum.Sum{}, errStoreURL()
	}
	if r.ContentLength = body.file.Size(); r.ContentLength == 0 {
		r.Body = http.NoBody // or its length would be one that isn't known
	}
	for name, value := range to.Headers {
		r.Header.Set(name, value)
	}
	resp, err := e.http.Do(r)
	sum, failed := body.end()
	switch {
	case failed != nil:
		err = failed
	case err != nil:
		err = client.Again(errStore(watch.reason(err)))
	default:
		defer resp.Body.Close()
		err = checkStatus(resp)
	}
	if err == nil && sum.Bytes != body.file.Size() {
		err = client.Again(errStore(errors.New("the store answered before it had all bytes")))
	}
	return sum, err
}

// partReader reads a part as it is sent.
type partReader struct {
	ctx   context.Context
	file  *io.SectionReader
	pace  func(ctx context.Context, n int, alive func()) error
	watch *stallWatch
	moved func(int64)

	mu     sync.Mutex // net/http may read on after a request has failed
	ended  bool
	sum    checksum.Sum
	failed error // of the file
}

// end stops the reading, and returns the sum of what was read, and why the file
// couldn't be.
func (p *partReader) end() (checksum.Sum, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	return p.sum, p.failed
}

// Read implements io.Reader.
func (p *partReader) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0, context.Canceled
	}
	b = b[:min(len(b), burst)]
	n, err := p.file.Read(b)
	if err == io.EOF && p.sum.Bytes+int64(n) < p.file.Size() { //nolint:errorlint // io.Reader
		err = io.ErrUnexpectedEOF // it was cut
	}
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader
		p.failed = fmt.Errorf("reading the file: %w", err)
		return 0, p.failed
	}
	if n > 0 {
		if err := p.pace(p.ctx, n, p.watch.moved); err != nil {
			return 0, err
		}
	}
	p.watch.moved()
	p.sum.Add(b[:n])
	p.moved(int64(n))
	return n, err
}

// stallWatch cancels a request whose bytes stand still.
type stallWatch struct {
	timer  *time.Timer
	after  time.Duration
	cancel context.CancelCauseFunc
	ctx    context.Context
}

var errStalled = errors.New("the connection stood still")

func watchStall(parent context.Context, after time.Duration) (context.Context, *stallWatch) {
	ctx, cancel := context.WithCancelCause(parent)
	w := &stallWatch{after: after, cancel: cancel, ctx: ctx}
	w.timer = time.AfterFunc(after, func() { cancel(errStalled) })
	return ctx, w
}

func (w *stallWatch) moved() { w.timer.Reset(w.after) }

func (w *stallWatch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// reason is why a request ended: a stall has its own.
func (w *stallWatch) reason(err error) error {
	if errors.Is(context.Cause(w.ctx), errStalled) {
		return errStalled
	}
	return err
}

// statusError is an answer of the store that is no success.
type statusError struct {
	code int
	text string // S3's own code, such as SlowDown
}

// Error is for whoever runs the transfer; it has no URL in it.
func (s *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the store answered %d %s", s.code, s.text))
}

var s3Code = regexp.MustCompile(`<Code>([A-Za-z]{1,64})</Code>`)

// fewTries is how often something is tried that is likely to fail again.
const fewTries = 4

// checkStatus reads the answer to a PUT.
func checkStatus(resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // to use the connection again
		return nil
	}
	return refusedBy(resp)
}

// refusedBy says what an answer of the store that is no success means.
func refusedBy(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
	status := &statusError{code: resp.StatusCode}
	if m := s3Code.FindSubmatch(text); m != nil {
		status.text = string(m[1])
	}
	switch {
	case status.code == http.StatusInsufficientStorage:
		return fault.New(fault.CodeStorageFull, "There is no room left where files are stored.", "Free some space there, or ask the operator to, and run the same command again.").Because(status)
	case status.text == "NoSuchUpload":
		return fault.New(fault.CodeUploadClosed, "The upload was closed meanwhile.", "Run the same command again.").Because(status)
	case status.code == http.StatusTooManyRequests, status.code == http.StatusRequestTimeout, status.text == "RequestTimeout",
		status.code >= 500 && status.code != http.StatusNotImplemented:
		return client.AgainAfter(errStore(status), client.RetryAfter(resp.Header))
	}
	return client.AgainFew(errStore(status), fewTries)
}

// errStore is a request to the store that failed. What net/http says of it has
// the URL in it, which is a secret while it is good.
func errStore(cause error) error {
	var withURL interface{ Unwrap() error }
	if text := cause.Error(); strings.Contains(text, "://") && errors.As(cause, &withURL) && withURL.Unwrap() != nil {
		cause = withURL.Unwrap()
	}
	return fault.New(fault.CodeUnavailable, "The bytes can't be carried to or from the place where files are stored.",
		"Check the network, then run the same command again: it goes on where it was.").Because(cause)
}

func errStoreURL() error {
	return fault.New(fault.CodeUnavailable, "The server's answer about where the bytes go can't be understood.", "Check the URL with `parqueue auth status`.")
}
