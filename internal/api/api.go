// Package api is Parqueue's HTTP interface: every endpoint is an http.Handler
// that parses, makes one call to the domain and renders the answer. The same
// handlers run behind Lambda, one endpoint a function, and in the local server,
// all of them under the same routes.
//
// Success is 200 exactly, and an error is never 2xx: the clients that the API
// is made for read the status and nothing else.
//
// The package needs no IAM actions.
package api

import (
	"compress/gzip"
	"log/slog"
	"net/http"
	"strings"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/keys"
)

// Config is what an API is made of.
type Config struct {
	// Service does the work.
	Service *dataset.Service

	// Rejections are those of the inbox. Only the endpoints that are about them need
	// it.
	Rejections *ingest.Rejections

	// Principal says who a request comes from: behind API Gateway from what the
	// authorizer found, locally from the Authorization header. Its errors are
	// rendered like any other.
	Principal func(*http.Request) (keys.Principal, error)

	// Log gets a line for every request, and the text of internal errors.
	Log *slog.Logger

	// AllowOrigin is the origin whose pages may call the API from a browser, "*" for
	// all, or "" for none.
	AllowOrigin string

	// Measure says what else to log of a request, for whom the log is the source of
	// metrics. nil means nothing.
	Measure func(Served) []slog.Attr

	// InlineLimit is the largest file or range, in bytes, that a download answers
	// with itself unless it is told how; more is answered by a redirect to a
	// presigned URL. 0 means no limit.
	InlineLimit int64

	// StreamLimit is the largest file or range, in bytes, that a download answers
	// with itself when it is told to. 0 means no limit.
	StreamLimit int64

	// ResponseLimit bounds the bytes of a listing as they are sent, compressed if
	// they are. One that is longer ends early and names a cursor. 0 means no bound:
	// listings are streamed.
	ResponseLimit int

	// UploadLimit is the largest body of an upload, in bytes; 0 means no limit.
	UploadLimit int64

	// UploadsAtOnce bounds how many uploads are read at the same time, and with
	// them the memory that their parts are held in; the others wait for their
	// turn, and one tenant takes three quarters of them at most. 0 means no bound.
	UploadsAtOnce int
}

// API serves the endpoints of one Config.
type API struct {
	Config
	uploads     *turns
	compressors chan *gzip.Writer // that no listing uses
}

// New returns an API.
func New(c Config) *API {
	return &API{Config: c, uploads: newTurns(c.UploadsAtOnce), compressors: newCompressors()}
}

// Endpoint is one endpoint of the API, and one Lambda function.
type Endpoint struct {
	Name    string   // its path without the slash, and its folder under functions/
	Stage   string   // the same under the older name, or ""
	Methods []string // what it takes
	serve   func(*API, http.ResponseWriter, *request) error
}

// sdkPrefix is the base path for clients that read a list of files as names.
const sdkPrefix = "/sdk"

// Endpoints lists every endpoint. Who names it links them all: a function names
// its own one.
func Endpoints() []Endpoint {
	return []Endpoint{
		TryAuthentication(),
		GetQuotas(),
		CreateDataset(),
		ListDatasets(),
		GetDataset(),
		UpdateDataset(),
		DeleteDataset(),
		UploadToDataset(),
		ListDatasetFiles(),
		DownloadFromDataset(),
		DeleteDatasetFile(),
		VerifyDataset(),
		CreateUpload(),
		GetUpload(),
		CompleteUpload(),
		AbortUpload(),
		ListUploads(),
		AppendFiles(),
		CreateAsset(),
		CreateAssetVersion(),
		DownloadAsset(),
		GetAssetMetadata(),
		SetAssetMetadata(),
		ListAssets(),
		ListAssetVersions(),
		DeleteAsset(),
		ListRejections(),
		RetryRejection(),
		DeleteRejection(),
	}
}

// Paths are the paths that an endpoint is served under.
func (e Endpoint) Paths() []string {
	paths := []string{"/" + e.Name, sdkPrefix + "/" + e.Name}
	if e.Stage != "" {
		paths = append(paths, "/"+e.Stage, sdkPrefix+"/"+e.Stage)
	}
	return paths
}

// dialect is what a path says about the words of an answer.
type dialect struct {
	stages    bool // the older name of datasets
	fileNames bool // a list of files is a list of their names
}

// route is a path of an endpoint.
type route struct {
	endpoint Endpoint
	dialect  dialect
}

// Handler serves all endpoints.
func (a *API) Handler() http.Handler { return a.serveRoutes(Endpoints()) }

// Endpoint serves one endpoint under all of its paths.
func (a *API) Endpoint(e Endpoint) http.Handler { return a.serveRoutes([]Endpoint{e}) }

func (a *API) serveRoutes(endpoints []Endpoint) http.Handler {
	routes := make(map[string]route)
	for _, e := range endpoints {
		for _, path := range e.Paths() {
			stages := e.Stage != "" && strings.HasSuffix(path, e.Stage)
			listsNames := strings.HasPrefix(path, sdkPrefix+"/") || stages
			routes[path] = route{e, dialect{stages: stages, fileNames: listsNames}}
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, ok := routes[cleanPath(r.URL.Path)]
		if !ok {
			found = route{endpoint: unknownRoute(endpoints)}
		}
		a.serve(w, r, found)
	})
}

// cleanPath drops empty segments. One of the clients sends "//create-stage"
// when its base URL ends in a slash; answering it with a redirect, as
// http.ServeMux does, would turn its POST into a GET.
func cleanPath(path string) string {
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	return "/" + strings.Join(segments, "/")
}
