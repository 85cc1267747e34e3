// Command list-datasets is the Lambda function that lists a tenant's datasets.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("list-datasets", deployed.Catalog))
}
