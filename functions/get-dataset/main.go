// Command get-dataset is the Lambda function that answers with one
// dataset.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("get-dataset", deployed.Catalog))
}
