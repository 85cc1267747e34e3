// Command try-authentication is the Lambda function that tells a caller that its key
// is valid. It uses nothing: the authorizer has done the work.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve(api.TryAuthentication()))
}
