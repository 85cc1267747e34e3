package ingest_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/ingest"
)

// slowCopies is a worker whose copies of some objects take longer than there is
// time. Like those of S3 they are cut off with the context.
type slowCopies struct {
	*worker
	slow []string // keys
}

func (s slowCopies) CopyIn(ctx context.Context, from dataset.InboxObject, toKey string) (dataset.Stored, error) {
	if slices.Contains(s.slow, from.Key) {
		<-ctx.Done()
		return dataset.Stored{}, context.Cause(ctx)
	}
	return s.worker.CopyIn(ctx, from, toKey)
}

func (s slowCopies) Append(ctx context.Context, a dataset.Append) (dataset.Appended, error) {
	if err := ctx.Err(); err != nil {
		return dataset.Appended{}, err
	}
	return s.worker.Append(ctx, a)
}

// A very large object, whose copying takes several calls, does not keep back those
// that came with it.
func TestALargeObjectKeepsNoOtherBack(t *testing.T) {
	for name, tc := range map[string]struct {
		datasetID string
		files     []string // the third is the large one
		want      []ingest.State
		listed    int
	}{
		"as they come": {arriving, []string{"a", "b", "large", "c"}, []ingest.State{ingest.Listed, ingest.Listed, ingest.Failed, ingest.Listed}, 3},
		"by name":      {byName, []string{"a", "b", "large", "c"}, []ingest.State{ingest.Listed, ingest.Listed, ingest.Failed, ingest.Failed}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				var notices []ingest.Notice
				for _, f := range tc.files {
					w.put(key(tc.datasetID, f), parquet(t, f))
					notices = append(notices, ingest.Notice{Bucket: bucket, Key: key(tc.datasetID, f)})
				}
				if tc.datasetID == byName {
					w.putOrder(t, tc.files...)
				}
				s := slowCopies{w.worker(-1), []string{key(tc.datasetID, "large")}}
				ctx, cancel := context.WithTimeout(t.Context(), 280*time.Second)
				defer cancel()
				got := ingest.New(tenant, bucket, s, s, ingest.WithClock(w.clock)).Ingest(ctx, notices)
				wantStates(t, got, tc.want...)
				if listed := w.names(tc.datasetID); len(listed) != tc.listed {
					t.Errorf("listed are %q", listed)
				}
			})
		})
	}
}
