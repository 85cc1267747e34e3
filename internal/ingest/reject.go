package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// maxReasonBytes bounds the reason that is kept beside a rejected object. The
// differences that the largest ones tell are bounded far below.
const maxReasonBytes = 1 << 20

// reason is what is kept beside a rejected object, together with the error.
type reason struct {
	PutID      string    `json:"put_id"`
	ObjectKey  string    `json:"object_key"` // in the inbox, before it was rejected
	DatasetID  string    `json:"dataset_id,omitempty"`
	FileName   string    `json:"file_name,omitempty"`
	SizeBytes  int64     `json:"size_bytes"`
	RejectedAt time.Time `json:"rejected_at"`

	object dataset.InboxObject // that holds it
}

// reject moves an object to where rejected ones are, with the reason beside it.
// The reason is written first and only where none is: it keeps the place for this
// put, so that of two objects that are rejected under one name neither covers the
// other, and whoever goes on after a crash finds the place again.
func (i *Ingester) reject(ctx context.Context, p place, o dataset.InboxObject, why error) Outcome {
	put := putID(i.tenant, o)
	document, err := i.reasonDocument(p, o, put, why)
	if err != nil {
		return failed(err)
	}
	for _, to := range p.rejectedAt(put) {
		is, err := i.keepPlace(ctx, to, put, o, document)
		if err != nil {
			return failed(fmt.Errorf("writing why an object is rejected: %w", err))
		}
		if is != others {
			return i.moveAway(ctx, o, rejectedPlace{to, put, document, is}, why)
		}
	}
	return failed(fault.Internal("rejecting an object", errors.New("every place for it is taken")))
}

// ownership says whose a place under rejected/ is.
type ownership int

const (
	others ownership = iota
	kept             // for this put
	filled           // and its bytes are there
)

// rejectedPlace is where a put is rejected.
type rejectedPlace struct {
	key      string
	put      string
	document []byte // the reason
	is       ownership
}

// reasonDocument is the API's error with what it is about.
func (i *Ingester) reasonDocument(p place, o dataset.InboxObject, put string, why error) ([]byte, error) {
	about, err := json.Marshal(reason{
		PutID: put, ObjectKey: p.key, DatasetID: p.datasetID, FileName: p.name, SizeBytes: o.SizeBytes,
		RejectedAt: i.now().UTC().Truncate(time.Second),
	})
	if err != nil {
		return nil, fault.Internal("encoding a reason", err)
	}
	body := faultOf(why).Body()
	if err := json.Unmarshal(about, &body); err != nil {
		return nil, fault.Internal("encoding a reason", err)
	}
	var document bytes.Buffer
	e := json.NewEncoder(&document)
	e.SetEscapeHTML(false) // people read it
	e.SetIndent("", "  ")
	if err := e.Encode(body); err != nil {
		return nil, fault.Internal("encoding a reason", err)
	}
	return document.Bytes(), nil
}

// faultOf is the fault in the chain of an error that has one.
func faultOf(err error) *fault.Error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return fault.Internal("ingesting", err)
	}
	return f
}

// keepPlace writes the reason for a place unless the place is taken by another
// put, and tells whose it is.
func (i *Ingester) keepPlace(ctx context.Context, to, put string, o dataset.InboxObject, document []byte) (ownership, error) {
	there, err := i.inbox.Stat(ctx, to)
	switch {
	case err == nil: // somebody's; this put's if the move was interrupted
		ours, err := i.isOurs(ctx, to, put)
		if err != nil || !ours || !couldBe(there, o) {
			return others, err
		}
		return filled, nil
	case !fault.Is(err, fault.CodeFileNotFound):
		return others, err
	}
	err = i.inbox.PutNew(ctx, to+errorSuffix, document)
	if fault.Is(err, fault.CodeConflict) {
		var ours bool
		if ours, err = i.isOurs(ctx, to, put); err == nil && !ours {
			return others, nil
		}
	}
	return kept, err
}

// couldBe reports whether nothing speaks against that an object is a copy of
// another one.
func couldBe(x, y dataset.InboxObject) bool {
	return x.SizeBytes == y.SizeBytes && (x.CRC64NVME == "" || y.CRC64NVME == "" || x.CRC64NVME == y.CRC64NVME)
}

// isOurs reports whether the reason for a place is that of a put.
func (i *Ingester) isOurs(ctx context.Context, to, put string) (bool, error) {
	kept, _, err := readReason(ctx, i.inbox, to)
	if fault.Is(err, fault.CodeFileNotFound) {
		return false, nil
	}
	return err == nil && kept.PutID == put, err
}

// readReason reads the reason beside a rejected object. What isn't one, since
// somebody else wrote it, reads as one without content.
// Errors: CodeFileNotFound.
func readReason(ctx context.Context, inbox dataset.Inbox, rejected string) (about reason, body map[string]any, err error) {
	o, err := inbox.Stat(ctx, rejected+errorSuffix)
	if err != nil {
		return reason{}, nil, err
	}
	none := reason{object: o}
	if o.SizeBytes > maxReasonBytes {
		return none, nil, nil
	}
	document, err := inbox.ReadSmall(ctx, o, maxReasonBytes)
	if err != nil {
		return reason{}, nil, err
	}
	if json.Unmarshal(document, &about) != nil || json.Unmarshal(document, &body) != nil {
		return none, nil, nil
	}
	about.object = o
	return about, body, nil
}

// moveAway moves an object to a place that is kept for it.
func (i *Ingester) moveAway(ctx context.Context, o dataset.InboxObject, to rejectedPlace, why error) Outcome {
	var err error
	if to.is == filled {
		err = i.inbox.Delete(ctx, o)
	} else {
		err = i.inbox.Move(ctx, o, to.key)
	}
	switch {
	case err == nil:
		if err := i.keepReason(ctx, to); err != nil {
			return failed(err)
		}
		return Outcome{State: Rejected, Err: why}
	case fault.Is(err, fault.CodeFileNotFound), replaced(err):
		return i.movedBefore(ctx, to, why, err)
	}
	return failed(fmt.Errorf("moving a rejected object: %w", err))
}

// keepReason sees that the reason is still beside an object that was just moved.
// Where the same put was rejected by another process as well, and moved back by its
// owner, it went with that.
func (i *Ingester) keepReason(ctx context.Context, to rejectedPlace) error {
	_, err := i.inbox.Stat(ctx, to.key+errorSuffix)
	if fault.Is(err, fault.CodeFileNotFound) {
		err = i.inbox.PutNew(ctx, to.key+errorSuffix, to.document)
	}
	if err != nil && !fault.Is(err, fault.CodeConflict) {
		return fmt.Errorf("writing why an object is rejected: %w", err)
	}
	return nil
}

// movedBefore settles an object that was not where it was when it should be
// moved. If it isn't at its new place either then its owner took it back, and the
// reason is one for nothing.
func (i *Ingester) movedBefore(ctx context.Context, to rejectedPlace, why, err error) Outcome {
	_, statErr := i.inbox.Stat(ctx, to.key)
	switch {
	case statErr != nil && !fault.Is(statErr, fault.CodeFileNotFound):
		return failed(fmt.Errorf("moving a rejected object: %w", statErr))
	case statErr != nil:
		if err := dropReason(ctx, i.inbox, to.key, to.put); err != nil {
			return failed(err)
		}
	case !replaced(err):
		return Outcome{State: Rejected, Err: why}
	}
	if replaced(err) {
		return failed(err) // the new object is to be taken up
	}
	return Outcome{State: Gone}
}

// dropReason removes the reason beside an object that is not rejected any more,
// if it is that of the put with an id: another put may be about to come there.
func dropReason(ctx context.Context, inbox dataset.Inbox, rejected, put string) error {
	about, _, err := readReason(ctx, inbox, rejected)
	if fault.Is(err, fault.CodeFileNotFound) {
		return nil
	}
	if err == nil && about.PutID == put {
		err = inbox.Delete(ctx, about.object)
	}
	if err != nil && !replaced(err) {
		return fmt.Errorf("removing the reason of a rejected object: %w", err)
	}
	return nil
}
