// Command list-rejections is the Lambda function that lists what the inbox
// could not take.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.Serve("list-rejections", deployed.Inbox))
}
