// Command set-asset-metadata is the Lambda function that changes what is said of an asset.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.SetAssetMetadata(), table.Catalog))
}
