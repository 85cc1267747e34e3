// Command list-rejections is the Lambda function that lists what the inbox
// could not take.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
)

func main() {
	log.Fatal(deployed.Serve(api.ListRejections(), bucket.Rejections))
}
