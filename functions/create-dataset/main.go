// Command create-dataset is the Lambda function that adds an empty dataset to the
// catalog.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("create-dataset", deployed.Catalog))
}
