// Command delete-rejection is the Lambda function that removes a refused
// object of the inbox for good.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
)

func main() {
	log.Fatal(deployed.Serve(api.DeleteRejection(), bucket.Rejections))
}
