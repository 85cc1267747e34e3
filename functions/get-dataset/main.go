// Command get-dataset is the Lambda function that answers with one
// dataset.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.GetDataset(), table.Catalog))
}
