// Command list-asset-versions is the Lambda function that lists the versions of an asset's content.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.ListAssetVersions(), table.Catalog))
}
