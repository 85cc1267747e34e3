// Command ingest-object is the Lambda function that brings what was put into the
// inbox into its datasets.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.ServeIngestion())
}
