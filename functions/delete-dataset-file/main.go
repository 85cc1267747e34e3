// Command delete-dataset-file is the Lambda function that takes a file
// out of a dataset.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.DeleteDatasetFile(), table.Catalog, bucket.Objects))
}
