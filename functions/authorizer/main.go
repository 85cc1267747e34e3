// Command authorizer is the Lambda function that API Gateway asks about API keys.
package main

import (
	"log"
	"time"

	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/table"
	"github.com/parqueue/parqueue/internal/keys"
	"github.com/parqueue/parqueue/internal/lambdahttp"
)

// missTTL is how long the function remembers that there is no such key. It
// does not remember the keys that there are: API Gateway does, for the time that
// the template states, and both together would let a revoked key live longer.
const missTTL = 5 * time.Second

func main() {
	store, err := table.Open()
	if err != nil {
		log.Fatal(err)
	}
	authenticator := &keys.Authenticator{Store: store, MissTTL: missTTL}
	lambdahttp.StartAuthorizer(authenticator.Authenticate, deployed.Logger())
}
