// Command upload-to-dataset is the Lambda function that stores a Parquet file and
// appends it to a dataset.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.UploadToDataset(), table.Catalog, bucket.Objects))
}
