package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// Service is what callers can do with datasets. Every method takes who is
// asking, and that is the only place where a tenant comes from.
type Service struct {
	catalog Catalog
	objects Objects
	uploads Uploads // nil, as is parts, where nothing is uploaded in parts
	assets  Assets  // nil where there are none
	parts   Parts
	now     func() time.Time
	deleted func() // called when there is something to purge
}

// Option changes how a Service works.
type Option func(*Service)

// WithUploads lets a service take large files in parts. parts may be nil where
// uploads are only looked at or appended.
func WithUploads(uploads Uploads, parts Parts) Option {
	return func(s *Service) { s.uploads, s.parts = uploads, parts }
}

// WithAssets lets a service take files of any format outside datasets, and say things of
// files.
func WithAssets(assets Assets) Option { return func(s *Service) { s.assets = assets } }

// WithClock gives the service another clock than time.Now.
func WithClock(now func() time.Time) Option { return func(s *Service) { s.now = now } }

// WithPurge has a service call something whenever it deleted a dataset: it is
// not waited for, and has a Purger go to work.
func WithPurge(purge func()) Option { return func(s *Service) { s.deleted = purge } }

// NewService returns a service over a catalog and an object store. objects may
// be nil where no bytes move, as in a function that only lists.
func NewService(catalog Catalog, objects Objects, options ...Option) *Service {
	s := &Service{catalog: catalog, objects: objects, now: time.Now, deleted: func() {}}
	for _, o := range options {
		o(s)
	}
	return s
}

// authorize is the one place that decides whether a caller may do something to
// a dataset. A dataset that the key does not reach looks like one that is not there.
func authorize(who keys.Principal, scope keys.Scope, datasetID string) error {
	if !who.Has(scope) {
		return fault.Newf(fault.CodeForbidden, "Use a key with that scope; an operator makes one with `parqueue keys create`.",
			"This key lacks the scope %q.", scope)
	}
	if datasetID != "" && (!ValidID(datasetID) || !who.Reaches(datasetID)) {
		return ErrDatasetNotFound()
	}
	return nil
}

// MayWrite tells a caller who may not write before anything is spent on its
// request.
// Errors: CodeForbidden.
func (s *Service) MayWrite(who keys.Principal) error { return authorize(who, keys.ScopeWrite, "") }

// ValidID reports whether a dataset can have an id. It keeps everything else away
// from the catalog.
func ValidID(id string) bool {
	return validID(id, datasetIDPrefix)
}

// ValidUploadID reports whether an upload can have an id.
func ValidUploadID(id string) bool { return validID(id, uploadIDPrefix) }

func validID(id, prefix string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	return ok && len(rest) == 36 && uuid.Validate(rest) == nil && strings.ToLower(rest) == rest
}

const (
	datasetIDPrefix  = "dataset-"
	fileIDPrefix     = "file-"
	deletionIDPrefix = "deletion-"
	uploadIDPrefix   = "upload-"
)

// newID returns a prefix and a UUIDv7, so that ids sort by the time of their making.
func newID(prefix string) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fault.Internal("making an id", err)
	}
	return prefix + id.String(), nil
}

// NewDataset is what a caller says of a dataset that it creates. All of it may be
// empty.
type NewDataset struct {
	Name        string
	Metadata    json.RawMessage // a JSON object
	IngestOrder IngestOrder
}

// Create adds an empty dataset.
// Errors: CodeForbidden, CodeInvalidName, CodeInvalidMetadata, CodeIdempotencyKeyReused.
func (s *Service) Create(ctx context.Context, who keys.Principal, n NewDataset, idempotencyKey string) (Dataset, error) {
	if err := authorize(who, keys.ScopeWrite, ""); err != nil {
		return Dataset{}, err
	}
	if len(who.Datasets) > 0 {
		return Dataset{}, fault.New(fault.CodeForbidden, "This key is limited to certain datasets, so it can't create one.",
			"Use a key that reaches all of the tenant's datasets.")
	}
	if err := checkDatasetName(n.Name); err != nil {
		return Dataset{}, err
	}
	metadata, err := checkMetadata(n.Metadata)
	if err != nil {
		return Dataset{}, err
	}
	id, err := newID(datasetIDPrefix)
	if err != nil {
		return Dataset{}, err
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	d := Dataset{ID: id, Name: n.Name, Metadata: metadata, IngestOrder: n.IngestOrder, CreatedAt: now, UpdatedAt: now}
	operation := []string{"create", n.Name, string(metadata)}
	if n.IngestOrder != IngestArrival {
		operation = append(operation, "ingest order", n.IngestOrder.String())
	}
	idem := idempotency(idempotencyKey, operation...)
	created, err := s.catalog.CreateDataset(ctx, who.Tenant, d, idem)
	if err != nil {
		return Dataset{}, fmt.Errorf("creating a dataset: %w", err)
	}
	return created, nil
}

// Dataset returns one dataset.
// Errors: CodeForbidden, CodeDatasetNotFound.
func (s *Service) Dataset(ctx context.Context, who keys.Principal, id string, scope keys.Scope) (Dataset, error) {
	if err := authorize(who, scope, id); err != nil {
		return Dataset{}, err
	}
	return s.catalog.Dataset(ctx, who.Tenant, id)
}

// Datasets returns a page of the datasets that the key reaches, newest first.
// A page may be empty and still have a next one.
// Errors: CodeForbidden.
func (s *Service) Datasets(ctx context.Context, who keys.Principal, after string, limit int) (DatasetPage, error) {
	if err := authorize(who, keys.ScopeRead, ""); err != nil {
		return DatasetPage{}, err
	}
	page, err := s.catalog.Datasets(ctx, who.Tenant, after, limit)
	if err != nil {
		return DatasetPage{}, err
	}
	reached := page.Datasets[:0]
	for _, d := range page.Datasets {
		if who.Reaches(d.ID) {
			reached = append(reached, d)
		}
	}
	page.Datasets = reached
	return page, nil
}

// Files returns a page of a dataset's files, in order.
// Errors: CodeForbidden, CodeDatasetNotFound.
func (s *Service) Files(ctx context.Context, who keys.Principal, datasetID string, from int64, limit int) (FilePage, error) {
	if err := authorize(who, keys.ScopeRead, datasetID); err != nil {
		return FilePage{}, err
	}
	return s.catalog.Files(ctx, who.Tenant, datasetID, from, limit)
}

// idempotency ties a caller's key to the request that it came with. A key of
// one operation is another request in any other.
func idempotency(key string, operation ...string) Idempotency {
	if key == "" {
		return Idempotency{}
	}
	sum := sha256.New()
	for _, part := range operation {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return Idempotency{Key: key, Fingerprint: hex.EncodeToString(sum.Sum(nil))}
}
