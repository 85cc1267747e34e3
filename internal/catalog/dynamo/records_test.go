package dynamo_test

import (
	"errors"
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

// recordItem reads the record of a file id as it is in the table.
func (b *bench) recordItem(t *testing.T, fileID string) map[string]types.AttributeValue {
	t.Helper()
	out, err := b.spy.API.(*dynamodb.Client).GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "R#" + tenant + "#" + fileID}, "sk": &types.AttributeValueMemberS{Value: "#"},
		},
	})
	if err != nil || out.Item == nil {
		t.Fatalf("the record of %s: %v, %v", fileID, out, err)
	}
	return out.Item
}

// An upload's record expires until it is a file's, which it is for good: a record
// that went would make a listed file's bytes those of nobody.
func TestRecordsOfFilesDoNotExpire(t *testing.T) {
	b := newBench(t)
	now := time.Now()
	u := dataset.Upload{
		ID: "upload-1", DatasetID: b.dataset.ID, FileID: "file-1", FileName: "a", SizeBytes: 1, PartSize: dataset.MinPartSize,
		CreatedAt: now, ExpiresAt: now.Add(dataset.UploadLifetime),
	}
	if _, err := b.CreateUpload(t.Context(), tenant, u, dataset.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	direct := b.request("b")
	done, err := b.CompleteUpload(t.Context(), tenant, u.ID, dataset.Completion{Schema: direct.Schema, ExpiresAt: now.Add(dataset.UploadLifetime)})
	if err != nil {
		t.Fatal(err)
	}
	if b.recordItem(t, "file-1")[dynamo.TimeToLive] == nil {
		t.Error("an upload that is complete does not expire")
	}
	a := direct
	a.Files, a.Uploads = []dataset.File{done.File()}, []string{u.ID}
	for _, a := range []dataset.Append{a, direct} {
		if _, err := b.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if at := b.recordItem(t, a.Files[0].ID)[dynamo.TimeToLive]; at != nil {
			t.Errorf("the record of %s expires at %v", a.Files[0].Name, at)
		}
	}
	b.deletedByAnother(t, "a", "b")
	for _, id := range []string{"file-1", direct.Files[0].ID} {
		if at := b.recordItem(t, id)[dynamo.TimeToLive]; at != nil {
			t.Errorf("the record of the deleted %s expires at %v", id, at)
		}
	}
}

// A claim that comes between an append's read and its transaction wins, and the
// append says so at once.
func TestAppendThatLostARaceToAClaim(t *testing.T) {
	b := newBench(t)
	a := b.request("a", "b")
	b.spy.transact = func(n int, send func() error) error {
		if n == 0 {
			if r, err := b.other.ClaimFile(t.Context(), dataset.FileRef{Tenant: tenant, FileID: a.Files[1].ID}); err != nil || !r.MayGo() {
				t.Errorf("claimed %+v, %v", r, err)
			}
			b.byAnother(t, "x")
		}
		return send()
	}
	if _, err := b.Append(t.Context(), a); !fault.Is(err, fault.CodeUploadClosed) {
		t.Fatalf("got %v", err)
	}
	b.spy.wantCalls(t, map[string]int{"GetItem": 1, "TransactWriteItems": 1})
	b.wantNames(t, "x")
}

// A claim whose answer is lost is made again, and an append that comes between its
// read and its transaction wins.
func TestClaimThatIsInterrupted(t *testing.T) {
	b := newBench(t)
	for name, cause := range lost {
		ref := dataset.FileRef{Tenant: tenant, FileID: "file-" + name}
		b.spy.reset()
		b.spy.transact = func(n int, send func() error) error {
			if n == 0 {
				return errors.Join(send(), cause)
			}
			return send()
		}
		if r, err := b.ClaimFile(t.Context(), ref); err != nil || r.State != dataset.FileAborted {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	a := b.request("a")
	b.spy.reset()
	b.spy.transact = func(n int, send func() error) error {
		if n == 0 {
			if _, err := b.other.Append(t.Context(), a); err != nil {
				t.Error(err)
			}
		}
		return send()
	}
	if r, err := b.ClaimFile(t.Context(), dataset.FileRef{Tenant: tenant, FileID: a.Files[0].ID}); err != nil || r.State != dataset.FileAppended || r.MayGo() {
		t.Errorf("after an append: %+v, %v", r, err)
	}
	b.wantNames(t, "a")
}

// A table that is made anew under the same name is another one.
func TestTableID(t *testing.T) {
	t.Parallel()
	client, table := dynamotest.Start(t)
	catalog := dynamo.New(client, table)
	first, err := catalog.TableID(t.Context())
	if err != nil || first == "" {
		t.Fatalf("%q, %v", first, err)
	}
	if same, err := catalog.TableID(t.Context()); err != nil || same != first {
		t.Errorf("%q, and then %q, %v", first, same, err)
	}
	if _, err := client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &table}); err != nil {
		t.Fatal(err)
	}
	if gone, err := catalog.TableID(t.Context()); err == nil {
		t.Errorf("the id of no table is %q", gone)
	}
	if _, err := client.CreateTable(t.Context(), dynamo.Definition(table)); err != nil {
		t.Fatal(err)
	}
	if second, err := catalog.TableID(t.Context()); err != nil || second == first {
		t.Errorf("the table of the same name is %q, %v, and was %q", second, err, first)
	}
}
