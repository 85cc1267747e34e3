// Command complete-upload is the Lambda function that makes the parts of a large file one object,
// checks it and appends it.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.CompleteUpload(), table.Catalog, bucket.Objects))
}
