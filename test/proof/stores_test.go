package proof

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/lambdahttp"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// cloud is what a deployment keeps its data in: a DynamoDB table and a bucket,
// each in a process of its own.
type cloud struct {
	Dynamo string // endpoint
	Table  string
	S3     s3Access
}

// s3Access is how to reach a bucket.
type s3Access struct{ Endpoint, Bucket, Region, AccessKey, SecretKey string }

// startCloud starts both; they end with the test.
func startCloud(t testing.TB) cloud {
	t.Helper()
	endpoint := dynamotest.Endpoint(t)
	s3 := embeddeds3test.Start(t)
	return cloud{
		Dynamo: endpoint, Table: dynamotest.CreateTable(t, dynamotest.Client(endpoint)),
		S3: s3Access{s3.Endpoint, s3.Bucket, s3.Region, s3.AccessKey, s3.SecretKey},
	}
}

// wiring is how a function reaches its stores; the zero value is how it does in
// production.
type wiring struct {
	transport http.RoundTripper
	retryer   func() aws.Retryer
	now       func() time.Time
	log       *slog.Logger
}

// stores are what a server keeps its data in.
type stores struct {
	catalog catalog
	objects *objectstore.Store
	inbox   *objectstore.Store // in whose bucket files are put to be ingested
}

// catalog is all that both catalogs implement.
type catalog interface {
	dataset.Catalog
	dataset.Uploads
	dataset.Assets
	dataset.Purges
	dataset.FileRecords
	dataset.Progress
}

// handler is the whole API over the cloud, as one function.
func (c cloud) handler(w wiring) http.Handler { return w.api(c.open(w), lambdahttp.MaxBody) }

// api is the whole API over stores. Bodies larger than a limit go by S3.
func (w wiring) api(s stores, limit int64) http.Handler {
	w = w.withDefaults()
	return api.New(api.Config{
		Service:       dataset.NewService(s.catalog, s.objects, dataset.WithUploads(s.catalog, s.objects), dataset.WithAssets(s.catalog), dataset.WithClock(w.now)),
		Principal:     everybody,
		Log:           w.log,
		InlineLimit:   limit,
		ResponseLimit: int(limit),
	}).Handler()
}

func (w wiring) withDefaults() wiring {
	if w.now == nil {
		w.now = time.Now
	}
	if w.log == nil {
		w.log = discard()
	}
	return w
}

// open reaches the cloud's stores.
func (c cloud) open(w wiring) stores {
	w = w.withDefaults()
	client := dynamotest.Client(c.Dynamo, func(o *dynamodb.Options) {
		if w.transport != nil {
			o.HTTPClient = &http.Client{Transport: w.transport}
		}
		if w.retryer != nil {
			o.Retryer = w.retryer()
		}
	})
	return stores{dynamo.New(client, c.Table, dynamo.WithClock(w.now)), c.S3.store(w), c.S3.in(embeddeds3test.Inbox).store(w)}
}

// in is another bucket.
func (s s3Access) in(bucket string) s3Access {
	s.Bucket = bucket
	return s
}

// store is the bucket.
func (s s3Access) store(w wiring) *objectstore.Store {
	cfg := (&embeddeds3test.Store{Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey}).Config()
	if w.transport != nil {
		cfg.HTTPClient = &http.Client{Transport: w.transport}
	}
	if w.retryer != nil {
		cfg.Retryer = w.retryer
	}
	return objectstore.New(objectstore.NewClient(cfg, s.Endpoint), s.Bucket)
}

// everybody is the one who is asking, whatever the request says.
func everybody(*http.Request) (keys.Principal, error) {
	return keys.Principal{Tenant: "acme", KeyID: "key-proof", Scopes: []keys.Scope{keys.ScopeRead, keys.ScopeWrite}}, nil
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newTransport has room for many clients at once, where http.DefaultTransport
// keeps two connections.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 64
	return t
}
