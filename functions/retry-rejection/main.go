// Command retry-rejection is the Lambda function that moves a refused
// object back into the inbox.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
)

func main() {
	log.Fatal(deployed.Serve(api.RetryRejection(), bucket.Rejections))
}
