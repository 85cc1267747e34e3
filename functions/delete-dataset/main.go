// Command delete-dataset is the Lambda function that deletes a
// dataset; what it had is removed by another.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("delete-dataset", deployed.Catalog))
}
