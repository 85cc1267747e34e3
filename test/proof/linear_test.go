package proof

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/testtool"
)

// crowd is the clients of one history.
type crowd struct {
	clients int
	each    int // operations of a client
}

// names is how many names the clients choose from: few, so that they get in each
// other's way, but where there are too many of them for the checker to sort that out.
func (w crowd) names() int {
	if w.clients > meeting {
		return 16 * w.clients
	}
	return w.clients
}

// meeting is the most clients that get in each other's way.
const meeting = 16

// crowds are the histories of one round. Most are short and of few clients, all of
// whom begin at once on few names: what goes wrong does so between two or three
// operations, of which many short histories have more than few long ones, and they are
// refuted sooner. Some are longer, and some of many clients.
func crowds() []crowd {
	return slices.Concat(
		slices.Repeat([]crowd{{8, 3}}, 32),
		slices.Repeat([]crowd{{16, 2}}, 10),
		slices.Repeat([]crowd{{8, 6}}, 6),
		[]crowd{{8, 12}, {16, 4}, {32, 2}, {64, 2}},
	)
}

// recordTime is when clients begin nothing new, and repeat nothing, although they
// were not through: what they recorded of a store that no longer answers, as a
// broken one may, is worth a check all the same.
const recordTime = 20 * time.Second

// record lets a crowd loose on a new dataset and notes what it does. When nobody
// is at work any more it waits for what still runs, and lists what there is.
func (h *history) record(ctx context.Context, c client, w crowd, d *dice, wait time.Duration, rest func()) error {
	dataset, err := created(ctx, c, wait)
	if err != nil {
		return err
	}
	group, working := errgroup.WithContext(ctx)
	end := time.Now().Add(recordTime)
	for n := range w.clients {
		v := &visitor{client: c, end: end, dataset: dataset, number: n, history: h, dice: d.fork(), names: w.names(), wait: wait}
		group.Go(func() error {
			for range w.each {
				if time.Now().After(end) {
					return nil
				}
				if err := v.work(working); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	rest()
	last := &visitor{client: c, dataset: dataset, number: w.clients, history: h, dice: d.fork()}
	before := len(h.ops)
	for range 2 * tries {
		if err := last.reads(ctx, "", 0, 0); err != nil || len(h.ops) > before {
			return err
		}
		pause(ctx, wait)
	}
	return fmt.Errorf("%s can't be listed any more", dataset)
}

// created makes a dataset, however often that takes.
func created(ctx context.Context, c client, wait time.Duration) (id string, err error) {
	for range 10 * tries {
		if id, err = c.create(ctx); err == nil || ctx.Err() != nil {
			break
		}
		pause(ctx, wait)
	}
	return id, err
}

// tally adds up what was recorded and checked.
type tally struct {
	histories, ops, open int
	checking, slowest    time.Duration
	damaged              map[string]int // histories, by what is wrong in them
	refuting             []time.Duration
}

func newTally() *tally { return &tally{damaged: map[string]int{}} }

func (y *tally) add(ops []porcupine.Operation, took time.Duration) {
	y.histories++
	y.ops += len(ops)
	y.checking += took
	y.slowest = max(y.slowest, took)
	for _, op := range ops {
		if op.Output.(outcome).unknown {
			y.open++
		}
	}
}

func (y *tally) log(t testing.TB, recording time.Duration) {
	t.Helper()
	t.Logf("%d histories of %d operations, %d of them open; recorded in %v, checked in %v (%.0f operations/s, the slowest history %v)",
		y.histories, y.ops, y.open, recording.Round(time.Millisecond), y.checking.Round(time.Millisecond),
		float64(y.ops)/y.checking.Seconds(), y.slowest.Round(time.Millisecond))
}

// examineAll begins with the histories of few clients: if several are unsound, those
// are refuted at once.
func (y *tally) examineAll(t testing.TB, histories []*history, loose bool, d *dice) {
	t.Helper()
	slices.SortStableFunc(histories, func(a, b *history) int { return a.clients - b.clients })
	for _, h := range histories {
		y.examine(t, h, loose, d)
	}
}

// examine checks a history, and that it would not pass with a fault in it.
// To refute one, the checker has to try all orders of what went on at the same time,
// so only those with few clients are damaged.
func (y *tally) examine(t testing.TB, h *history, loose bool, d *dice) {
	t.Helper()
	ops := h.finished(loose)
	y.add(ops, judge(t, ops))
	if h.clients <= damagedClients {
		y.damage(t, ops, d)
	}
}

// impatient is the SDK's way of repeating requests with shorter pauses.
func impatient() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxBackoff = 20 * time.Millisecond
		o.RateLimiter = unlimited{}
	})
}

// unlimited lets the SDK repeat as often as its count of attempts says.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }

// skews are the clocks of the instances of a function.
func skews() []time.Duration { return []time.Duration{0, 15 * time.Minute, -15 * time.Minute} }

// skewed makes one function for each of the clocks.
func skewed(c cloud, w wiring) []http.Handler {
	var instances []http.Handler
	for _, skew := range skews() {
		w.now = func() time.Time { return time.Now().Add(skew) }
		instances = append(instances, c.handler(w))
	}
	return instances
}

// TestLinearizableInTheCloud has the functions work over DynamoDB and S3 while
// calls to both conflict, are throttled, fail after they were done or arrive
// twice, and while the functions are invoked twice, cut off and ended.
func TestLinearizableInTheCloud(t *testing.T) {
	t.Parallel()
	const rate, late, rounds = 0.05, 20 * time.Millisecond, 3
	d := newDice(t)
	stores := startCloud(t)
	net := newNetwork(d.fork(), rate, late)
	functions := skewed(stores, wiring{transport: net, retryer: impatient})
	y := newTally()
	began := time.Now()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	var histories []*history
	for range rounds * testtool.Scale(t) {
		for _, w := range crowds() {
			h := newHistory(w.clients)
			histories = append(histories, h)
			group.Go(func() error {
				g := newGateway(d.fork(), rate, late, net, functions...)
				return h.record(ctx, g.client(), w, d.fork(), late, g.running.Wait)
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	recording := time.Since(began)
	y.examineAll(t, histories, true, d)
	y.log(t, recording)
	y.logDamage(t)
	calls, hurt, each := net.counts()
	t.Logf("%d of %d calls to the stores were hurt: %v", hurt, calls, each)
}
