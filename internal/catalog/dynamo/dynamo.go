// Package dynamo is the catalog and the key store of a deployment: one DynamoDB
// table, whose layout table.go describes.
//
// An append is one read and one transaction. The transaction moves the
// dataset's head from the position that was read to the next free one, and
// writes the entries and the names, or it changes nothing; whoever loses a race
// is handed the new head by the refusal and tries again at once, without another
// read; whoever loses again waits, and reads. A run of files waits until the others
// pause. That needs no lock, and leaves nothing to repair wherever it stops.
//
// DynamoDB writes the items of a transaction one after the other, and a query
// may see some of them before others. A reader therefore believes the head, and
// reads again while an item that the head promises is not there yet.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-isolation
//
// IAM actions on the table (a transaction needs those of the actions in it):
//
//	CreateDataset            dynamodb:PutItem, dynamodb:Query
//	Dataset, Files           dynamodb:Query
//	Datasets                 dynamodb:Query, dynamodb:BatchGetItem
//	UpdateDataset            dynamodb:GetItem, dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:Query
//	Append                   dynamodb:GetItem, dynamodb:BatchGetItem, dynamodb:PutItem, dynamodb:UpdateItem
//	DeleteFile               dynamodb:GetItem, dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem
//	DeleteDataset            dynamodb:GetItem, dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem
//	File                     dynamodb:BatchGetItem
//	Exists, KeyByHash        dynamodb:GetItem
//	DeletedDatasets          dynamodb:Query
//	Remnants                 dynamodb:Query
//	RemainingUploads         dynamodb:Query, dynamodb:BatchGetItem
//	RemoveRemnants           dynamodb:BatchWriteItem
//	RemoveUploads            dynamodb:BatchWriteItem
//	RemoveInfos              dynamodb:Query, dynamodb:BatchGetItem, dynamodb:BatchWriteItem
//	EndPurge                 dynamodb:UpdateItem, dynamodb:BatchWriteItem
//	CreateUpload             dynamodb:GetItem, dynamodb:PutItem
//	CreatedUpload, Upload    dynamodb:GetItem
//	UploadSchema             dynamodb:GetItem
//	UploadsByID              dynamodb:BatchGetItem
//	ListUploads              dynamodb:Query, dynamodb:BatchGetItem
//	CompleteUpload           dynamodb:GetItem, dynamodb:PutItem, dynamodb:UpdateItem
//	AbortUpload              dynamodb:GetItem, dynamodb:UpdateItem
//	FileRecords              dynamodb:BatchGetItem
//	ClaimFile                dynamodb:GetItem, dynamodb:BatchGetItem, dynamodb:UpdateItem
//	CommitAsset              dynamodb:GetItem, dynamodb:PutItem, dynamodb:UpdateItem
//	Asset                    dynamodb:GetItem
//	AssetsOfFiles            dynamodb:BatchGetItem
//	ListAssets               dynamodb:GetItem, dynamodb:Query, dynamodb:BatchGetItem
//	AssetVersions            dynamodb:GetItem, dynamodb:Query
//	SetAsset                 dynamodb:GetItem, dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem, dynamodb:ConditionCheckItem
//	DeleteAsset              dynamodb:GetItem, dynamodb:Query, dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem
//	Progress                 dynamodb:GetItem
//	SaveProgress             dynamodb:UpdateItem
//	TableID                  dynamodb:DescribeTable
//	AddKey                   dynamodb:PutItem
//	Keys                     dynamodb:Query, dynamodb:BatchGetItem
//	RevokeKey                dynamodb:GetItem, dynamodb:UpdateItem
package dynamo

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/keys"
)

// API is what the catalog calls of *dynamodb.Client.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

// Catalog is a catalog in a DynamoDB table. It is safe for concurrent use.
type Catalog struct {
	client  API
	table   string
	now     func() time.Time
	tries   int           // of one transaction that others get in the way of
	longest time.Duration // pause between two tries
}

var (
	_ dataset.Catalog = (*Catalog)(nil)
	_ keys.Store      = (*Catalog)(nil)
)

// Option changes how a catalog works.
type Option func(*Catalog)

// WithClock gives the catalog another clock than time.Now.
func WithClock(now func() time.Time) Option { return func(c *Catalog) { c.now = now } }

// WithTries sets how often a transaction is tried while others get in its way,
// and the longest pause between two tries.
func WithTries(tries int, longest time.Duration) Option {
	return func(c *Catalog) { c.tries, c.longest = tries, longest }
}

// The default of WithTries. The pauses are random and add up to some 9 s on
// average, well within API Gateway's patience of 29 s; of 64 writers at one dataset
// one in a hundred needs more than a third of that.
const (
	defaultTries   = 200
	defaultLongest = 300 * time.Millisecond
)

// New returns the catalog in a table, which must be there.
func New(client API, table string, options ...Option) *Catalog {
	c := &Catalog{client: client, table: table, now: time.Now, tries: defaultTries, longest: defaultLongest}
	for _, o := range options {
		o(c)
	}
	return c
}
