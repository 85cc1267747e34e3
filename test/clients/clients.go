// Package clients runs the product's clients as people run them, each in a process of
// its own: the command line with the daemon and without it, the Python package and
// the Node package. What one can do here, all can, so a test tells once what is to
// hold for each.
//
// The command line is the compiled bin/parqueue, and the Node package the one that
// `make build-node` builds.
package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/daemon"
	"github.com/parqueue/parqueue/internal/testtool"
)

// Connections is how many each client keeps at once, and PartSize how large a part
// is: an interruption costs a part for each connection at most.
const (
	Connections = 4
	PartSize    = 8 << 20
)

// doTime bounds one thing that a client does.
const doTime = 3 * time.Minute

// Kind is one of the clients.
type Kind string

// The clients that there are.
const (
	CLI    Kind = "cli"    // without the daemon
	Daemon Kind = "daemon" // the command line with it
	Python Kind = "python"
	Node   Kind = "node"
)

// All are the kinds of clients.
func All() []Kind { return []Kind{CLI, Daemon, Python, Node} }

// Job is what something is done with, by name: dataset, path, to, project, asset,
// title, version.
type Job map[string]any

// Client is a client on somebody's machine, who is signed in to a server.
type Client struct {
	t    testing.TB
	kind Kind
	dir  string // has what it remembers
	env  []string
}

// Program is the compiled parqueue.
func Program(t testing.TB) string {
	t.Helper()
	return built(t, "make build", "bin", "parqueue")
}

func built(t testing.TB, by string, path ...string) string {
	t.Helper()
	found := filepath.Join(append([]string{testtool.Root()}, path...)...)
	if _, err := os.Stat(found); err != nil {
		t.Fatalf("%v: run `%s`", err, by)
	}
	return found
}

// New is a client of a server. A daemon that it starts ends with the test.
func New(t testing.TB, kind Kind, url, key string) *Client {
	t.Helper()
	c := &Client{t: t, kind: kind, dir: t.TempDir()}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PARQUEUE_") && !strings.HasPrefix(variable, "XDG_") {
			c.env = append(c.env, variable)
		}
	}
	c.env = append(c.env, "HOME="+c.dir, "PARQUEUE_URL="+url, "PARQUEUE_API_KEY="+key, "PARQUEUE_STATE_DIR="+c.StateDir(), "PARQUEUE_KEY_STORE=file",
		"PYTHONPATH="+filepath.Join(testtool.Root(), "sdk", "python", "src"))
	switch kind {
	case CLI:
		c.env = append(c.env, "PARQUEUE_NO_DAEMON=1")
	case Daemon:
		t.Cleanup(func() {
			if out, err := c.run(exec.Command(Program(t), "daemon", "stop")); err != nil {
				t.Error(err, out)
			}
		})
	case Node:
		c.env = append(c.env, "PARQUEUE_NODE_PACKAGE=file://"+built(t, "make build-node", "sdk", "node", "dist", "index.js"))
	}
	return c
}

// StateDir is where the command line and the daemon remember what they do.
func (c *Client) StateDir() string { return filepath.Join(c.dir, "state") }

// KillDaemon ends the daemon as kill -9 does, if one runs.
func (c *Client) KillDaemon() {
	c.t.Helper()
	var address daemon.Address
	text, err := os.ReadFile(filepath.Join(daemon.Folder(c.StateDir()), "daemon.json"))
	if err != nil {
		return // none has been started
	}
	if err := json.Unmarshal(text, &address); err != nil || address.PID <= 0 {
		c.t.Fatalf("%s: %v", text, err)
	}
	if err := syscall.Kill(address.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		c.t.Fatal(err)
	}
}

// Command is the process that does something. The test starts it.
func (c *Client) Command(what string, job Job) *exec.Cmd {
	c.t.Helper()
	var command *exec.Cmd
	script := func(name string) string {
		return filepath.Join(testtool.Root(), "test", "clients", "testdata", name)
	}
	text, err := json.Marshal(job)
	if err != nil {
		c.t.Fatal(err)
	}
	switch c.kind {
	case Python:
		command = exec.Command(testtool.Python(c.t, "sdk-python"), script("client.py"), what, string(text), fmt.Sprint(Connections))
	case Node:
		command = exec.Command("node", script("client.mjs"), what, string(text), fmt.Sprint(Connections))
	default:
		command = exec.Command(Program(c.t), arguments(what, job)...)
	}
	command.Dir, command.Env = c.dir, c.env
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// arguments are the command line's.
func arguments(what string, job Job) []string {
	text := func(name string) string { return fmt.Sprint(job[name]) }
	moving := []string{"--connections", fmt.Sprint(Connections), "--json"}
	switch what {
	case "create":
		return []string{"datasets", "create", "--json"}
	case "upload":
		return append([]string{"datasets", "upload", text("dataset"), text("path")}, moving...)
	case "download":
		return append([]string{"datasets", "download", text("dataset"), "--to", text("to")}, moving...)
	case "files":
		return []string{"datasets", "files", text("dataset"), "--json"}
	case "asset_upload":
		return append([]string{"assets", "upload", text("path"), "--project", text("project"), "--title", text("title")}, moving...)
	case "asset_renew":
		return append([]string{"assets", "upload", text("path"), "--asset", text("asset")}, moving...)
	case "asset_set":
		return []string{"assets", "set", text("asset"), "--title", text("title"), "--json"}
	case "asset_show":
		return []string{"assets", "show", text("asset"), "--json"}
	case "asset_list":
		return []string{"assets", "list", "--project", text("project"), "--json"}
	case "asset_download":
		args := append([]string{"assets", "download", text("asset"), "--to", text("to")}, moving...)
		if job["version"] != nil {
			args = append(args, "--version", text("version"))
		}
		return args
	}
	panic("no client knows how to " + what)
}

// Result is what came of a job.
type Result struct {
	DatasetID string   `json:"dataset_id"`
	Names     []string `json:"names"` // of files, in order
	AssetID   string   `json:"asset_id"`
	AssetIDs  []string `json:"asset_ids"`
	Version   int      `json:"version"`
	Title     string   `json:"title"`

	Files []struct { // as the command line has them
		Name string `json:"file_name"`
	} `json:"files"`
	Assets []struct {
		ID string `json:"asset_id"`
	} `json:"assets"`
}

// Failure is what a client said of a job that it could not do.
type Failure struct {
	Code string `json:"code"`
	Text string `json:"-"` // all of it
}

// Error implements error.
func (f *Failure) Error() string { return f.Text }

// Try does something.
func (c *Client) Try(what string, job Job) (Result, error) {
	c.t.Helper()
	out, err := c.run(c.Command(what, job))
	if err != nil {
		return Result{}, err
	}
	var result Result
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		return Result{}, fmt.Errorf("%w: %s", err, out)
	}
	for _, f := range result.Files {
		result.Names = append(result.Names, f.Name)
	}
	for _, a := range result.Assets {
		result.AssetIDs = append(result.AssetIDs, a.ID)
	}
	return result, nil
}

// Do does something that has to succeed.
func (c *Client) Do(what string, job Job) Result {
	c.t.Helper()
	result, err := c.Try(what, job)
	if err != nil {
		c.t.Fatalf("%s could not %s %v: %v", c.kind, what, job, err)
	}
	return result
}

func (c *Client) run(command *exec.Cmd) (stdout string, err error) {
	var out, said bytes.Buffer
	command.Dir, command.Env = c.dir, c.env
	command.Stdout, command.Stderr = &out, &said
	command.WaitDelay = 5 * time.Second
	if err := command.Start(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), doTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Kill() })
	defer stop()
	if err := command.Wait(); err != nil {
		failure := &Failure{Text: fmt.Sprintf("%v: %s", err, said.String())}
		for line := range strings.Lines(said.String()) {
			_ = json.Unmarshal([]byte(line), failure) // or it is no JSON, and there is no code
		}
		return "", failure
	}
	return out.String(), nil
}
