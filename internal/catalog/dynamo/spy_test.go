package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
)

// spy counts the calls of a real client and lets a test get in their way. n is
// how often the operation was called before.
type spy struct {
	dynamo.API
	mu       sync.Mutex
	calls    map[string]int
	tokens   []string
	get      func(n int) // before the item is read
	transact func(n int, send func() error) error
	query    func(n int, out *dynamodb.QueryOutput)
	batch    func(n int, in *dynamodb.BatchGetItemInput, out *dynamodb.BatchGetItemOutput)
	write    func(n int, in *dynamodb.BatchWriteItemInput, send writing) (*dynamodb.BatchWriteItemOutput, error)
}

// writing sends a BatchWriteItem.
type writing func(*dynamodb.BatchWriteItemInput) (*dynamodb.BatchWriteItemOutput, error)

func (s *spy) count(operation string) (before int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.calls[operation]
	s.calls[operation]++
	return before
}

func (s *spy) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.tokens = map[string]int{}, nil
}

func (s *spy) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if n := s.count("GetItem"); s.get != nil {
		s.get(n)
	}
	return s.API.GetItem(ctx, in, o...)
}

func (s *spy) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	n := s.count("BatchGetItem")
	out, err := s.API.BatchGetItem(ctx, in, o...)
	if err == nil && s.batch != nil {
		s.batch(n, in, out)
	}
	return out, err
}

func (s *spy) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	n := s.count("Query")
	out, err := s.API.Query(ctx, in, o...)
	if err == nil && s.query != nil {
		s.query(n, out)
	}
	return out, err
}

func (s *spy) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	s.count("UpdateItem")
	return s.API.UpdateItem(ctx, in, o...)
}

func (s *spy) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	n := s.count("BatchWriteItem")
	send := func(in *dynamodb.BatchWriteItemInput) (*dynamodb.BatchWriteItemOutput, error) {
		return s.API.BatchWriteItem(ctx, in, o...)
	}
	if s.write != nil {
		return s.write(n, in, send)
	}
	return send(in)
}

func (s *spy) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (out *dynamodb.TransactWriteItemsOutput, err error) {
	n := s.count("TransactWriteItems")
	s.mu.Lock()
	s.tokens = append(s.tokens, aws.ToString(in.ClientRequestToken))
	s.mu.Unlock()
	send := func() error {
		out, err = s.API.TransactWriteItems(ctx, in, o...)
		return err
	}
	if s.transact != nil {
		return out, s.transact(n, send)
	}
	return out, send()
}

// wantCalls fails unless exactly these calls were made since the last reset.
func (s *spy) wantCalls(t *testing.T, want map[string]int) {
	t.Helper()
	if fmt.Sprint(s.calls) != fmt.Sprint(want) {
		t.Errorf("made the calls %v, want %v", s.calls, want)
	}
}

// bench is a catalog with a spy in front of a real emulator, a second one of
// the same table without, and a dataset.
type bench struct {
	*dynamo.Catalog
	spy     *spy
	other   *dynamo.Catalog
	table   string
	dataset dataset.Dataset
	ids     int
}

const tenant = "acme"

func newBench(t *testing.T) *bench {
	t.Helper()
	client, table := dynamotest.Start(t)
	s := &spy{API: client}
	b := &bench{Catalog: dynamo.New(s, table, dynamo.WithTries(6, 5*time.Millisecond)), spy: s, other: dynamo.New(client, table), table: table}
	d, err := b.other.CreateDataset(t.Context(), tenant, dataset.Dataset{ID: "dataset-1", CreatedAt: time.Now()}, dataset.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	b.dataset = d
	s.reset()
	return b
}

func (b *bench) request(names ...string) dataset.Append {
	a := dataset.Append{Tenant: tenant, DatasetID: b.dataset.ID, Schema: schema.Schema{Fields: []schema.Field{{Name: "a", Type: "int64"}}}}
	for _, n := range names {
		b.ids++
		a.Files = append(a.Files, dataset.File{ID: fmt.Sprint(b.dataset.ID, "-file-", b.ids), Name: n, SizeBytes: 1, UploadedAt: time.Now()})
	}
	return a
}

// byAnother has another writer append files.
func (b *bench) byAnother(t *testing.T, names ...string) {
	t.Helper()
	if _, err := b.other.Append(t.Context(), b.request(names...)); err != nil {
		t.Errorf("the other writer: %v", err)
	}
}

// wantNames fails unless the dataset holds files with these names, in order.
func (b *bench) wantNames(t *testing.T, names ...string) {
	t.Helper()
	page, err := b.other.Files(t.Context(), tenant, b.dataset.ID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range page.Files {
		got = append(got, f.Name)
	}
	if fmt.Sprint(got) != fmt.Sprint(names) || page.Dataset.FileCount != int64(len(names)) {
		t.Fatalf("the dataset holds %v and counts %d, want %v", got, page.Dataset.FileCount, names)
	}
}

// The errors that DynamoDB answers and no emulator produces.

func canceled(codes ...string) error {
	e := &types.TransactionCanceledException{}
	for _, c := range codes {
		e.CancellationReasons = append(e.CancellationReasons, types.CancellationReason{Code: aws.String(c)})
	}
	return answered(400, e)
}

func answered(status int, err error) error {
	return &smithy.OperationError{ServiceID: "DynamoDB", OperationName: "TransactWriteItems", Err: &awshttp.ResponseError{
		ResponseError: &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err},
	}}
}

var (
	errTimeout  = &smithy.OperationError{ServiceID: "DynamoDB", OperationName: "TransactWriteItems", Err: errors.New("read tcp: i/o timeout")}
	errInternal = answered(500, &types.InternalServerError{})
)
