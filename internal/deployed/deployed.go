// Package deployed runs the API's endpoints in an AWS account, each as a Lambda
// function. It holds what the main packages under functions/ share.
//
// What a function uses beside it is in packages of their own, table and bucket,
// since to import a service's client is to build something of it at every start. A
// function that does not name one neither links it nor needs its permissions.
//
// The package needs no IAM actions itself.
package deployed

import (
	"log/slog"
	"net/http"
	"os"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/deployed/environment"
	"github.com/parqueue/parqueue/internal/deployed/metrics"
	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/lambdahttp"
)

// uploadLimit is the largest body of an upload: API Gateway passes it on as
// base64, of which Lambda takes 6 MB.
const uploadLimit = 4_700_000

// Stores is what an endpoint works with.
type Stores struct {
	Catalog dataset.Catalog
	Uploads dataset.Uploads
	Assets  dataset.Assets
	Objects dataset.Objects
	Parts   dataset.Parts

	Rejections *ingest.Rejections
}

// Part adds something in the account that an endpoint uses.
type Part func(*Stores) error

// Serve runs an endpoint as this process's Lambda function. It returns only
// when it cannot start.
func Serve(endpoint api.Endpoint, uses ...Part) error {
	return serve(endpoint, uses, lambdahttp.Start, api.Config{
		InlineLimit: lambdahttp.MaxBody, StreamLimit: lambdahttp.MaxBody,
	})
}

// ServeStreaming is Serve for an endpoint whose answers API Gateway streams.
// `sam local` cannot, so there it is Serve.
func ServeStreaming(endpoint api.Endpoint, uses ...Part) error {
	if environment.SAMLocal() {
		return Serve(endpoint, uses...)
	}
	return serve(endpoint, uses, lambdahttp.StartStreaming, api.Config{
		InlineLimit: lambdahttp.FullSpeed, StreamLimit: lambdahttp.MaxStream,
	})
}

// serve starts an endpoint with the limits of a way to answer.
func serve(endpoint api.Endpoint, uses []Part, start func(http.Handler, *slog.Logger), c api.Config) error {
	measured, err := metrics.Open()
	if err != nil {
		return err
	}
	var s Stores
	for _, part := range uses {
		if err := part(&s); err != nil {
			return err
		}
	}
	c.Rejections = s.Rejections
	c.Service = dataset.NewService(s.Catalog, s.Objects, dataset.WithUploads(s.Uploads, s.Parts), dataset.WithAssets(s.Assets))
	c.Principal = lambdahttp.Principal
	c.Log = Logger()
	c.Measure = measured.Request
	c.AllowOrigin = os.Getenv(environment.CrossOrigin)
	c.ResponseLimit = lambdahttp.MaxBody
	c.UploadLimit = uploadLimit
	start(withRequestID(api.New(c).Endpoint(endpoint)), c.Log)
	return nil
}

// withRequestID has a request logged under the id that its caller sees.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := api.WithRequestID(r.Context(), lambdahttp.RequestID(r))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Logger writes JSON, one line a record, to where Lambda takes logs from.
func Logger() *slog.Logger {
	return slog.New(lambdahttp.LogHandler(slog.NewJSONHandler(os.Stdout, nil)))
}
