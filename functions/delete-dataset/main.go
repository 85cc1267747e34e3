// Command delete-dataset is the Lambda function that deletes a
// dataset; what it had is removed by another.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
)

func main() {
	log.Fatal(deployed.Serve(api.DeleteDataset(), table.Catalog))
}
