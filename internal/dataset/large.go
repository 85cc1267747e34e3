package dataset

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// PartURLsFor is how long the URL of a part takes it. It bounds the start of the
// transfer, not its length.
const PartURLsFor = 15 * time.Minute

// NewUpload is what a caller says of a large file before it sends it.
type NewUpload struct {
	DatasetID string
	FileName  string
	SizeBytes int64
	Checksum  string // CRC-64/NVME in base64, or ""
	PartSize  int64  // 0 to have one chosen
	Footer    []byte // the file's last bytes, or nil
	SinglePut bool   // the caller can send headers with its PUT, so a file of one part may come as one
}

// PartURL is where one part goes.
type PartURL struct {
	Number    int
	Offset    int64 // in the file
	SizeBytes int64
	URL       string
	Headers   map[string]string // that have to be sent with it, if any
}

// UploadView is an upload with a stretch of its parts.
type UploadView struct {
	Upload
	Arrived    []Part    // of the stretch
	URLs       []PartURL // of the stretch; none unless the upload is open
	URLsExpire time.Time
	Next       int  // the part after the stretch, or 0 at the end
	Replayed   bool // an earlier request with the same Idempotency-Key created it
}

// operation names a new upload as a request, with all that the caller says of it but
// for the footer, and for what the caller can do.
func (n NewUpload) operation(name string, more ...string) []string {
	return append([]string{name, n.DatasetID, n.FileName, strconv.FormatInt(n.SizeBytes, 10), n.Checksum, strconv.FormatInt(n.PartSize, 10)}, more...)
}

// CreateUpload begins a large file: it checks what can be known before any byte
// of it moves, and answers where the first parts go, up to limit of them.
// Errors: CodeForbidden, CodeInvalidFileName, CodeInvalidRequest,
// CodeRequestTooLarge, CodeDatasetNotFound, CodeFileExists,
// CodeIdempotencyKeyReused, CodeStorageFull; of a footer those of footer.Read and
// CodeSchemaMismatch.
func (s *Service) CreateUpload(ctx context.Context, who keys.Principal, n NewUpload, limit int, idempotencyKey string) (UploadView, error) {
	return s.createUpload(ctx, who, n, nil, limit, idempotency(idempotencyKey, n.operation("create upload")...))
}

// createUpload is CreateUpload for a file of which something may be said.
func (s *Service) createUpload(ctx context.Context, who keys.Principal, n NewUpload, draft *asset.Draft, limit int, idem Idempotency) (UploadView, error) {
	if err := s.mayAppend(who, n.DatasetID, n.FileName); err != nil {
		return UploadView{}, err
	}
	if err := checkShortest(n.SizeBytes); err != nil {
		return UploadView{}, err
	}
	return s.begin(ctx, who, n, draft, limit, idem, func() error {
		if err := s.preflight(ctx, who, n); err != nil || draft == nil {
			return err
		}
		return s.aliasFree(ctx, who, draft.Owner, draft.Info.Alias)
	})
}

// begin creates an upload, unless the key of its request did so before. preflight
// refuses what can't become of it, as far as that can be known.
func (s *Service) begin(ctx context.Context, who keys.Principal, n NewUpload, draft *asset.Draft, limit int, idem Idempotency, preflight func() error) (UploadView, error) {
	partSize, err := n.check()
	if err != nil {
		return UploadView{}, err
	}
	if idem.Key != "" {
		switch earlier, err := s.uploads.CreatedUpload(ctx, who.Tenant, idem); {
		case err == nil:
			if err := s.hasPlace(ctx, who, earlier); err != nil {
				return UploadView{}, err
			}
			return s.created(ctx, earlier, limit, true)
		case !fault.Is(err, fault.CodeUploadNotFound):
			return UploadView{}, err
		}
	}
	if err := preflight(); err != nil {
		return UploadView{}, err
	}
	u, err := s.beginParts(ctx, who, n, draft, partSize)
	if err != nil {
		return UploadView{}, err
	}
	created, err := s.uploads.CreateUpload(ctx, who.Tenant, u, idem)
	if err != nil {
		if nothingChanged(err) {
			s.dropParts(ctx, u)
		}
		return UploadView{}, fmt.Errorf("creating %s: %w", u.ID, err)
	}
	if created.ID != u.ID {
		s.dropParts(ctx, u)
	}
	return s.created(ctx, created, limit, created.ID != u.ID)
}

func (s *Service) created(ctx context.Context, u Upload, limit int, replayed bool) (UploadView, error) {
	view := UploadView{Upload: u, Replayed: replayed}
	err := s.addURLs(ctx, &view, 1, limit)
	return view, err
}

// check sees that a file could be taken at all, and returns the size of its parts.
func (n NewUpload) check() (partSize int64, err error) {
	if n.SizeBytes > MaxUploadBytes {
		return 0, fault.New(fault.CodeRequestTooLarge, "The file is larger than 5 TiB, the most that can be stored as one.",
			"Split it into several files.").With("limit_bytes", int64(MaxUploadBytes))
	}
	if err := CheckChecksum(n.Checksum); err != nil {
		return 0, err
	}
	return choosePartSize(n.SizeBytes, n.PartSize)
}

// CheckChecksum refuses what is no CRC-64/NVME in base64; "" passes. Texts are
// compared and sent on, so there is one text for each sum: decoding alone would
// pass line breaks, and bits behind the last byte.
func CheckChecksum(text string) error {
	sum, err := base64.StdEncoding.DecodeString(text)
	if text != "" && (err != nil || len(sum) != 8 || base64.StdEncoding.EncodeToString(sum) != text) {
		return fault.New(fault.CodeInvalidRequest, "The field \"checksum\" is not a CRC-64/NVME.",
			"Send the 8 bytes, most significant first, in base64 with padding, as S3 writes them; or leave the field out.")
	}
	return nil
}

func (s *Service) beginParts(ctx context.Context, who keys.Principal, n NewUpload, draft *asset.Draft, partSize int64) (Upload, error) {
	id, err := newID(uploadIDPrefix)
	if err != nil {
		return Upload{}, err
	}
	fileID := FileIDOf(id)
	now := s.now().UTC().Truncate(time.Microsecond)
	u := Upload{
		ID: id, DatasetID: n.DatasetID, FileID: fileID, FileName: n.FileName, SizeBytes: n.SizeBytes, PartSize: partSize,
		Checksum: n.Checksum, ObjectKey: FileKey(who.Tenant, fileID), State: UploadOpen, CreatedAt: now, ExpiresAt: now.Add(UploadLifetime),
	}
	if draft != nil {
		own := *draft
		if own.AssetID == "" {
			own.AssetID = fileID
		}
		u.Asset = &own
	}
	if n.SinglePut && u.PartCount() == 1 {
		return u, nil
	}
	u.PartsID, err = s.parts.CreateParts(ctx, u.ObjectKey)
	return u, err
}

// dropParts throws the parts of an upload away that no catalog knows. When that
// fails the sweeper does it.
func (s *Service) dropParts(ctx context.Context, u Upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	_ = s.parts.AbortParts(ctx, u.ObjectKey, u.PartsID) // see above
}

// Upload returns an upload with the parts from one on, up to limit of them:
// which have arrived, and where they go.
// Errors: CodeForbidden, CodeUploadNotFound, CodeDatasetNotFound,
// CodeInvalidRequest.
func (s *Service) Upload(ctx context.Context, who keys.Principal, id string, from, limit int) (UploadView, error) {
	u, err := s.findUpload(ctx, who, keys.ScopeWrite, id)
	if err != nil {
		return UploadView{}, err
	}
	view := UploadView{Upload: u}
	if u.State != UploadOpen || u.Expired(s.now()) {
		return view, nil
	}
	if from > u.PartCount() {
		return UploadView{}, fault.Newf(fault.CodeInvalidRequest, "Parts count from 1.", "The upload has %d parts, and none with the number %d.", u.PartCount(), from)
	}
	arrived, err := s.arrived(ctx, u, from-1, limit)
	if err != nil && !fault.Is(err, fault.CodeUploadNotFound) { // completed a moment ago, or by a request whose answer was lost
		return UploadView{}, fmt.Errorf("listing the parts of %s: %w", id, err)
	}
	for _, p := range arrived {
		if p.Number < from+limit {
			view.Arrived = append(view.Arrived, p)
		}
	}
	return view, s.addURLs(ctx, &view, from, limit)
}

// arrived is Parts.ListParts for an upload that may come as one: what is stored of
// it is its one part then.
func (s *Service) arrived(ctx context.Context, u Upload, after, limit int) ([]Part, error) {
	if !u.Whole() {
		return s.parts.ListParts(ctx, u.ObjectKey, u.PartsID, after, limit)
	}
	stored, err := s.parts.Joined(ctx, u.ObjectKey)
	if fault.Is(err, fault.CodeFileNotFound) {
		return nil, nil
	}
	return []Part{{Number: 1, SizeBytes: stored.SizeBytes, CRC64NVME: stored.CRC64NVME}}, err
}

// addURLs signs where a stretch of an open upload's parts goes.
func (s *Service) addURLs(ctx context.Context, view *UploadView, from, limit int) error {
	now := s.now()
	if view.State != UploadOpen || view.Upload.Expired(now) {
		return nil
	}
	view.URLsExpire = now.UTC().Add(PartURLsFor).Truncate(time.Second)
	end := min(from+limit, view.PartCount()+1)
	for number := from; number < end; number++ {
		part := PartURL{Number: number, Offset: view.PartOffset(number), SizeBytes: view.PartBytes(number)}
		if err := s.presign(ctx, view.Upload, &part); err != nil {
			return fmt.Errorf("presigning part %d of %s: %w", number, view.ID, err)
		}
		view.URLs = append(view.URLs, part)
	}
	if end <= view.PartCount() {
		view.Next = end
	}
	return nil
}

func (s *Service) presign(ctx context.Context, u Upload, part *PartURL) (err error) {
	if u.Whole() {
		part.URL, part.Headers, err = s.parts.PresignWhole(ctx, u.ObjectKey, part.SizeBytes, PartURLsFor)
		return err
	}
	part.URL, err = s.parts.PresignPart(ctx, u.ObjectKey, u.PartsID, part.Number, part.SizeBytes, PartURLsFor)
	return err
}

// StateOf is the state of an upload as people are told it.
func (s *Service) StateOf(u Upload) UploadState {
	if u.Expired(s.now()) {
		return UploadExpired
	}
	return u.State
}

// findUpload returns an upload that the caller may see. One of a dataset that the key
// does not reach looks like one that is not there.
// Errors: CodeForbidden; CodeUploadNotFound; CodeDatasetNotFound when the dataset
// was deleted and the upload is still to be removed.
func (s *Service) findUpload(ctx context.Context, who keys.Principal, scope keys.Scope, id string) (Upload, error) {
	if err := authorize(who, scope, ""); err != nil {
		return Upload{}, err
	}
	if !ValidUploadID(id) {
		return Upload{}, ErrUploadNotFound(id)
	}
	u, err := s.uploads.Upload(ctx, who.Tenant, id)
	if err == nil && !reachesUpload(who, u) {
		return Upload{}, ErrUploadNotFound(id)
	}
	if err == nil {
		err = s.hasPlace(ctx, who, u)
	}
	return u, err
}

// reachesUpload reports whether a key may see an upload.
func reachesUpload(who keys.Principal, u Upload) bool {
	if u.OutsideDatasets() {
		return u.Asset != nil && reachesOwner(who, u.Asset.Owner)
	}
	return who.Reaches(u.DatasetID)
}

// hasPlace sees that the dataset of an upload is there. Outside datasets there is
// nothing to see: only the commit decides.
// Errors: CodeDatasetNotFound.
func (s *Service) hasPlace(ctx context.Context, who keys.Principal, u Upload) error {
	if u.OutsideDatasets() {
		return nil
	}
	return s.catalog.Exists(ctx, who.Tenant, u.DatasetID)
}

// Uploads returns a page of the uploads that the key reaches, of one dataset or
// of all, newest first. A page may be empty and still have a next one.
// Errors: CodeForbidden, CodeDatasetNotFound.
func (s *Service) Uploads(ctx context.Context, who keys.Principal, datasetID, after string, limit int) (UploadPage, error) {
	if err := authorize(who, keys.ScopeRead, datasetID); err != nil {
		return UploadPage{}, err
	}
	if datasetID != "" {
		if _, err := s.catalog.Dataset(ctx, who.Tenant, datasetID); err != nil {
			return UploadPage{}, err
		}
	}
	page, err := s.uploads.ListUploads(ctx, who.Tenant, datasetID, after, limit)
	if err != nil {
		return UploadPage{}, err
	}
	reached := page.Uploads[:0]
	for _, u := range page.Uploads {
		if reachesUpload(who, u) {
			reached = append(reached, u)
		}
	}
	page.Uploads = reached
	return page, nil
}

// AbortUpload gives an upload up and removes its bytes. The catalog's claim comes
// first: from then on no append can list them. It may be repeated, as it has to
// be when the removal fails.
// Errors: CodeForbidden, CodeUploadNotFound, CodeDatasetNotFound,
// CodeUploadClosed.
func (s *Service) AbortUpload(ctx context.Context, who keys.Principal, id string) (Upload, error) {
	if _, err := s.findUpload(ctx, who, keys.ScopeWrite, id); err != nil {
		return Upload{}, err
	}
	u, err := s.uploads.AbortUpload(ctx, who.Tenant, id)
	if err != nil {
		return Upload{}, fmt.Errorf("aborting %s: %w", id, err)
	}
	return u, s.removeAborted(ctx, u)
}

// removeAborted removes what an upload holds that was claimed by an abort, even
// when the caller has gone. The parts go first, since completing them would bring
// the object back.
func (s *Service) removeAborted(ctx context.Context, u Upload) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	if err := s.parts.AbortParts(ctx, u.ObjectKey, u.PartsID); err != nil {
		return fmt.Errorf("removing the parts of %s: %w", u.ID, err)
	}
	if err := s.objects.Delete(ctx, u.ObjectKey); err != nil {
		return fmt.Errorf("removing the object of %s: %w", u.ID, err)
	}
	return nil
}
