// Command delete-dataset-file is the Lambda function that takes a file
// out of a dataset.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("delete-dataset-file", deployed.Catalog, deployed.Objects))
}
