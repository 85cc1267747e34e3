// Command abort-upload is the Lambda function that gives a large file up and removes its
// bytes.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("abort-upload", deployed.Catalog, deployed.Objects))
}
