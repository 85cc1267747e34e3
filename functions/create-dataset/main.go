// Command create-dataset is the Lambda function that adds an empty dataset to the
// catalog.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.CreateDataset(), table.Catalog))
}
