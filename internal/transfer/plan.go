package transfer

import (
	"context"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/parqueue/parqueue/internal/checksum"
	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// UploadRequest says what to upload.
type UploadRequest struct {
	// TransferID is a UUID that the transfer is to have; "" makes one, or is the
	// one of an interrupted transfer that goes on.
	TransferID string

	DatasetID string
	Paths     []string // files, folders, patterns
	Order     string   // one of the orders, or a file that lists the names; "" is OrderName
	// AnyOrder lets files come behind ones of the same upload that are in the
	// dataset already and were to come after them.
	AnyOrder bool
}

// What is to be done with a file.
const (
	ActionUpload = "upload"
	ActionSkip   = "skip" // the dataset has it: the same name, size and checksum
)

// PlannedFile is a file of an upload, in its order.
type PlannedFile struct {
	Path      string `json:"path"`
	Name      string `json:"file_name"`
	SizeBytes int64  `json:"size_bytes"`
	RowCount  int64  `json:"row_count"`
	Action    string `json:"action"`
	Position  *int64 `json:"position,omitempty"` // of a file that is there
	source    identity
}

// UploadPlan is an upload whose files have all been checked.
type UploadPlan struct {
	DatasetID string        `json:"dataset_id"`
	Files     []PlannedFile `json:"files"`
	Count     int           `json:"upload_count"` // files to send
	Bytes     int64         `json:"upload_bytes"`
	Rows      int64         `json:"upload_rows"`
	Ignored   int           `json:"ignored_count"` // files in folders that are no Parquet by their names

	transferID string
}

// PlanUpload finds the files, checks every footer and compares with what the
// dataset has. It changes nothing and sends none of the bytes.
// Errors: those of client.Dataset; one error for everything that is wrong with
// files, see Problem; CodeInvalidRequest for an order that can't be.
func (e *Engine) PlanUpload(ctx context.Context, r UploadRequest) (*UploadPlan, error) {
	order, err := parseOrder(r.Order)
	if err != nil {
		return nil, err
	}
	d, err := e.client.Dataset(ctx, r.DatasetID)
	if err != nil {
		return nil, err
	}
	found, err := find(ctx, r.Paths)
	if err != nil {
		return nil, err
	}
	all := len(found.files) + len(found.problems)
	found.checkNames()
	rows, problems, err := checkFooters(ctx, found.files, schemaOf(d))
	if err != nil {
		return nil, err
	}
	problems = append(found.problems, problems...)
	if err := refuse(problems, all, "can't be uploaded"); err != nil {
		return nil, err
	}
	for i := range found.files {
		found.files[i].rows = rows[i]
	}
	if err := found.sort(order); err != nil {
		return nil, err
	}
	plan := &UploadPlan{transferID: r.TransferID, DatasetID: r.DatasetID, Ignored: found.ignored, Files: make([]PlannedFile, len(found.files))}
	for i, f := range found.files {
		plan.Files[i] = PlannedFile{Path: f.Path, Name: f.name, SizeBytes: f.Size, RowCount: f.rows, Action: ActionUpload, source: f.identity}
	}
	if err := e.compare(ctx, plan, d); err != nil {
		return nil, err
	}
	if !r.AnyOrder {
		if err := plan.checkOrder(); err != nil {
			return nil, err
		}
	}
	plan.sum()
	return plan, nil
}

// schemaOf is the dataset's schema, or nil before its first file.
func schemaOf(d client.Dataset) *schema.Schema {
	if d.NextPosition == 0 {
		return nil
	}
	return &d.Schema
}

func (p *UploadPlan) sum() {
	for _, f := range p.Files {
		if f.Action == ActionUpload {
			p.Count++
			p.Bytes += f.SizeBytes
			p.Rows += f.RowCount
		}
	}
}

// compare finds which files the dataset has already.
func (e *Engine) compare(ctx context.Context, plan *UploadPlan, d client.Dataset) error {
	if d.FileCount == 0 {
		return nil
	}
	byName := make(map[string]int, len(plan.Files))
	for i, f := range plan.Files {
		byName[f.Name] = i
	}
	wrong := map[int]Problem{}
	for f, err := range e.client.Files(ctx, plan.DatasetID) {
		if err != nil {
			return err
		}
		i, ok := byName[f.Name]
		if !ok {
			continue
		}
		same, err := sameFile(ctx, plan.Files[i].source, f)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			wrong[i] = problemOf(plan.Files[i].Path, err)
		case !same:
			wrong[i] = Problem{Path: plan.Files[i].Path, Code: fault.CodeFileExists,
				Message: "The dataset has another file with this name.", Hint: "Rename the file, or take the other one out with `parqueue datasets delete-file`."}
		default:
			at := f.Position // a copy, or the whole row would be kept
			plan.Files[i].Action, plan.Files[i].Position = ActionSkip, &at
		}
	}
	var problems []Problem
	for _, i := range slices.Sorted(maps.Keys(wrong)) {
		problems = append(problems, wrong[i])
	}
	return refuse(problems, len(plan.Files), "can't be uploaded")
}

// sameFile compares a file with one of the dataset, reading it if need be.
func sameFile(ctx context.Context, f identity, there client.File) (bool, error) {
	if f.Size != there.SizeBytes {
		return false, nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	sum, err := checksum.Of(&untilDone{ctx, file}, f.Size)
	return err == nil && sum.String() == there.Checksum, err
}

// untilDone reads until a context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// checkOrder sees that the dataset will have the files in the plan's order: what
// is there can't move, and what is sent comes behind it.
func (p *UploadPlan) checkOrder() error {
	last, at := int64(-1), ""
	first := "" // that is to be sent
	for _, f := range p.Files {
		if f.Action == ActionUpload {
			if first == "" {
				first = f.Name
			}
			continue
		}
		if first != "" {
			return errOrder(first, f.Name)
		}
		if *f.Position < last {
			return errOrder(at, f.Name)
		}
		last, at = *f.Position, f.Name
	}
	return nil
}

func errOrder(before, after string) error {
	return fault.Newf(fault.CodeConflict, "Choose another --order or leave files out; --any-order takes the files as they can be had. What is in a dataset doesn't move.",
		"%q is to come before %q, which is in the dataset already.", before, after)
}
