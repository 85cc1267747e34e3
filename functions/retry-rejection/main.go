// Command retry-rejection is the Lambda function that moves a refused
// object back into the inbox.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("retry-rejection", deployed.Inbox))
}
