// Command verify-dataset is the Lambda function that compares a dataset with the
// objects in the bucket.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("verify-dataset", deployed.Catalog, deployed.Objects))
}
