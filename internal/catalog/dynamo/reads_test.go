package dynamo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// What each method asks of DynamoDB is what it costs and how long it takes.
func TestCalls(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a", "b", "c")
	ctx := t.Context()
	key, _, err := keys.New(tenant, "k", []keys.Scope{keys.ScopeRead}, nil, time.Time{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	idem := dataset.Idempotency{Key: "k", Fingerprint: "f"}
	withKey := b.request("d")
	withKey.Idempotency = idem
	file, err := b.File(ctx, tenant, b.dataset.ID, "a")
	if err != nil {
		t.Fatal(err)
	}
	said := file.ID
	for _, c := range []struct {
		name string
		call func() error
		want map[string]int
	}{
		{"append", func() error { _, err := b.Append(ctx, withKey); return err }, map[string]int{"GetItem": 1, "TransactWriteItems": 1}},
		{"replay", func() error { _, err := b.Append(ctx, withKey); return err }, map[string]int{"GetItem": 1, "TransactWriteItems": 1}},
		{"delete", func() error {
			_, err := b.DeleteFile(ctx, dataset.Deletion{ID: "delete-1", Tenant: tenant, DatasetID: b.dataset.ID, Name: "d"})
			return err
		}, map[string]int{"GetItem": 2, "TransactWriteItems": 1}},
		{"say something of a file", func() error {
			_, err := b.SetAsset(ctx, dataset.AssetUpdate{Tenant: tenant, ID: said, Changes: asset.Changes{Alias: new("a"), Tags: &[]string{"t"}}})
			return err
		}, map[string]int{"GetItem": 2, "TransactWriteItems": 1}},
		{"a file as an asset", func() error { _, err := b.Asset(ctx, tenant, said); return err }, map[string]int{"GetItem": 2}},
		{"assets with a tag", func() error {
			_, err := b.ListAssets(ctx, tenant, asset.Filter{Tag: "t"}, "", 10)
			return err
		}, map[string]int{"Query": 1, "BatchGetItem": 2}},
		{"assets with an alias", func() error {
			_, err := b.ListAssets(ctx, tenant, asset.Filter{Owner: asset.OfDataset(b.dataset.ID), Alias: "a"}, "", 10)
			return err
		}, map[string]int{"GetItem": 1, "BatchGetItem": 2}},
		{"records", func() error {
			_, err := b.FileRecords(ctx, []dataset.FileRef{{Tenant: tenant, FileID: withKey.Files[0].ID}, {Tenant: tenant, FileID: "file-none"}})
			return err
		}, map[string]int{"BatchGetItem": 1}},
		{"claim", func() error {
			_, err := b.ClaimFile(ctx, dataset.FileRef{Tenant: tenant, FileID: "file-none"})
			return err
		}, map[string]int{"GetItem": 1, "TransactWriteItems": 1}},
		{"claim of an appended file", func() error {
			_, err := b.ClaimFile(ctx, dataset.FileRef{Tenant: tenant, FileID: withKey.Files[0].ID})
			return err
		}, map[string]int{"GetItem": 1}},
		{"file", func() error { _, err := b.File(ctx, tenant, b.dataset.ID, "a"); return err }, map[string]int{"BatchGetItem": 1}},
		{"exists", func() error { return b.Exists(ctx, tenant, b.dataset.ID) }, map[string]int{"GetItem": 1}},
		{"first page", func() error { _, err := b.Files(ctx, tenant, b.dataset.ID, 0, 2); return err }, map[string]int{"Query": 1}},
		{"later page", func() error { _, err := b.Files(ctx, tenant, b.dataset.ID, 2, 2); return err }, map[string]int{"Query": 2}},
		{"page behind the end", func() error { _, err := b.Files(ctx, tenant, b.dataset.ID, 9, 2); return err }, map[string]int{"Query": 1}},
		{"dataset", func() error { _, err := b.Dataset(ctx, tenant, b.dataset.ID); return err }, map[string]int{"Query": 1}},
		{"datasets", func() error { _, err := b.Datasets(ctx, tenant, "", 10); return err }, map[string]int{"Query": 1, "BatchGetItem": 1}},
		{"create", func() error {
			_, err := b.CreateDataset(ctx, tenant, dataset.Dataset{ID: "dataset-2", CreatedAt: time.Now()}, dataset.Idempotency{})
			return err
		}, map[string]int{"TransactWriteItems": 1}},
		{"update", func() error {
			_, err := b.UpdateDataset(ctx, dataset.Update{Tenant: tenant, DatasetID: b.dataset.ID, Name: new("n"), IfVersion: 4})
			return err
		}, map[string]int{"TransactWriteItems": 1, "Query": 1}},
		{"delete the dataset", func() error {
			_, err := b.DeleteDataset(ctx, dataset.DatasetDeletion{ID: "delete-2", Tenant: tenant, DatasetID: b.dataset.ID})
			return err
		}, map[string]int{"TransactWriteItems": 1, "GetItem": 1}},
		{"add a key", func() error { return b.AddKey(ctx, key) }, map[string]int{"TransactWriteItems": 1}},
		{"authenticate", func() error { _, err := b.KeyByHash(ctx, key.Hash); return err }, map[string]int{"GetItem": 1}},
		{"list keys", func() error { _, err := b.Keys(ctx, tenant); return err }, map[string]int{"Query": 1, "BatchGetItem": 1}},
		{"revoke", func() error { _, err := b.RevokeKey(ctx, key.ID, time.Now()); return err }, map[string]int{"GetItem": 1, "UpdateItem": 1}},
		{"impossible dataset", func() error {
			if _, err := b.Dataset(ctx, tenant, "a#b"); !fault.Is(err, fault.CodeDatasetNotFound) {
				return fmt.Errorf("got %w", err)
			}
			return nil
		}, map[string]int{}},
	} {
		b.spy.reset()
		if err := c.call(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		t.Run(c.name, func(t *testing.T) { b.spy.wantCalls(t, c.want) })
	}
}

// without takes an item out of an answer, as a query sees a transaction that
// is being written.
func without(out *dynamodb.QueryOutput, sortKey string) {
	out.Items = slices.DeleteFunc(out.Items, func(i map[string]types.AttributeValue) bool {
		s, ok := i["sk"].(*types.AttributeValueMemberS)
		return ok && strings.HasPrefix(s.Value, sortKey)
	})
}

func TestReadersWaitForWholeTransactions(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a", "b")
	b.byAnother(t, "c")
	for _, missing := range []string{"#schema", "F#0000000000000000000", "F#0000000000000000001", "F#0000000000000000002"} {
		for _, times := range []int{1, 3, 1000} {
			b.spy.reset()
			b.spy.query = func(n int, out *dynamodb.QueryOutput) {
				if n < times {
					without(out, missing)
				}
			}
			page, err := b.Files(t.Context(), tenant, b.dataset.ID, 0, 10)
			if times == 1000 {
				if !fault.Is(err, fault.CodeUnavailable) {
					t.Errorf("without %s for ever: %+v, %v", missing, page, err)
				}
				continue
			}
			if err != nil || len(page.Files) != 3 || page.Dataset.Schema == nil {
				t.Errorf("without %s at first: %+v, %v", missing, page, err)
			}
		}
	}
}

func TestReadersBelieveTheHead(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a", "b")
	// The head was read before an append, the files after it.
	before, err := b.Files(t.Context(), tenant, b.dataset.ID, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var old map[string]types.AttributeValue
	b.spy.query = func(n int, out *dynamodb.QueryOutput) {
		if old == nil {
			old = out.Items[0]
			return
		}
		out.Items[0] = old
	}
	for _, names := range [][]string{nil, {"c"}, {"d", "e"}} {
		if names != nil {
			b.byAnother(t, names...)
		}
		page, err := b.Files(t.Context(), tenant, b.dataset.ID, 0, 10)
		if err != nil || fmt.Sprint(page) == "" || len(page.Files) != 2 || page.More || page.Dataset.FileCount != before.Dataset.FileCount {
			t.Fatalf("got %+v, %v", page, err)
		}
	}
}

func TestDatasetsAsksAgainForWhatWasLeftOut(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a")
	b.spy.batch = func(n int, in *dynamodb.BatchGetItemInput, out *dynamodb.BatchGetItemOutput) {
		if n < 3 {
			out.Responses, out.UnprocessedKeys = nil, in.RequestItems
		}
	}
	page, err := b.Datasets(t.Context(), tenant, "", 10)
	if err != nil || len(page.Datasets) != 1 || page.Datasets[0].Schema == nil {
		t.Fatalf("got %+v, %v", page, err)
	}
	b.spy.batch = func(_ int, in *dynamodb.BatchGetItemInput, out *dynamodb.BatchGetItemOutput) {
		out.Responses, out.UnprocessedKeys = nil, in.RequestItems
	}
	if page, err := b.Datasets(t.Context(), tenant, "", 10); !fault.Is(err, fault.CodeUnavailable) {
		t.Fatalf("for ever: %+v, %v", page, err)
	}
}

func TestDatasetsReadsATornDatasetAgain(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a")
	b.spy.batch = func(_ int, _ *dynamodb.BatchGetItemInput, out *dynamodb.BatchGetItemOutput) {
		for table, items := range out.Responses {
			q := &dynamodb.QueryOutput{Items: items}
			without(q, "#schema")
			out.Responses[table] = q.Items
		}
	}
	page, err := b.Datasets(t.Context(), tenant, "", 10)
	if err != nil || len(page.Datasets) != 1 || page.Datasets[0].Schema == nil {
		t.Fatalf("got %+v, %v", page, err)
	}
}
