package bucket

import (
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/environment"
	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// Inbox is the bucket that files are put into, and whose datasets they are for.
type Inbox struct {
	*objectstore.Inbox
	Name   string
	Tenant string
}

// OpenInbox makes the inbox, from which objects are copied to the files.
func OpenInbox(files *objectstore.Store) (Inbox, error) {
	name, err := environment.Required(environment.Inbox)
	if err != nil {
		return Inbox{}, err
	}
	tenant, err := environment.Required(environment.InboxTenant)
	if err != nil {
		return Inbox{}, err
	}
	return Inbox{objectstore.NewInbox(name, files), name, tenant}, nil
}

// Rejections is the part of an endpoint that is about what the inbox could not take.
func Rejections(s *deployed.Stores) error {
	itself, err := open(environment.Inbox) // nothing is copied out of it
	if err != nil {
		return err
	}
	inbox, err := OpenInbox(itself)
	if err != nil {
		return err
	}
	s.Rejections = ingest.NewRejections(inbox.Tenant, inbox)
	return nil
}
