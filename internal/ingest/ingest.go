// Package ingest brings files from the inbox into datasets: the domain of
// "ingestion by event", without AWS and HTTP. The inbox is a bucket that users
// put files into under incoming/<dataset_id>/<file_name>. A notice says that
// something was put there, and is a hint and nothing else: what there is to do is
// read from the inbox and the catalog, so that notices may come twice, late, out
// of order, or for what has gone or was replaced, and several processes may work
// on the same ones.
//
// What makes that safe is the file's id, which is derived from the put: its key,
// ETag, size and time. Every try to ingest a put is therefore the same append,
// which the catalog does once. The order of steps is that of any upload: the bytes
// are copied to a key that nobody else uses, the append lists them, and only then
// is the object of the inbox removed, if it is still the one that was copied. A
// crash between any two steps leaves the object where it was, and the notice's
// repetition, or Rescan, goes on.
//
// A file that no dataset can take moves to rejected/, with the reason beside it.
// Nothing is removed from the inbox that is not in a dataset with all its bytes.
//
// The package needs no IAM actions of its own; see the packages that implement
// dataset.Inbox and dataset.Catalog.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// Catalog is what ingestion needs of a dataset.Catalog.
type Catalog interface {
	dataset.Progress
	Dataset(ctx context.Context, tenant, datasetID string) (dataset.Dataset, error)
	File(ctx context.Context, tenant, datasetID, name string) (dataset.File, error)
	Append(ctx context.Context, a dataset.Append) (dataset.Appended, error)
}

// Notice says that there may be something new under a key of a bucket.
type Notice struct {
	Bucket string
	Key    string // as it is, not URL-encoded

	known bool // what is there was found to wait for a list, if it does
}

// State is what became of what a notice is about.
type State string

// The states. Whatever was failed is to be noticed again.
const (
	Listed   State = "listed"   // it is in the dataset, by this notice or an earlier one
	Rejected State = "rejected" // it was moved to rejected/, with the reason beside it
	Waiting  State = "waiting"  // it stays in the inbox until a list names it
	Gone     State = "gone"     // there is nothing (any more), or nothing that is to be ingested
	Failed   State = "failed"   // nobody's fault: the same notice may succeed later
)

// Outcome is what became of what a notice is about.
type Outcome struct {
	State State
	File  dataset.File // of what is listed
	Err   error        // why it was rejected, or failed
}

// Bounds of one Ingest.
const (
	groupsAtOnce = 4         // datasets
	filesAtOnce  = 16        // of all of them together
	footerMemory = 256 << 20 // bytes of footers that are looked at at once, a quarter of what the function has
	rounds       = 16        // tries of an object that is replaced again and again, or whose copies are given up
)

// Ingester ingests for one tenant, whose inbox it is. It is safe for concurrent
// use, also with others in other processes.
type Ingester struct {
	tenant  string
	bucket  string
	catalog Catalog
	inbox   dataset.Inbox
	now     func() time.Time
	files   chan struct{} // has room for as many files as are worked on at once
	footers *semaphore.Weighted
}

// Option changes how an Ingester works.
type Option func(*Ingester)

// WithClock gives an ingester another clock than time.Now.
func WithClock(now func() time.Time) Option { return func(i *Ingester) { i.now = now } }

// New returns an ingester of the inbox in a bucket, which belongs to a tenant.
func New(tenant, bucket string, catalog Catalog, inbox dataset.Inbox, options ...Option) *Ingester {
	i := &Ingester{tenant: tenant, bucket: bucket, catalog: catalog, inbox: inbox, now: time.Now, files: make(chan struct{}, filesAtOnce), footers: semaphore.NewWeighted(footerMemory)}
	for _, o := range options {
		o(i)
	}
	return i
}

// Ingest takes up what notices are about, and returns an outcome for each of
// them, in their order. The files that are for one dataset are appended together,
// those that were put first before the others. When ctx ends, what is not done
// fails.
func (i *Ingester) Ingest(ctx context.Context, notices []Notice) []Outcome {
	groups := make(map[string][]place)
	seen := make(map[string]bool, len(notices))
	for _, n := range notices {
		if n.Bucket != i.bucket || seen[n.Key] {
			continue
		}
		seen[n.Key] = true
		p := placeOf(n.Key)
		p.known = n.known
		groups[p.datasetID] = append(groups[p.datasetID], p)
	}
	var mu sync.Mutex
	byKey := make(map[string]Outcome, len(seen))
	var group errgroup.Group
	group.SetLimit(groupsAtOnce)
	for datasetID, places := range groups {
		group.Go(func() error {
			outcomes := i.ingest(ctx, datasetID, places)
			mu.Lock()
			defer mu.Unlock()
			for n, p := range places {
				byKey[p.key] = outcomes[n]
			}
			return nil
		})
	}
	_ = group.Wait() // errors are in the outcomes
	all := make([]Outcome, len(notices))
	for n, notice := range notices {
		if notice.Bucket != i.bucket {
			all[n] = failed(fault.Newf(fault.CodeInvalidRequest, "Only the inbox's own events are ingested.", "The bucket is not the inbox."))
			continue
		}
		all[n] = byKey[notice.Key]
	}
	return all
}

// ingest takes up the places of one dataset, or, where datasetID is "", those
// that are for none.
func (i *Ingester) ingest(ctx context.Context, datasetID string, places []place) []Outcome {
	if datasetID == "" {
		return i.each(places, func(p place) Outcome { return i.misplaced(ctx, p) })
	}
	d, err := i.catalog.Dataset(ctx, i.tenant, datasetID)
	switch {
	case fault.Is(err, fault.CodeDatasetNotFound):
		return i.each(places, func(p place) Outcome { return i.refuse(ctx, p, err) })
	case err != nil:
		err = fmt.Errorf("ingesting into %s: %w", datasetID, err)
		return i.each(places, func(place) Outcome { return failed(err) })
	case d.IngestOrder == dataset.IngestName:
		return i.ingestByName(ctx, d, places)
	}
	return i.ingestAsTheyCome(ctx, d, places)
}

// each does something for every place, many at a time.
func (i *Ingester) each(places []place, do func(place) Outcome) []Outcome {
	outcomes := make([]Outcome, len(places))
	var group sync.WaitGroup
	for n, p := range places {
		i.files <- struct{}{}
		group.Go(func() {
			defer func() { <-i.files }()
			outcomes[n] = do(p)
		})
	}
	group.Wait()
	return outcomes
}

// misplaced rejects what is under incoming/ and for no dataset. What is anywhere
// else is none of the ingester's business.
func (i *Ingester) misplaced(ctx context.Context, p place) Outcome {
	if !p.incoming {
		return Outcome{State: Gone}
	}
	return i.refuse(ctx, p, errMisplaced())
}

// refuse rejects whatever is at a place now.
func (i *Ingester) refuse(ctx context.Context, p place, why error) Outcome {
	o, err := i.stat(ctx, p)
	if err != nil {
		return outcomeOf(err)
	}
	return i.reject(ctx, p, o, why)
}

// errNothing is in the chain of an error that says that there is nothing to do.
var errNothing = errors.New("nothing is there") //nolint:gochecknoglobals // a sentinel

// stat describes what is at a place.
func (i *Ingester) stat(ctx context.Context, p place) (dataset.InboxObject, error) {
	o, err := i.inbox.Stat(ctx, p.key)
	switch {
	case fault.Is(err, fault.CodeFileNotFound):
		return o, errors.Join(errNothing, err)
	case err == nil && o.SizeBytes == 0 && p.folder():
		return o, errNothing // consoles make such objects to show a folder
	case err != nil:
		return o, fmt.Errorf("asking about an object of the inbox: %w", err)
	}
	return o, nil
}

// outcomeOf is the outcome of an object about which there is an error and no
// reason to reject it.
func outcomeOf(err error) Outcome {
	if errors.Is(err, errNothing) {
		return Outcome{State: Gone}
	}
	return failed(err)
}

func failed(err error) Outcome { return Outcome{State: Failed, Err: err} }

// replaced reports that there was another object under a key by the time that
// something was to be done with one.
func replaced(err error) bool { return errors.Is(err, dataset.ErrObjectReplaced) }

// aboutTheObject reports an error that says that a dataset can't take an object,
// now and whoever tries. Any other is nobody's fault and may pass.
func aboutTheObject(err error) bool {
	switch fault.CodeOf(err) {
	case fault.CodeDatasetNotFound, fault.CodeFileExists, fault.CodeSchemaMismatch, fault.CodeInvalidFileName,
		fault.CodeRequestTooLarge, fault.CodeMisplaced, fault.CodeInvalidOrder, fault.CodeOrderStopped:
		return true
	}
	return dataset.AboutTheFile(err)
}
