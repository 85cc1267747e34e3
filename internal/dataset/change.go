package dataset

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// Changes are what Update changes of a dataset. What is nil stays as it is.
type Changes struct {
	Name        *string
	Metadata    json.RawMessage // a JSON object
	IngestOrder *IngestOrder
	IfVersion   int64 // the version that the dataset must have, or 0 for any
}

// Update changes a dataset's name, its metadata, its ingest order, or several of
// them, and returns it as it is then.
// Errors: CodeForbidden, CodeInvalidRequest, CodeInvalidName,
// CodeInvalidMetadata, and those of Catalog.UpdateDataset.
func (s *Service) Update(ctx context.Context, who keys.Principal, datasetID string, c Changes, idempotencyKey string) (Dataset, error) {
	if err := authorize(who, keys.ScopeWrite, datasetID); err != nil {
		return Dataset{}, err
	}
	if c.Name == nil && c.Metadata == nil && c.IngestOrder == nil {
		return Dataset{}, fault.New(fault.CodeInvalidRequest, "There is nothing to change: the request has no name, no metadata and no ingest_order.",
			`Send "name", "metadata", "ingest_order" or several of them; what is left out stays as it is.`)
	}
	u := Update{Tenant: who.Tenant, DatasetID: datasetID, Name: c.Name, IngestOrder: c.IngestOrder, IfVersion: c.IfVersion}
	operation := []string{"update", datasetID, strconv.FormatInt(c.IfVersion, 10)}
	if c.Name != nil {
		if err := checkDatasetName(*c.Name); err != nil {
			return Dataset{}, err
		}
		operation = append(operation, "name", *c.Name)
	}
	if c.Metadata != nil {
		var err error
		if u.Metadata, err = checkMetadata(c.Metadata); err != nil {
			return Dataset{}, err
		}
		operation = append(operation, "metadata", string(u.Metadata))
	}
	if c.IngestOrder != nil {
		operation = append(operation, "ingest order", c.IngestOrder.String())
	}
	u.Idempotency = idempotency(idempotencyKey, operation...)
	updated, err := s.catalog.UpdateDataset(ctx, u)
	if err != nil {
		return Dataset{}, fmt.Errorf("updating %s: %w", datasetID, err)
	}
	return updated, nil
}

// DeleteFile takes a file out of a dataset, and then removes its bytes. Where the
// second fails an object stays behind for the sweeper; repeating the
// request under the same Idempotency-Key tries it again.
// Errors: CodeForbidden, and those of Catalog.DeleteFile.
func (s *Service) DeleteFile(ctx context.Context, who keys.Principal, datasetID, name, idempotencyKey string) (Deleted, error) {
	if err := authorize(who, keys.ScopeWrite, datasetID); err != nil {
		return Deleted{}, err
	}
	id, err := newID(deletionIDPrefix)
	if err != nil {
		return Deleted{}, err
	}
	deleted, err := s.catalog.DeleteFile(ctx, Deletion{
		ID: id, Tenant: who.Tenant, DatasetID: datasetID, Name: name,
		Idempotency: idempotency(idempotencyKey, "delete-file", datasetID, name),
	})
	if err != nil {
		return Deleted{}, fmt.Errorf("deleting a file of %s: %w", datasetID, err)
	}
	s.remove(ctx, deleted.File.ObjectKey)
	return deleted, nil
}

// DeleteDataset deletes a dataset with everything in it. It is gone with the
// answer, for every caller and for good; its bytes are removed after that, by a
// Purger.
// Errors: CodeForbidden, and those of Catalog.DeleteDataset.
func (s *Service) DeleteDataset(ctx context.Context, who keys.Principal, datasetID string, ifVersion int64, idempotencyKey string) (DatasetDeleted, error) {
	if err := authorize(who, keys.ScopeWrite, datasetID); err != nil {
		return DatasetDeleted{}, err
	}
	id, err := newID(deletionIDPrefix)
	if err != nil {
		return DatasetDeleted{}, err
	}
	deleted, err := s.catalog.DeleteDataset(ctx, DatasetDeletion{
		ID: id, Tenant: who.Tenant, DatasetID: datasetID, IfVersion: ifVersion,
		Idempotency: idempotency(idempotencyKey, "delete-dataset", datasetID, strconv.FormatInt(ifVersion, 10)),
	})
	if err != nil {
		return DatasetDeleted{}, fmt.Errorf("deleting %s: %w", datasetID, err)
	}
	s.deleted()
	return deleted, nil
}
