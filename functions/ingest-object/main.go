// Command ingest-object is the Lambda function that brings what was put into the
// inbox into its datasets.
package main

import (
	"log"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/metrics"
	"github.com/parqueue/parqueue/internal/deployed/table"
	"github.com/parqueue/parqueue/internal/ingest"
	"github.com/parqueue/parqueue/internal/lambdaqueue"
)

func main() { log.Fatal(serve()) }

// serve ingests what a queue says was put into the inbox. It returns only when it
// cannot start.
func serve() error {
	catalog, err := table.Open()
	if err != nil {
		return err
	}
	files, err := bucket.Open()
	if err != nil {
		return err
	}
	inbox, err := bucket.OpenInbox(files)
	if err != nil {
		return err
	}
	measured, err := metrics.Open()
	if err != nil {
		return err
	}
	ingester := ingest.New(inbox.Tenant, inbox.Name, catalog, inbox)
	lambda.Start(lambdaqueue.Handler(ingester, deployed.Logger(), measured.Ingestion))
	return nil
}
