// Command create-upload is the Lambda function that begins a large file and hands out where
// its parts go.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("create-upload", deployed.Catalog, deployed.Objects))
}
