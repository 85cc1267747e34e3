package lambda_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// What a function may link. A module is listed because a function needs it; the
// embedded stores and the command line bring dozens that no function does.
var linkable = []string{
	"github.com/parqueue/parqueue",
	"github.com/aws/aws-lambda-go",
	"github.com/awslabs/aws-lambda-go-api-proxy",
	"github.com/aws/aws-sdk-go-v2",
	"github.com/aws/smithy-go",
	"github.com/google/uuid",
	"github.com/minio/crc64nvme",
	"github.com/klauspost/cpuid/v2",
	"golang.org/x/sys",
	"golang.org/x/sync",
	"golang.org/x/text",
}

// Packages that are not linked either: the local server's, and the services that
// the SDK signs people in with.
var notLinked = []string{
	"internal/embeddeds3", "internal/catalog/sqlite", "internal/server", "internal/cli",
	"service/sso", "service/ssooidc", "service/sts",
}

func TestFunctionsLinkOnlyWhatTheyNeed(t *testing.T) {
	const format = "{{with .Module}}{{.Path}}{{end}} {{.ImportPath}}"
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", format, "./functions/...")
	list.Dir = testtool.Root()
	list.Env = append(list.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	functions := 0
	for line := range strings.Lines(string(output)) {
		module, pkg, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if module != "" && !isLinkable(module) {
			t.Errorf("a function links %s of the module %s", pkg, module)
		}
		for _, path := range notLinked {
			if strings.HasSuffix(pkg, path) {
				t.Errorf("a function links %s", pkg)
			}
		}
		if strings.Contains(pkg, "/functions/") {
			functions++
		}
	}
	if functions == 0 {
		t.Fatal("go list names no function")
	}
}

func isLinkable(module string) bool {
	for _, prefix := range linkable {
		if module == prefix || strings.HasPrefix(module, prefix+"/") {
			return true
		}
	}
	return false
}
