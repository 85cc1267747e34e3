// Command authorizer is the Lambda function that API Gateway asks about API keys.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.ServeAuthorizer())
}
