// Command list-dataset-files is the Lambda function that lists the files of a
// dataset in order.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("list-dataset-files", deployed.Catalog))
}
