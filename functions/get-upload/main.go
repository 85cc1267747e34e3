// Command get-upload is the Lambda function that tells how far a large file has come and
// where its parts go.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("get-upload", deployed.Catalog, deployed.Objects))
}
