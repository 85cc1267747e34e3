// Command list-assets is the Lambda function that lists assets by their owner, a tag or an alias.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.ListAssets(), table.Catalog))
}
