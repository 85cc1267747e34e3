// Command download-from-dataset is the Lambda function that hands out a file: small
// ones itself, larger ones by a presigned URL.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.ServeStreaming(api.DownloadFromDataset(), table.Catalog, bucket.Objects))
}
