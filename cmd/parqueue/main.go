// Command parqueue is the local server and the command line of Parqueue.
package main

import (
	"os"

	"github.com/parqueue/parqueue/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
