// Command update-dataset is the Lambda function that changes a
// dataset's name and metadata.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.UpdateDataset(), table.Catalog))
}
