package deployed

import (
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/lambdaqueue"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// The environment variables of the functions that are about the inbox; the
// template sets them.
const (
	inboxVariable       = "INBOX_NAME"
	inboxTenantVariable = "INBOX_TENANT"
)

// openInbox makes the inbox, from which objects are copied to another bucket
// unless that is nil.
func openInbox(into *objectstore.Store) (inbox *objectstore.Inbox, bucket, tenant string, err error) {
	if bucket, err = required(inboxVariable); err != nil {
		return nil, "", "", err
	}
	if tenant, err = required(inboxTenantVariable); err != nil {
		return nil, "", "", err
	}
	if into == nil {
		cfg, err := awsConfig()
		if err != nil {
			return nil, "", "", err
		}
		into = objectstore.New(objectstore.NewClient(cfg, endpoint(s3Variable)), bucket)
	}
	return objectstore.NewInbox(bucket, into), bucket, tenant, nil
}

// Inbox is the inbox, of which endpoints show what was rejected.
func Inbox(s *stores) error {
	inbox, _, tenant, err := openInbox(nil)
	if err != nil {
		return err
	}
	s.rejections = ingest.NewRejections(tenant, inbox)
	return nil
}

// ServeIngestion ingests what a queue says was put into the inbox, as this
// process's Lambda function. It returns only when it cannot start.
func ServeIngestion() error {
	catalog, err := openTable()
	if err != nil {
		return err
	}
	files, err := openBucket()
	if err != nil {
		return err
	}
	inbox, bucket, tenant, err := openInbox(files)
	if err != nil {
		return err
	}
	lambda.Start(lambdaqueue.Handler(ingest.New(tenant, bucket, catalog, inbox), logger()))
	return nil
}
