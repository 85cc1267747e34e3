// Command get-quotas is the Lambda function that tells a caller what it may use. It
// uses nothing: there are no quotas to keep.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve(api.GetQuotas()))
}
