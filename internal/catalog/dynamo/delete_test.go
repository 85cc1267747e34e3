package dynamo_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func (b *bench) deletion(name string) dataset.Deletion {
	b.ids++
	return dataset.Deletion{ID: fmt.Sprint("delete-", b.ids), Tenant: tenant, DatasetID: b.dataset.ID, Name: name}
}

// deletedByAnother has another writer delete files.
func (b *bench) deletedByAnother(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := b.other.DeleteFile(t.Context(), b.deletion(name)); err != nil {
			t.Errorf("the other writer: %v", err)
		}
	}
}

// The answer to a deletion is lost, and others may have changed the dataset when
// it is sent again.
func TestDeleteWhoseAnswerIsLost(t *testing.T) {
	for name, cause := range lost {
		for _, idempotencyKey := range []string{"", "k"} {
			for _, others := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, key %q, others %v", name, idempotencyKey, others), func(t *testing.T) {
					t.Parallel()
					b := newBench(t)
					b.byAnother(t, "a", "b")
					b.spy.transact = func(n int, send func() error) error {
						if err := send(); n > 0 {
							return err
						}
						if others {
							b.byAnother(t, "c")
							b.deletedByAnother(t, "b")
						}
						return cause
					}
					d := b.deletion("a")
					if idempotencyKey != "" {
						d.Idempotency = dataset.Idempotency{Key: idempotencyKey, Fingerprint: "f"}
					}
					done, err := b.DeleteFile(t.Context(), d)
					if err != nil || done.Replayed || done.File.Name != "a" || done.File.Position != 0 {
						t.Fatalf("got %+v, %v", done, err)
					}
					if others {
						b.wantNames(t, "c")
					} else {
						b.wantNames(t, "b")
					}
				})
			}
		}
	}
}

// As after 10 minutes, DynamoDB has forgotten the token.
func TestDeleteWhoseAnswerAndTokenAreLost(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a", "b")
	d := b.deletion("a")
	b.spy.transact = func(_ int, send func() error) error { return errors.Join(send(), errTimeout) }
	_, err := b.DeleteFile(t.Context(), d)
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		t.Fatalf("an unknown outcome became %v", err)
	}
	b.spy.transact = nil
	done, err := b.DeleteFile(t.Context(), d)
	if err != nil || done.Replayed || done.File.Name != "a" {
		t.Fatalf("repeated: %+v, %v", done, err)
	}
	b.wantNames(t, "b")
}

// DynamoDB may stop looking at conditions once one has failed. A deletion that
// comes too late sends the head, the entry, the name and the request.
func TestDeleteThatComesTooLate(t *testing.T) {
	for _, c := range []struct {
		told   []int
		key    string // of the deletion that came first
		again  bool   // the name is taken again in the meantime
		code   fault.Code
		listed []string
	}{
		{told: []int{1}, code: fault.CodeFileNotFound},
		{told: []int{2}, code: fault.CodeFileNotFound},
		{told: []int{1, 2}, code: fault.CodeFileNotFound},
		{told: []int{1}, key: "k"},
		{told: []int{2, 3}, key: "k"},
		{told: []int{3}, key: "k"},
		{told: []int{2}, again: true}, // the file that has the name now is deleted
		{told: []int{2}, key: "k", again: true, listed: []string{"a"}},
	} {
		b := newBench(t)
		b.byAnother(t, "a")
		b.spy.transact = func(n int, send func() error) error {
			if n > 0 {
				return send()
			}
			d := b.deletion("a")
			if c.key != "" {
				d.Idempotency = dataset.Idempotency{Key: c.key, Fingerprint: "f"}
			}
			if _, err := b.other.DeleteFile(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			if c.again {
				b.byAnother(t, "a")
			}
			return keepReasons(send(), c.told)
		}
		d := b.deletion("a")
		d.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
		done, err := b.DeleteFile(t.Context(), d)
		if fault.CodeOf(err) != c.code || done.Replayed != (c.key != "") {
			t.Errorf("%+v: %+v, %v", c, done, err)
		}
		b.wantNames(t, c.listed...)
	}
}

func TestDeleteRetriesWhatPassesAndGivesUp(t *testing.T) {
	for name, cause := range throttling {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.byAnother(t, "a", "b")
			passing := 3
			b.spy.transact = func(n int, send func() error) error {
				if n < passing {
					return cause
				}
				return send()
			}
			if done, err := b.DeleteFile(t.Context(), b.deletion("a")); err != nil || done.File.Name != "a" {
				t.Fatalf("got %+v, %v", done, err)
			}
			passing = 1000
			_, err := b.DeleteFile(t.Context(), b.deletion("b"))
			want := fault.CodeConflict
			if name == "transaction in process" { // it may still succeed
				want = fault.CodeInternal
			}
			if !fault.Is(err, want) || !errors.Is(err, cause) {
				t.Fatalf("got %v, want %s because of %v", err, want, cause)
			}
			b.wantNames(t, "b")
		})
	}
}

// An append whose answer is lost is not done twice because its files were
// deleted before it is sent again.
func TestAppendWhoseAnswerIsLostAndFilesAreDeleted(t *testing.T) {
	b := newBench(t)
	b.spy.transact = func(n int, send func() error) error {
		if err := send(); n > 0 {
			return err
		}
		b.deletedByAnother(t, "a", "b")
		b.byAnother(t, "x")
		return errTimeout
	}
	a := b.request("a", "b")
	done, err := b.Append(t.Context(), a)
	if err != nil || !a.SameFiles(done.Files) || done.Files[1].Position != 1 {
		t.Fatalf("got %+v, %v", done, err)
	}
	b.wantNames(t, "x")
}

// A page reads over what was deleted in few queries, and not for ever.
func TestPagesOverManyDeletedFiles(t *testing.T) {
	b := newBench(t)
	const gone = 12_000
	b.byAnother(t, "first")
	b.deletedFiles(t, 1, gone)
	b.byAnother(t, "last")
	b.spy.reset()
	page, err := b.Files(t.Context(), tenant, b.dataset.ID, 0, 1)
	if err != nil || len(page.Files) != 1 || page.Files[0].Name != "first" || !page.More || page.Next != 1 {
		t.Fatalf("got %+v, %v", page, err)
	}
	b.spy.wantCalls(t, map[string]int{"Query": 1})
	b.spy.reset()
	page, err = b.Files(t.Context(), tenant, b.dataset.ID, 1, 1)
	if err != nil || len(page.Files) != 0 || !page.More || page.Next < 10_000 || page.Next > 11_100 {
		t.Fatalf("got %+v, %v", page, err)
	}
	if n := b.spy.calls["Query"]; n > 25 {
		t.Errorf("made %d queries", n)
	}
	page, err = b.Files(t.Context(), tenant, b.dataset.ID, page.Next, 1)
	if err != nil || len(page.Files) != 1 || page.Files[0].Name != "last" || page.More {
		t.Fatalf("got %+v, %v", page, err)
	}
	if page, err = b.Files(t.Context(), tenant, b.dataset.ID, 0, 100_000); err != nil || len(page.Files) != 2 || page.More {
		t.Fatalf("all in one page: %d files, more %v, %v", len(page.Files), page.More, err)
	}
}

// deletedFiles writes what n appends and deletions leave, without doing them one
// by one.
func (b *bench) deletedFiles(t *testing.T, from, n int) {
	t.Helper()
	partition := &types.AttributeValueMemberS{Value: "D#" + tenant + "#" + b.dataset.ID}
	client := b.spy.API.(*dynamodb.Client)
	number := func(n int) types.AttributeValue { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }
	var batch []types.WriteRequest
	for i := from; i < from+n; i++ {
		batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: map[string]types.AttributeValue{
			"pk": partition, "sk": &types.AttributeValueMemberS{Value: fmt.Sprintf("F#%019d", i)},
			"id": &types.AttributeValueMemberS{Value: fmt.Sprint("gone-", i)}, "file_position": number(i),
			"deleted_at": &types.AttributeValueMemberS{Value: "2026-01-02T03:04:05Z"},
		}}})
		if len(batch) < 25 && i < from+n-1 {
			continue
		}
		out, err := client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{b.table: batch}})
		if err != nil || len(out.UnprocessedItems) > 0 {
			t.Fatalf("%v, %v", err, out)
		}
		batch = nil
	}
	_, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &b.table, Key: map[string]types.AttributeValue{"pk": partition, "sk": &types.AttributeValueMemberS{Value: "#head"}},
		UpdateExpression:          aws.String("SET next_position = :next"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":next": number(from + n)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A tombstone that is being written leaves no gap that a reader could see, and a
// page whose entries are not all there yet is read again.
func TestReadersWaitBetweenDeletedFiles(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a", "b", "c", "d")
	b.deletedByAnother(t, "a", "c")
	for _, missing := range []string{"F#0000000000000000000", "F#0000000000000000001", "F#0000000000000000002", "F#0000000000000000003"} {
		b.spy.reset()
		b.spy.query = func(n int, out *dynamodb.QueryOutput) {
			if n < 2 {
				without(out, missing)
			}
		}
		page, err := b.Files(t.Context(), tenant, b.dataset.ID, 0, 10)
		if err != nil || len(page.Files) != 2 || page.More || b.spy.calls["Query"] != 3 {
			t.Errorf("without %s at first: %+v, %v, after %d queries", missing, page, err, b.spy.calls["Query"])
		}
	}
}

// An append hears nothing of its transaction, sends it again and is refused for
// the name, so that its bytes are discarded. When the first one arrives after all,
// the name may be free.
func TestDeleteStopsAnAppendThatWasRefused(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a")
	var late func() error
	b.spy.transact = func(n int, send func() error) error {
		if n == 0 {
			late = send
			return errTimeout
		}
		return send()
	}
	if _, err := b.Append(t.Context(), b.request("a")); !fault.Is(err, fault.CodeFileExists) {
		t.Fatalf("got %v, want the name taken", err)
	}
	b.deletedByAnother(t, "a")
	if err := late(); err == nil {
		t.Error("the transaction of a refused append was done")
	}
	b.wantNames(t)
}

// A deletion that comes before an append costs it a second try, no more.
func TestAppendAfterADeletion(t *testing.T) {
	b := newBench(t)
	b.byAnother(t, "a", "b")
	b.spy.transact = func(n int, send func() error) error {
		if n == 0 {
			b.deletedByAnother(t, "a")
		}
		return send()
	}
	done, err := b.Append(t.Context(), b.request("a"))
	if err != nil || done.Files[0].Position != 2 {
		t.Fatalf("got %+v, %v", done, err)
	}
	b.spy.wantCalls(t, map[string]int{"GetItem": 1, "TransactWriteItems": 2})
	b.wantNames(t, "b", "a")
}
