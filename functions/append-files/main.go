// Command append-files is the Lambda function that appends finished uploads in the order
// given.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("append-files", deployed.Catalog))
}
