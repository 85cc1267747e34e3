// Command get-asset-metadata is the Lambda function that tells what there is to know of an asset.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.GetAssetMetadata(), table.Catalog))
}
