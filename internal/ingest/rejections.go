package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// Rejection is an object of the inbox that no dataset could take.
type Rejection struct {
	ID         string // where it is under rejected/
	DatasetID  string // "" where its key named none
	FileName   string // "" where its key had none
	ObjectKey  string // in the inbox, before it was rejected
	SizeBytes  int64
	RejectedAt time.Time
	Error      map[string]any // in the API's shape

	put string // whose reason is beside it
}

// RejectionPage is a part of the rejections, in the order of their ids.
type RejectionPage struct {
	Rejections []Rejection
	Next       string // the id to continue after, or "" at the end
}

// Rejections shows the rejected objects of an inbox and has them tried again. All
// others than the tenant that owns the inbox have none. Every method may be
// repeated.
type Rejections struct {
	tenant string
	inbox  dataset.Inbox
}

// NewRejections returns the rejections of a tenant's inbox.
func NewRejections(tenant string, inbox dataset.Inbox) *Rejections {
	return &Rejections{tenant: tenant, inbox: inbox}
}

const (
	listedAtOnce  = 500 // objects of the inbox, of which about half are reasons
	reasonsAtOnce = 16
)

// List returns up to limit rejections, of one dataset or of all that the key
// reaches, that come after the one with the id in after ("" for the first page).
// Errors: CodeForbidden, CodeDatasetNotFound for an id that no dataset has.
func (r *Rejections) List(ctx context.Context, who keys.Principal, datasetID, after string, limit int) (RejectionPage, error) {
	if err := mayRead(who, datasetID); err != nil || who.Tenant != r.tenant {
		return RejectionPage{}, err
	}
	var page RejectionPage
	for _, prefix := range prefixes(who, datasetID) {
		full, err := r.listUnder(ctx, &page, prefix, RejectedPrefix+after, limit)
		if err != nil {
			return RejectionPage{}, fmt.Errorf("listing rejections: %w", err)
		}
		if full {
			page.Next = page.Rejections[limit-1].ID
			break
		}
	}
	return page, r.addReasons(ctx, page.Rejections)
}

func mayRead(who keys.Principal, datasetID string) error {
	switch {
	case !who.Has(keys.ScopeRead):
		return errScope(keys.ScopeRead)
	case datasetID != "" && (!dataset.IDCanExist(datasetID) || !who.Reaches(datasetID)):
		return dataset.ErrDatasetNotFound()
	}
	return nil
}

func errScope(scope keys.Scope) error {
	return fault.Newf(fault.CodeForbidden, "Use a key with that scope; an operator makes one with `parqueue keys create`.",
		"This key lacks the scope %q.", scope)
}

// prefixes are the folders that hold what a key reaches, in order.
func prefixes(who keys.Principal, datasetID string) []string {
	reached := who.Datasets
	if datasetID != "" {
		reached = []string{datasetID}
	}
	if len(reached) == 0 {
		return []string{RejectedPrefix}
	}
	var folders []string
	for _, id := range slices.Sorted(slices.Values(reached)) {
		folders = append(folders, RejectedPrefix+id+"/")
	}
	return slices.Compact(folders)
}

// listUnder adds what is under a prefix behind a key to a page, and reports
// whether the page is full and more follows.
func (r *Rejections) listUnder(ctx context.Context, page *RejectionPage, prefix, after string, limit int) (full bool, err error) {
	for more := true; more; {
		var objects []dataset.Listed
		if objects, more, err = r.inbox.List(ctx, prefix, after, listedAtOnce); err != nil {
			return false, err
		}
		for _, o := range objects {
			after = o.Key
			if strings.HasSuffix(o.Key, errorSuffix) || strings.HasSuffix(o.Key, "/") {
				continue
			}
			if len(page.Rejections) == limit {
				return true, nil
			}
			page.Rejections = append(page.Rejections, rejectionAt(o))
		}
		more = more && len(objects) > 0
	}
	return false, nil
}

// rejectionAt is a rejected object as far as its key tells.
func rejectionAt(o dataset.Listed) Rejection {
	id := strings.TrimPrefix(o.Key, RejectedPrefix)
	rejection := Rejection{ID: id, ObjectKey: IncomingPrefix + id, SizeBytes: o.SizeBytes, RejectedAt: o.ModifiedAt}
	if datasetID, name, ok := strings.Cut(id, "/"); ok && datasetID != elsewhere {
		rejection.DatasetID, rejection.FileName = datasetID, name
	}
	return rejection
}

// addReasons reads why objects were rejected.
func (r *Rejections) addReasons(ctx context.Context, rejections []Rejection) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reasonsAtOnce)
	for n := range rejections {
		group.Go(func() error { return r.addReason(ctx, &rejections[n]) })
	}
	return group.Wait()
}

func (r *Rejections) addReason(ctx context.Context, rejection *Rejection) error {
	about, body, err := readReason(ctx, r.inbox, RejectedPrefix+rejection.ID)
	if err != nil && !fault.Is(err, fault.CodeFileNotFound) && !replaced(err) {
		return fmt.Errorf("reading why an object was rejected: %w", err)
	}
	rejection.put = about.PutID
	if err != nil || !strings.HasPrefix(about.ObjectKey, IncomingPrefix) {
		rejection.Error = fault.New(fault.CodeInternal, "Why the object was rejected is not known any more.", "Retry it to find out.").Body()
		return nil
	}
	rejection.ObjectKey, rejection.RejectedAt = about.ObjectKey, about.RejectedAt
	rejection.DatasetID, rejection.FileName = about.DatasetID, about.FileName
	for _, own := range []string{"put_id", "object_key", "dataset_id", "file_name", "size_bytes", "rejected_at"} {
		delete(body, own)
	}
	rejection.Error = body
	return nil
}

// Retry moves a rejected object back to where it was put, which is a new put of
// it.
// Errors: CodeForbidden, CodeRejectionNotFound; CodeFileExists when something else
// was put there meanwhile.
func (r *Rejections) Retry(ctx context.Context, who keys.Principal, id string) (Rejection, error) {
	rejection, o, err := r.find(ctx, who, id)
	if err != nil {
		return Rejection{}, err
	}
	switch _, err := r.inbox.Stat(ctx, rejection.ObjectKey); {
	case err == nil:
		return Rejection{}, errInTheWay(rejection)
	case !fault.Is(err, fault.CodeFileNotFound):
		return Rejection{}, fmt.Errorf("retrying a rejection: %w", err)
	}
	switch err := r.inbox.Move(ctx, o, rejection.ObjectKey); {
	case fault.Is(err, fault.CodeConflict) && !replaced(err):
		return Rejection{}, errInTheWay(rejection)
	case err != nil:
		return Rejection{}, fmt.Errorf("retrying a rejection: %w", unfound(err, id))
	}
	return rejection, dropReason(ctx, r.inbox, o.Key, rejection.put)
}

func errInTheWay(rejection Rejection) error {
	return fault.New(fault.CodeFileExists, "Another object was put there meanwhile, and is about to be ingested.",
		"Nothing was moved. Try again when it has left the inbox.").With("object_key", rejection.ObjectKey)
}

// Delete removes a rejected object for good, with its reason.
// Errors: CodeForbidden, CodeRejectionNotFound.
func (r *Rejections) Delete(ctx context.Context, who keys.Principal, id string) (Rejection, error) {
	rejection, o, err := r.find(ctx, who, id)
	if err != nil {
		return Rejection{}, err
	}
	if err := r.inbox.Delete(ctx, o); err != nil {
		return Rejection{}, fmt.Errorf("deleting a rejection: %w", err)
	}
	return rejection, dropReason(ctx, r.inbox, o.Key, rejection.put)
}

// find finds a rejection that a key reaches. A reason alone is none, and stays:
// what it is about may just be coming there.
func (r *Rejections) find(ctx context.Context, who keys.Principal, id string) (Rejection, dataset.InboxObject, error) {
	none := dataset.InboxObject{}
	if !who.Has(keys.ScopeWrite) {
		return Rejection{}, none, errScope(keys.ScopeWrite)
	}
	folder, _, _ := strings.Cut(id, "/")
	if who.Tenant != r.tenant || len(who.Datasets) > 0 && !slices.Contains(who.Datasets, folder) || !canBeRejection(id) {
		return Rejection{}, none, errRejectionNotFound(id)
	}
	o, err := r.inbox.Stat(ctx, RejectedPrefix+id)
	if fault.Is(err, fault.CodeFileNotFound) {
		return Rejection{}, none, errRejectionNotFound(id)
	}
	if err != nil {
		return Rejection{}, none, fmt.Errorf("finding a rejection: %w", err)
	}
	rejection := rejectionAt(dataset.Listed{Key: o.Key, SizeBytes: o.SizeBytes, ModifiedAt: o.ModifiedAt})
	return rejection, o, r.addReason(ctx, &rejection)
}

// maxID is what is left of the longest key.
const maxID = 1024 - len(RejectedPrefix)

// canBeRejection keeps ids away from the inbox that no rejection has.
func canBeRejection(id string) bool {
	folder, name, ok := strings.Cut(id, "/")
	return ok && len(id) <= maxID && (folder == elsewhere || dataset.IDCanExist(folder)) && dataset.NameCanExist(name) &&
		!strings.Contains(name, "/") && name != "." && name != ".." && !strings.HasSuffix(name, errorSuffix)
}

func unfound(err error, id string) error {
	if fault.Is(err, fault.CodeFileNotFound) {
		return errRejectionNotFound(id)
	}
	return err
}

func errRejectionNotFound(id string) error {
	return fault.New(fault.CodeRejectionNotFound, "Rejection not found",
		"Check the rejection_id; list-rejections shows those that there are.").With("rejection_id", clipped(id))
}
