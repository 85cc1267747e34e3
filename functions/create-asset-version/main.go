// Command create-asset-version is the Lambda function that begins new content for an asset and hands
// out where its parts go.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.CreateAssetVersion(), table.Catalog, bucket.Objects))
}
