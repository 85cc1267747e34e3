package proof

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/sweep"
)

// backstage is what a server does beside answering: to sweep and to ingest. In a
// victim it is done when a request asks for it, so that its steps can be counted,
// and other requests make what there is to do.
type backstage struct {
	stores
	ahead atomic.Int64 // of the clock
}

func (b *backstage) now() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

// longAfter is when the time of all uploads is over, and of deleted datasets
// nothing is under way any more.
const longAfter = 2*dataset.UploadLifetime + 24*time.Hour

// inboxBucket is the inbox, in both sets of stores.
const inboxBucket = embeddeds3test.Inbox

// tenant is whose all of it is; see everybody.
const tenant = "acme"

// around answers what is asked of the backstage, and leaves the rest to the API.
func (b *backstage) around(api http.Handler) (http.Handler, error) {
	if err := b.sweeper().Prepare(context.Background()); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", api)
	for path, do := range map[string]func(context.Context, dropped) (any, error){
		"/backstage/sweep":  b.sweep,
		"/backstage/ingest": b.ingest,
		"/backstage/orphan": b.orphan,
		"/backstage/drop":   b.drop,
		"/backstage/stored": b.stored,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			var given dropped
			err := json.NewDecoder(r.Body).Decode(&given)
			var result any
			if err == nil {
				result, err = do(r.Context(), given)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_ = json.NewEncoder(w).Encode(result)
		})
	}
	return mux, nil
}

// sweeper looks at everything, however young, and purges deleted datasets.
func (b *backstage) sweeper() *sweep.Sweeper {
	purger := dataset.NewPurger(b.catalog, b.catalog, b.objects, b.now)
	return sweep.New(b.objects, b.catalog, sweep.WithClock(b.now), sweep.WithTiming(sweep.Timing{}),
		sweep.WithTask("purge", func(ctx context.Context) (any, error) { return purger.Purge(ctx) }))
}

// sweep ends the pass under way, or does one, long after everything.
func (b *backstage) sweep(ctx context.Context, _ dropped) (any, error) {
	b.ahead.Store(int64(longAfter))
	defer b.ahead.Store(0)
	return b.sweeper().Sweep(ctx)
}

func (b *backstage) ingest(ctx context.Context, _ dropped) (any, error) {
	return ingest.New(tenant, inboxBucket, b.catalog, objectstore.NewInbox(inboxBucket, b.objects)).Rescan(ctx, 0, 0)
}

// orphan stores an object of which the catalog hears nothing.
func (b *backstage) orphan(ctx context.Context, _ dropped) (any, error) {
	return b.objects.Put(ctx, dataset.FileKey(tenant, "file-"+strings.ToLower(rand.Text())), bytes.NewReader([]byte("orphan")), 100)
}

// dropped is an object that is put into the inbox.
type dropped struct {
	Key   string `json:"key"`
	Bytes []byte `json:"bytes"`
}

func (b *backstage) drop(ctx context.Context, d dropped) (any, error) {
	return b.inbox.Put(ctx, d.Key, bytes.NewReader(d.Bytes), int64(len(d.Bytes)))
}

// shelf is what the buckets have: keys of objects, ids of objects in parts, and
// the keys in the inbox.
type shelf struct{ Objects, Parts, Inbox []string }

func (b *backstage) stored(ctx context.Context, _ dropped) (any, error) {
	var s shelf
	objects, more, err := b.objects.List(ctx, "", "", enough)
	for _, o := range objects {
		s.Objects = append(s.Objects, o.Key)
	}
	if err == nil && !more {
		var parts []dataset.OpenParts
		parts, more, err = b.objects.ListOpenParts(ctx, "", "", "", enough)
		for _, p := range parts {
			s.Parts = append(s.Parts, p.ID)
		}
	}
	if err == nil && !more {
		objects, more, err = b.inbox.List(ctx, "", "", enough)
		for _, o := range objects {
			s.Inbox = append(s.Inbox, o.Key)
		}
	}
	if err == nil && more {
		err = fmt.Errorf("there are more than %d", enough)
	}
	return s, err
}

// enough is more than all victims of a test store.
const enough = 1000
