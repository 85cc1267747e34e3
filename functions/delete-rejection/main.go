// Command delete-rejection is the Lambda function that removes a refused
// object of the inbox for good.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("delete-rejection", deployed.Inbox))
}
