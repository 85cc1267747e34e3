// Package servertest gives tests the whole product, in their own process: one
// server for all tests of a package.
//
// It needs no IAM actions.
package servertest

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/server"
)

// Run runs the tests of a package beside a server over a new folder, whose URL and
// admin key it tells before. It returns what the process is to exit with.
func Run(m *testing.M, ready func(url, key string)) int {
	dir, err := os.MkdirTemp("", "parqueue-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	started, ended := make(chan server.Ready, 1), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Config{Listen: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"), Log: slog.New(slog.DiscardHandler)},
			func(r server.Ready) { started <- r })
	}()
	select {
	case r := <-started:
		key, err := os.ReadFile(r.KeyFile)
		if err != nil {
			panic(err)
		}
		ready(r.URL, strings.TrimSpace(string(key)))
	case err := <-ended:
		panic(err)
	}
	code := m.Run()
	stop()
	<-ended
	return code
}
