package lambdaqueue

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/ingest"
)

// emptyInbox has no objects, and does not answer about some.
type emptyInbox struct{ dataset.Inbox }

func (emptyInbox) Stat(ctx context.Context, key string) (dataset.InboxObject, error) {
	if err := ctx.Err(); err != nil {
		return dataset.InboxObject{}, err
	}
	if strings.Contains(key, "denied") {
		return dataset.InboxObject{}, fault.Internal("asking about an object", fmt.Errorf("403 AccessDenied"))
	}
	return dataset.InboxObject{}, fault.New(fault.CodeFileNotFound, "none", "")
}

// oneDataset is a catalog with a dataset of any id.
type oneDataset struct{ ingest.Catalog }

func (oneDataset) Dataset(_ context.Context, _, id string) (dataset.Dataset, error) {
	return dataset.Dataset{ID: id}, nil
}

func event(bucket, key string) string {
	body, err := json.Marshal(map[string]any{
		"source": "aws.s3", "detail-type": "Object Created",
		"detail": map[string]any{"bucket": map[string]any{"name": bucket}, "object": map[string]any{"key": key, "size": -1, "etag": 7}},
	})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// Each message is answered by itself: one that can't be read, or whose object can't
// be asked about, takes none of the others along, and is named once.
func TestOnlyWhatFailedComesAgain(t *testing.T) {
	messages := []struct {
		body  string
		fails bool
	}{
		{event("inbox", "incoming/dataset-1/a.parquet"), false},
		{`{"source":"aws.s3`, true},
		{event("inbox", "incoming/dataset-1/denied.parquet"), true},
		{event("inbox", "incoming/dataset-1/denied.parquet"), true}, // each of two about one object
		{event("inbox", "incoming/dataset-1/b.parquet"), false},
		{event("another", "incoming/dataset-1/c.parquet"), true},
		{strings.Replace(event("inbox", "incoming/dataset-1/d.parquet"), "Created", "Deleted", 1), true},
		{event("inbox", "incoming/dataset-1/denied%2Fe.parquet"), true}, // as it is, or decoded
		{event("inbox", "incoming/dataset-1/e+f.parquet"), false},
		{event("inbox", "rejected/dataset-1/denied"), false}, // none of its business
		{event("inbox", ""), true},
		{"", true},
		{"null", true},
		{event("inbox", "incoming/dataset-2/"+strings.Repeat("x", 1000)), false},
		{strings.Repeat("[", 10_000), true},
	}
	var batch Invocation
	var want []string
	for n, m := range messages {
		id := fmt.Sprint("m", n)
		batch.Records = append(batch.Records, events.SQSMessage{MessageId: id, Body: m.body})
		if m.fails {
			want = append(want, id)
		}
	}
	var log bytes.Buffer
	handler := Handler(ingest.New("acme", "inbox", oneDataset{}, emptyInbox{}), slog.New(slog.NewJSONHandler(&log, nil)), func(Done) []slog.Attr { return nil })
	answer, err := handler(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range answer.BatchItemFailures {
		got = append(got, f.ItemIdentifier)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q come again, want %q\n%s", got, want, &log)
	}
}

// What there was no time for comes again, all of it.
func TestWithoutTimeEverythingComesAgain(t *testing.T) {
	var batch Invocation
	for n := range 100 {
		batch.Records = append(batch.Records, events.SQSMessage{MessageId: fmt.Sprint(n), Body: event("inbox", fmt.Sprintf("incoming/dataset-%d/%d", n%7, n))})
	}
	ctx, cancel := context.WithTimeout(t.Context(), reserve) // of which nothing is left
	defer cancel()
	answer, err := Handler(ingest.New("acme", "inbox", oneDataset{}, emptyInbox{}), slog.New(slog.DiscardHandler), func(Done) []slog.Attr { return nil })(ctx, batch)
	if err != nil || len(answer.BatchItemFailures) != 100 {
		t.Errorf("%d come again, %v", len(answer.BatchItemFailures), err)
	}
}

// Whatever a message is, it gives notices of a bucket and a key, or is refused.
func FuzzRead(f *testing.F) {
	f.Add(event("inbox", "incoming/dataset-1/a b+c%20d%2Fé.parquet"))
	f.Add(`{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"inbox"},"object":{"key":"%zz"}}}`)
	f.Add(event("inbox", ""))
	f.Add(`{"Records":[]}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, body string) {
		notices, _, err := read(body)
		if (err == nil) != (len(notices) > 0) || len(notices) > 2 {
			t.Fatalf("%v, %v", notices, err)
		}
		for _, n := range notices {
			if n.Bucket == "" || n.Key == "" && n == notices[0] {
				t.Fatalf("%+v", notices)
			}
		}
	})
}
