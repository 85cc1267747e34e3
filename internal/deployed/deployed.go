// Package deployed puts the parts of Parqueue together as they run in an AWS
// account: the API's endpoints, each a Lambda function, over a DynamoDB table and
// an S3 bucket. It holds what the main packages under functions/ share, and
// builds nothing that a function does not name, so that it starts fast and needs no
// permission that it does not use.
//
// The IAM actions are those of the packages named by what a function uses:
// catalog/dynamo for Catalog and ServeAuthorizer, objectstore for Objects and
// Inbox, and all of them for ServeIngestion.
package deployed

import (
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/lambdahttp"
)

// uploadLimit is the largest body of an upload: API Gateway passes it on as
// base64, of which Lambda takes 6 MB.
const uploadLimit = 4_700_000

// missTTL is how long the authorizer remembers that there is no such key. It
// does not remember the keys that there are: API Gateway does, for the time that
// the template states, and both together would let a revoked key live longer.
const missTTL = 5 * time.Second

// stores is what an endpoint works with.
type stores struct {
	catalog dataset.Catalog
	uploads dataset.Uploads
	objects dataset.Objects
	parts   dataset.Parts

	rejections *ingest.Rejections
}

// Part is something in the account that an endpoint uses.
type Part func(*stores) error

// Catalog is the table.
func Catalog(s *stores) error {
	catalog, err := openTable()
	if err != nil {
		return err
	}
	s.catalog, s.uploads = catalog, catalog
	return nil
}

// Objects is the bucket.
func Objects(s *stores) error {
	objects, err := openBucket()
	if err != nil {
		return err
	}
	s.objects, s.parts = objects, objects
	return nil
}

// Serve runs an endpoint as this process's Lambda function. It returns only
// when it cannot start.
func Serve(endpoint string, uses ...Part) error {
	return serve(endpoint, uses, lambdahttp.Start, api.Config{
		InlineLimit: lambdahttp.MaxBody, StreamLimit: lambdahttp.MaxBody,
	})
}

// ServeStreaming is Serve for an endpoint whose answers API Gateway streams.
// `sam local` cannot, so there it is Serve.
func ServeStreaming(endpoint string, uses ...Part) error {
	if os.Getenv(samLocalVariable) == "true" {
		return Serve(endpoint, uses...)
	}
	return serve(endpoint, uses, lambdahttp.StartStreaming, api.Config{
		InlineLimit: lambdahttp.FullSpeed, StreamLimit: lambdahttp.MaxStream,
	})
}

// serve starts an endpoint with the limits of a way to answer.
func serve(endpoint string, uses []Part, start func(http.Handler, *slog.Logger), c api.Config) error {
	var s stores
	for _, part := range uses {
		if err := part(&s); err != nil {
			return err
		}
	}
	c.Rejections = s.rejections
	c.Service = dataset.NewService(s.catalog, s.objects, dataset.WithUploads(s.uploads, s.parts))
	c.Principal = lambdahttp.Principal
	c.Log = logger()
	c.ResponseLimit = lambdahttp.MaxBody
	c.UploadLimit = uploadLimit
	start(withRequestID(api.New(c).Endpoint(endpoint)), c.Log)
	return nil
}

// ServeAuthorizer checks the API's keys as this process's Lambda function. It
// returns only when it cannot start.
func ServeAuthorizer() error {
	store, err := openTable()
	if err != nil {
		return err
	}
	authenticator := &keys.Authenticator{Store: store, MissTTL: missTTL}
	lambdahttp.StartAuthorizer(authenticator.Authenticate, logger())
	return nil
}

// withRequestID has a request logged under the id that its caller sees.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := api.WithRequestID(r.Context(), lambdahttp.RequestID(r))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// logger writes JSON, one line a record, to where Lambda takes logs from.
func logger() *slog.Logger {
	return slog.New(lambdahttp.LogHandler(slog.NewJSONHandler(os.Stdout, nil)))
}
