// Command list-dataset-files is the Lambda function that lists the files of a
// dataset in order.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.ListDatasetFiles(), table.Catalog))
}
