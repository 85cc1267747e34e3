// Command complete-upload is the Lambda function that makes the parts of a large file one object,
// checks it and appends it.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("complete-upload", deployed.Catalog, deployed.Objects))
}
