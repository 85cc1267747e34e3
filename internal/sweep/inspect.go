package sweep

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// The kinds of what Inspect finds wrong with listed files.
const (
	Missing       Kind = "missing_object"   // a file is listed and has no object
	WrongSize     Kind = "wrong_size"       // its object has another size than was appended
	WrongChecksum Kind = "wrong_checksum"   // its object has another checksum
	Deleting      Kind = "deleting_dataset" // a dataset was deleted and what it had is still being removed
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Kind      Kind      `json:"kind"`
	Key       string    `json:"key,omitempty"` // of the object, or of the object in parts
	Parts     bool      `json:"parts,omitempty"`
	Tenant    string    `json:"tenant,omitempty"`
	DatasetID string    `json:"dataset_id,omitempty"`
	FileID    string    `json:"file_id,omitempty"`
	FileName  string    `json:"file_name,omitempty"`
	UploadID  string    `json:"upload_id,omitempty"`
	SizeBytes int64     `json:"size_bytes"`
	At        time.Time `json:"at,omitzero"` // when it was stored, begun, uploaded or deleted
}

// Count is how much there is of a kind.
type Count struct {
	Number int   `json:"number"`
	Bytes  int64 `json:"bytes"`
}

// Diagnosis is what Inspect found.
type Diagnosis struct {
	Objects   int            `json:"objects"` // looked at
	Bytes     int64          `json:"bytes"`
	OpenParts int            `json:"open_parts"`
	Datasets  int            `json:"datasets"`
	Files     int            `json:"files"`
	Counts    map[Kind]Count `json:"counts"`
	Findings  []Finding      `json:"findings"` // the first maxFindings of each kind
}

// maxFindings is how many findings of a kind a Diagnosis names.
const maxFindings = 100

// Inspected is the catalog that Inspect asks.
type Inspected interface {
	dataset.FileRecords
	dataset.Progress
	Datasets(ctx context.Context, tenant, after string, limit int) (dataset.DatasetPage, error)
}

// Verifier is what a dataset.Service does for Inspect.
type Verifier interface {
	Verify(ctx context.Context, who keys.Principal, datasetID string, from int64, limit int) (dataset.Verification, error)
}

// Inspection looks at everything that the sweeper looks at, and at every listed
// file, and changes nothing.
type Inspection struct {
	Store    dataset.Sweepable
	Catalog  Inspected
	Verifier Verifier
	Tenants  []string      // whose datasets are looked at, beside those of tenants that have objects
	Grace    time.Duration // the age below which objects and parts are left out
	Now      func() time.Time

	// Deleting, if it is not nil, finds the datasets that were deleted and are
	// still being removed.
	Deleting func(context.Context) ([]Finding, error)
}

// inspecting is an Inspection under way.
type inspecting struct {
	Inspection
	since   time.Time
	tenants map[string]bool
	found   Diagnosis
}

// Run inspects. What changes meanwhile is seen as it was or as it is.
func (i Inspection) Run(ctx context.Context) (Diagnosis, error) {
	w := &inspecting{Inspection: i, tenants: map[string]bool{}, found: Diagnosis{Counts: map[Kind]Count{}, Findings: []Finding{}}}
	for _, t := range i.Tenants {
		w.tenants[t] = true
	}
	p, err := readProgress(ctx, i.Catalog)
	if err != nil {
		return Diagnosis{}, err
	}
	w.since = p.Since
	for _, step := range []func(context.Context) error{w.parts, w.objects, w.datasets, w.deleting} {
		if err := step(ctx); err != nil {
			return Diagnosis{}, err
		}
	}
	return w.found, nil
}

// add notes a finding.
func (w *inspecting) add(f Finding) {
	c := w.found.Counts[f.Kind]
	c.Number, c.Bytes = c.Number+1, c.Bytes+f.SizeBytes
	w.found.Counts[f.Kind] = c
	if c.Number <= maxFindings {
		w.found.Findings = append(w.found.Findings, f)
	}
}

func (w *inspecting) parts(ctx context.Context) error {
	for at, more := (place{}), true; more; {
		page, follow, err := w.Store.ListOpenParts(ctx, dataset.FilePrefix, at.Key, at.ID, pageSize)
		if err != nil {
			return fmt.Errorf("listing open parts: %w", err)
		}
		things := make([]thing, len(page))
		for n, o := range page {
			things[n], at = openParts(o), place{o.Key, o.ID}
		}
		w.found.OpenParts += len(page)
		if err := w.judge(ctx, things); err != nil {
			return err
		}
		more = follow
	}
	return nil
}

func (w *inspecting) objects(ctx context.Context) error {
	for after, more := "", true; more; {
		page, follow, err := w.Store.List(ctx, dataset.FilePrefix, after, pageSize)
		if err != nil {
			return fmt.Errorf("listing objects: %w", err)
		}
		things := make([]thing, len(page))
		for n, o := range page {
			things[n], after = object(o), o.Key
			w.found.Bytes += o.SizeBytes
			if things[n].ok {
				w.tenants[things[n].ref.Tenant] = true
			}
		}
		w.found.Objects += len(page)
		if err := w.judge(ctx, things); err != nil {
			return err
		}
		more = follow
	}
	return nil
}

// judge asks the catalog about things that are old enough.
func (w *inspecting) judge(ctx context.Context, things []thing) error {
	now := w.Now()
	things = slices.DeleteFunc(things, func(t thing) bool { return t.at.After(now.Add(-w.Grace)) })
	if err := ask(ctx, w.Catalog, things); err != nil {
		return err
	}
	for _, t := range things {
		if kind := t.judge(now, w.since); kind != needed {
			w.add(Finding{
				Kind: kind, Key: t.key, Parts: t.partsID != "", Tenant: t.ref.Tenant, FileID: t.ref.FileID,
				DatasetID: t.record.DatasetID, UploadID: t.record.UploadID, SizeBytes: t.size, At: t.at,
			})
		}
	}
	return nil
}

// datasets verifies the files of every dataset of the tenants that are known.
func (w *inspecting) datasets(ctx context.Context) error {
	for _, tenant := range slices.Sorted(maps.Keys(w.tenants)) {
		for after, more := "", true; more; {
			page, err := w.Catalog.Datasets(ctx, tenant, after, 100)
			if err != nil {
				return fmt.Errorf("listing the datasets of %s: %w", tenant, err)
			}
			for _, d := range page.Datasets {
				w.found.Datasets++
				if err := w.verify(ctx, tenant, d.ID); err != nil {
					return fmt.Errorf("verifying %s of %s: %w", d.ID, tenant, err)
				}
			}
			after, more = page.Next, page.Next != ""
		}
	}
	return nil
}

// kindOf is the kind of a file's problem.
func kindOf(problem string) Kind {
	switch problem {
	case dataset.ProblemMissing:
		return Missing
	case dataset.ProblemSize:
		return WrongSize
	}
	return WrongChecksum
}

func (w *inspecting) verify(ctx context.Context, tenant, datasetID string) error {
	who := keys.Principal{Tenant: tenant, Scopes: []keys.Scope{keys.ScopeRead}}
	for from, more := int64(0), true; more; {
		v, err := w.Verifier.Verify(ctx, who, datasetID, from, dataset.MaxVerified)
		if fault.Is(err, fault.CodeDatasetNotFound) {
			return nil // it was deleted meanwhile
		}
		if err != nil {
			return err
		}
		w.found.Files += v.Checked
		for _, p := range v.Problems {
			w.add(Finding{
				Kind: kindOf(p.What), Key: p.File.ObjectKey, Tenant: tenant, DatasetID: datasetID,
				FileID: p.File.ID, FileName: p.File.Name, SizeBytes: p.File.SizeBytes, At: p.File.UploadedAt,
			})
		}
		from, more = v.Next, v.More
	}
	return nil
}

func (w *inspecting) deleting(ctx context.Context) error {
	if w.Deleting == nil {
		return nil
	}
	findings, err := w.Deleting(ctx)
	for _, f := range findings {
		w.add(f)
	}
	return err
}
