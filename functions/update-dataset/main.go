// Command update-dataset is the Lambda function that changes a
// dataset's name and metadata.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("update-dataset", deployed.Catalog))
}
