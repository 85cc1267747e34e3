// Command create-upload is the Lambda function that begins a large file and hands out where
// its parts go.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.CreateUpload(), table.Catalog, bucket.Objects))
}
