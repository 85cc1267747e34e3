// Command download-from-dataset is the Lambda function that hands out a file: small
// ones itself, larger ones by a presigned URL.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.ServeStreaming("download-from-dataset", deployed.Catalog, deployed.Objects))
}
