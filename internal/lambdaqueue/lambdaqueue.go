// Package lambdaqueue is how ingestion runs as a Lambda function: it reads batches
// of an SQS queue, whose messages are EventBridge's events of objects that were
// stored in the inbox, and tells the queue which of them are to come again. By a
// schedule it looks through the inbox for what no message came of.
//
// The package needs no IAM actions of its own; the function's queue needs
// sqs:ReceiveMessage, sqs:DeleteMessage and sqs:GetQueueAttributes, which SAM
// allows for an SQS event.
package lambdaqueue

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/ingest"
)

// lostAfter is how long an object is in the inbox before its event counts as lost.
const lostAfter = time.Hour

// knownAfter is how long it is there before it counts as one of which that was seen
// several times that it waits for a list. It would else be asked about every hour,
// for as long as it waits.
const knownAfter = 24 * time.Hour

// scheduled is the type of a schedule's event.
const scheduled = "Scheduled Event"

// Invocation is a batch of messages, or the event of a schedule.
type Invocation struct {
	events.SQSEvent
	DetailType string `json:"detail-type"`
}

// reserve is kept of a function's time to say what was not done.
const reserve = 20 * time.Second

// Done is what became of the objects of an invocation, as far as it is measured.
type Done struct {
	Listed   int
	Rejected int
	Waited   []time.Duration // from the event of an object to its listing
}

// Measure says what else to log of an invocation, for whom the log is the source of
// metrics.
type Measure func(Done) []slog.Attr

// Handler handles batches of messages with an ingester. What failed, and what the
// time did not suffice for, is answered as failed, by which the queue has it come
// again, and puts it into its dead-letter queue after some tries.
func Handler(ingester *ingest.Ingester, log *slog.Logger, measure Measure) func(context.Context, Invocation) (events.SQSEventResponse, error) {
	return func(ctx context.Context, in Invocation) (events.SQSEventResponse, error) {
		if deadline, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
			defer cancel()
		}
		if in.DetailType == scheduled {
			return events.SQSEventResponse{}, rescan(ctx, ingester, log, measure)
		}
		return handle(ctx, ingester, log, measure, in.SQSEvent), nil
	}
}

// rescan takes up what no message came of. What it does not get to, the next one
// does.
func rescan(ctx context.Context, ingester *ingest.Ingester, log *slog.Logger, measure Measure) error {
	count, err := ingester.Rescan(ctx, lostAfter, knownAfter)
	attrs := measure(Done{Listed: count[ingest.Listed], Rejected: count[ingest.Rejected]})
	log.LogAttrs(ctx, slog.LevelInfo, "looked through the inbox", append(attrs, slog.Any("outcomes", count))...)
	if err != nil {
		log.ErrorContext(ctx, "looking through the inbox failed", "error", err)
	}
	return err
}

// handle takes up a batch and answers which of its messages failed.
func handle(ctx context.Context, ingester *ingest.Ingester, log *slog.Logger, measure Measure, batch events.SQSEvent) (answer events.SQSEventResponse) {
	fail := func(id string) {
		answer.BatchItemFailures = append(answer.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
	}
	var notices []ingest.Notice
	var ids []string       // of the messages of the notices
	var stored []time.Time // what the notices are about
	for _, m := range batch.Records {
		found, at, err := read(m.Body)
		if err != nil {
			log.ErrorContext(ctx, "a message is not an event of the inbox", "message_id", m.MessageId, "error", err)
			fail(m.MessageId)
		}
		for _, n := range found {
			notices, ids, stored = append(notices, n), append(ids, m.MessageId), append(stored, at)
		}
	}
	count, done := map[ingest.State]int{}, Done{}
	failed := map[string]bool{}
	for n, o := range ingester.Ingest(ctx, notices) {
		count[o.State]++
		switch o.State {
		case ingest.Listed:
			done.Waited = append(done.Waited, time.Since(stored[n]))
		case ingest.Rejected:
			log.WarnContext(ctx, "an object was rejected", "key", notices[n].Key, "code", fault.CodeOf(o.Err))
		case ingest.Failed:
			log.ErrorContext(ctx, "an object could not be ingested", "message_id", ids[n], "key", notices[n].Key, "error", o.Err)
			if !failed[ids[n]] {
				failed[ids[n]] = true
				fail(ids[n])
			}
		}
	}
	done.Listed, done.Rejected = count[ingest.Listed], count[ingest.Rejected]
	log.LogAttrs(ctx, slog.LevelInfo, "ingested", append(measure(done), slog.Int("messages", len(batch.Records)), slog.Any("outcomes", count))...)
	return answer
}

// stored is EventBridge's event of an object that was stored, as far as it is
// read. Size and ETag are in it as well and nobody's proof.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
type stored struct {
	Source     string    `json:"source"`
	DetailType string    `json:"detail-type"`
	Time       time.Time `json:"time"`
	Detail     struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key string `json:"key"`
		} `json:"object"`
	} `json:"detail"`
}

// read takes notices out of a message, and when they were made. The key is as it is in EventBridge's
// events, and URL-encoded in those that S3 sends by itself; since a notice of
// nothing does no harm, a key that could be either is taken for both.
func read(body string) ([]ingest.Notice, time.Time, error) {
	var e stored
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		return nil, time.Time{}, err
	}
	bucket, key := e.Detail.Bucket.Name, e.Detail.Object.Key
	if e.Source != "aws.s3" || e.DetailType != "Object Created" || bucket == "" || key == "" {
		return nil, time.Time{}, errors.New("it is another event")
	}
	notices := []ingest.Notice{{Bucket: bucket, Key: key}}
	if decoded, err := url.QueryUnescape(key); err == nil && decoded != key {
		notices = append(notices, ingest.Notice{Bucket: bucket, Key: decoded})
	}
	return notices, e.Time, nil
}
