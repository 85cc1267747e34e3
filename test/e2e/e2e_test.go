// Package e2e tests the whole product from outside: it builds bin/parqueue,
// runs `parqueue serve` on a free port over a folder of its own, and talks to it with the
// clients that people use: the two published Python libraries and their command lines, curl,
// Node's fetch, Python's requests, and raw sockets for what no client sends.
//
// PARQUEUE_BIN names a binary to test instead of building one, relative to the repository. PARQUEUE_TEST_LARGE=1
// makes the large upload 5 GB instead of 600 MB, PARQUEUE_TEST_MANY=1 the many objects of the inbox
// 10,000 instead of 800.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

const binaryVariable = "PARQUEUE_BIN"

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run builds the binary, unless it is given, and runs the tests with its path
// in the environment.
func run(m *testing.M) int {
	if given := os.Getenv(binaryVariable); given != "" {
		if !filepath.IsAbs(given) {
			os.Setenv(binaryVariable, filepath.Join(testtool.Root(), given))
		}
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "parqueue-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a folder for the binary:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "parqueue")
	build := exec.Command("go", "build", "-o", binary, "./cmd/parqueue")
	build.Dir, build.Stdout, build.Stderr = testtool.Root(), os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building parqueue:", err)
		return 1
	}
	os.Setenv(binaryVariable, binary)
	return m.Run()
}

// program is the path of the program under test.
func program() string { return os.Getenv(binaryVariable) }
