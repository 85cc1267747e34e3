// Command verify-dataset is the Lambda function that compares a dataset with the
// objects in the bucket.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.VerifyDataset(), table.Catalog, bucket.Objects))
}
