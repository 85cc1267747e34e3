// Command upload-to-dataset is the Lambda function that stores a Parquet file and
// appends it to a dataset.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("upload-to-dataset", deployed.Catalog, deployed.Objects))
}
