// Command list-uploads is the Lambda function that lists large files on their way into
// datasets.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("list-uploads", deployed.Catalog))
}
