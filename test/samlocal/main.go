// Command samlocal runs the functions under `sam local start-api`, in the SAM
// CLI's own containers, over a DynamoDB emulator and an embedded S3: the API as
// it is deployed, without an account. `make sam-local` builds the functions and
// starts it.
//
// It uses Docker where that runs and Podman otherwise, and no image registry.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/parqueue/parqueue/internal/fault"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	var c config
	flag.StringVar(&c.root, "root", ".", "the `folder` of the repository")
	flag.StringVar(&c.built, "built", ".aws-sam/local", "the `folder` that sam build wrote to, in the repository")
	flag.StringVar(&c.listen, "listen", "127.0.0.1:3000", "where the API answers")
	flag.Parse()
	c.output = os.Stderr

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, err := start(ctx, c)
	if err != nil {
		return err
	}
	fmt.Printf("ready: %s (a function starts with its first request)\n", d.url)
	fmt.Printf("curl -X POST -H \"Authorization: Key $(cat '%s')\" '%s/list-datasets'\n", d.keyFile, d.url)
	fmt.Printf("'%s' invoke Authorizer --event events/authorizer/request.json\n", d.script())
	err = d.wait(ctx)
	d.close()
	return err
}

// architecture is this machine's, as Lambda calls it.
func architecture() (string, error) {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64", nil
	case "arm64":
		return "arm64", nil
	}
	return "", fault.Newf(fault.CodeUnavailable, "Use a machine with one of those processors.", "Lambda has x86_64 and arm64, and not %s.", runtime.GOARCH)
}

// emulator is Lambda's runtime interface emulator, which the SAM CLI's package
// carries.
func (c config) emulator(arch string) (string, error) {
	pattern := filepath.Join(c.root, ".cache/venv/sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-"+arch)
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("%s is not there: run `make test-tools`", pattern)
	}
	return found[0], nil
}
