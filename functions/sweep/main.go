// Command sweep is the Lambda function that a schedule has remove what crashes
// left behind.
package main

import (
	"log"

	"github.com/parqueue/parqueue/internal/deployed"
)

func main() {
	log.Fatal(deployed.ServeSweeper())
}
