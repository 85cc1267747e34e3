package sweep

import (
	"context"
	"fmt"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

// Kind says why something in the store is not needed.
type Kind string

// The kinds.
const (
	needed Kind = ""

	// Orphan: the catalog knows nothing of the file id. A crash came between the
	// bytes and the append, or in the middle of an ingestion.
	Orphan Kind = "orphan"
	// Expired: it is of an upload whose time is over.
	Expired Kind = "expired_upload"
	// Leftover: its file was deleted, its upload aborted, or it was claimed, and a
	// crash came before it was removed.
	Leftover Kind = "leftover"
	// Foreign: the catalog knows nothing of it, or not what became of its upload, and
	// it is older than what the catalog knows; or its key is not a file's. It is left
	// alone.
	Foreign Kind = "foreign"
)

// thing is an object or an object in parts.
type thing struct {
	key     string
	size    int64
	at      time.Time // when it was stored, or begun
	partsID string    // of an object in parts
	ref     dataset.FileRef
	ok      bool // the key is a file's
	record  dataset.FileRecord
	kind    Kind
}

func object(o dataset.Listed) thing {
	t := thing{key: o.Key, size: o.SizeBytes, at: o.ModifiedAt}
	t.ref, t.ok = dataset.ParseFileKey(o.Key)
	return t
}

func openParts(o dataset.OpenParts) thing {
	t := thing{key: o.Key, partsID: o.ID, at: o.StartedAt}
	t.ref, t.ok = dataset.ParseFileKey(o.Key)
	return t
}

// ask has the catalog say what became of the file ids of things.
func ask(ctx context.Context, catalog dataset.FileRecords, things []thing) error {
	if len(things) == 0 {
		return nil
	}
	refs := make([]dataset.FileRef, len(things))
	for i, t := range things {
		refs[i] = t.ref
	}
	records, err := catalog.FileRecords(ctx, refs)
	if err != nil {
		return fmt.Errorf("asking the catalog: %w", err)
	}
	for i := range things {
		things[i].record = records[i]
	}
	return nil
}

// judge says why a thing is not needed at a moment. It must be old enough, and
// what it says of an orphan and of an expired upload holds only once the file id
// is claimed.
func (t thing) judge(now, since time.Time) Kind {
	r := t.record
	switch {
	case !t.ok:
		return Foreign
	case r.MayGo():
		return Leftover
	case (r.State == dataset.FileUnknown || r.Expired(now.Add(-expiryGrace))) && t.at.Before(since):
		return Foreign
	case r.Expired(now.Add(-expiryGrace)):
		return Expired
	case r.State == dataset.FileUnknown:
		return Orphan
	case r.State == dataset.FileAppended && t.partsID != "": // the object is there, made of others
		return Leftover
	}
	return needed
}
