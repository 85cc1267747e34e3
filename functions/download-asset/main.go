// Command download-asset is the Lambda function that hands out the content of an asset, small ones itself,
// larger ones by a presigned URL.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.ServeStreaming(api.DownloadAsset(), table.Catalog, bucket.Objects))
}
