package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// nothingStored is an object store that has nothing to remove.
type nothingStored struct{}

func (nothingStored) DeleteMany(context.Context, []string) error       { return nil }
func (nothingStored) AbortParts(context.Context, string, string) error { return nil }

// purger is a purger for whom everything has settled.
func purger(c *dynamo.Catalog) *dataset.Purger {
	return dataset.NewPurger(c, c, nothingStored{}, func() time.Time { return time.Now().Add(dataset.SettleTime) })
}

// wantHeadAlone fails unless the used id is all that the table holds of the tenant
// but for requests.
func (b *bench) wantHeadAlone(t *testing.T) {
	t.Helper()
	traces := (&traced{client: b.spy.API.(*dynamodb.Client), table: b.table}).Traces(t, tenant)
	if len(traces) != 1 {
		t.Errorf("%d items are left: %q", len(traces), traces)
	}
}

// filled adds files to a dataset, some of which are deleted again.
func (b *bench) filled(t *testing.T, files int) {
	t.Helper()
	for i := range files {
		b.byAnother(t, fmt.Sprint("f", i))
	}
	b.deletedByAnother(t, "f1", "f3")
	b.byAnother(t, "f3")
}

// begun adds uploads to a dataset.
func (b *bench) begun(t *testing.T, uploads int) {
	t.Helper()
	for i := range uploads {
		u := dataset.Upload{
			ID: fmt.Sprint("upload-u", i), DatasetID: b.dataset.ID, FileName: fmt.Sprint("u", i), SizeBytes: 1, PartSize: 1,
			ObjectKey: fmt.Sprint("u", i), PartsID: "parts", State: dataset.UploadOpen, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		}
		u.FileID = dataset.FileIDOf(u.ID)
		if _, err := b.other.CreateUpload(t.Context(), tenant, u, dataset.Idempotency{}); err != nil {
			t.Fatal(err)
		}
	}
}

// A purge may stop at any of its batches, with any part of one done.
func TestPurgeIsCutOffInABatch(t *testing.T) {
	for _, done := range []int{0, 1, 25} { // of a batch's requests
		for failAt := 0; ; failAt++ {
			b := newBench(t)
			b.filled(t, 30)
			b.begun(t, 9)
			b.droppedByAnother(t, false)
			var failed atomic.Bool
			b.spy.write = func(n int, in *dynamodb.BatchWriteItemInput, send writing) (*dynamodb.BatchWriteItemOutput, error) {
				if n != failAt {
					return send(in)
				}
				failed.Store(true)
				requests := in.RequestItems[b.table]
				if requests = requests[:min(done, len(requests))]; len(requests) > 0 {
					if _, err := send(&dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{b.table: requests}}); err != nil {
						t.Error(err)
					}
				}
				return nil, errTimeout
			}
			if _, err := purger(b.Catalog).Purge(t.Context()); failed.Load() != (err != nil) {
				t.Fatalf("batch %d failed: %v, the purge said %v", failAt, failed.Load(), err)
			}
			b.spy.write = nil
			if _, err := purger(b.Catalog).Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.wantHeadAlone(t)
			if !failed.Load() {
				if failAt < 9 {
					t.Fatalf("a purge made %d batches", failAt)
				}
				break
			}
		}
	}
}

// What DynamoDB leaves out of a batch is sent again, and nothing else.
func TestPurgeSendsAgainWhatWasLeftOut(t *testing.T) {
	for name, cause := range map[string]error{
		"left out": nil, "throttled": throttling["throughput of a table"], "a transaction": answered(400, &types.TransactionConflictException{}),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.filled(t, 30)
			b.droppedByAnother(t, false)
			var sent atomic.Int64
			passing := false
			b.spy.write = func(n int, in *dynamodb.BatchWriteItemInput, send writing) (*dynamodb.BatchWriteItemOutput, error) {
				requests := in.RequestItems[b.table]
				switch {
				case !passing && cause == nil:
					return &dynamodb.BatchWriteItemOutput{UnprocessedItems: in.RequestItems}, nil
				case !passing || cause != nil && n%2 == 0:
					return nil, cause
				case len(requests) > 1 && cause == nil:
					in.RequestItems[b.table] = requests[:len(requests)/2]
					sent.Add(int64(len(requests) / 2))
					out, err := send(in)
					if err == nil {
						out.UnprocessedItems = map[string][]types.WriteRequest{b.table: requests[len(requests)/2:]}
					}
					return out, err
				}
				sent.Add(int64(len(requests)))
				return send(in)
			}
			if _, err := purger(b.Catalog).Purge(t.Context()); !fault.Is(err, fault.CodeUnavailable) || cause != nil && !errors.Is(err, cause) {
				t.Fatalf("got %v", err)
			}
			passing = true
			if done, err := purger(b.Catalog).Purge(t.Context()); err != nil || done.Datasets != 1 {
				t.Fatalf("got %+v, %v", done, err)
			}
			// Every entry, every name, every record, that of the deleted file whose name
			// nobody took again twice, the schema, and the place among the deleted.
			if want := int64(31 + 30 + 31 + 1 + 2); sent.Load() != want {
				t.Errorf("%d items were removed, want %d", sent.Load(), want)
			}
			b.wantHeadAlone(t)
		})
	}
}

// fill writes what appends of n files leave, without doing them one by one.
func fill(t testing.TB, client *dynamodb.Client, table, datasetID string, n int) {
	t.Helper()
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := func(n int) types.AttributeValue { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }
	var batch []types.WriteRequest
	for i := range n {
		name, fileID := fmt.Sprintf("part-%07d.parquet", i), fmt.Sprintf("file-0193b0a6-5b7e-7d02-b3c4-%012x", i)
		for _, at := range [][2]string{
			{"D#" + tenant + "#" + datasetID, fmt.Sprintf("F#%019d", i)}, {"D#" + tenant + "#" + datasetID, "N#" + name}, {"R#" + tenant + "#" + fileID, "#"},
		} {
			batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: map[string]types.AttributeValue{
				"pk": text(at[0]), "sk": text(at[1]), "id": text(fileID), "name": text(name), "file_position": number(i),
				"size_bytes": number(1 << 20), "row_count": number(1000), "crc64nvme": text("AAAAAAAAAAA="),
				"object_key": text(dataset.FileKey(tenant, fileID)), "uploaded_at": text("2026-01-02T03:04:05Z"),
			}}})
		}
		if len(batch) < 24 && i < n-1 {
			continue
		}
		out, err := client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: batch}})
		if err != nil || len(out.UnprocessedItems) > 0 {
			t.Fatalf("%v, %v", err, out)
		}
		batch = nil
	}
	_, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &table, Key: map[string]types.AttributeValue{"pk": text("D#" + tenant + "#" + datasetID), "sk": text("#head")},
		UpdateExpression:          aws.String("SET next_position = :n, file_count = :n"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":n": number(n)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkPurge removes what the catalog has of 20,000 files; it writes them down
// beforehand, which takes longer.
func BenchmarkPurge(b *testing.B) {
	const files = 20_000
	client, table := dynamotest.Start(b)
	c := dynamo.New(client, table)
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		d, err := c.CreateDataset(b.Context(), tenant, dataset.Dataset{ID: fmt.Sprint("dataset-", n), CreatedAt: time.Now()}, dataset.Idempotency{})
		if err != nil {
			b.Fatal(err)
		}
		fill(b, client, table, d.ID, files)
		b.StartTimer()
		gone, err := c.DeleteDataset(b.Context(), dataset.DatasetDeletion{ID: fmt.Sprint(n), Tenant: tenant, DatasetID: d.ID})
		if err != nil || gone.FileCount != files {
			b.Fatalf("%+v, %v", gone, err)
		}
		if done, err := purger(c).Purge(b.Context()); err != nil || done.Files != files || done.Datasets != 1 {
			b.Fatalf("%+v, %v", done, err)
		}
	}
	b.ReportMetric(files*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}
