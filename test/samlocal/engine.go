package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// dockerfile is all that a function needs that brings everything along: Lambda's
// emulator. The folders are those that the SAM CLI mounts and starts it in. The
// label says whose the containers are.
const dockerfile = `FROM scratch
COPY emulator /var/rapid/aws-lambda-rie
WORKDIR /tmp
WORKDIR /var/task
ENV LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime
LABEL parqueue.session=%s
`

// podmanConfig has Podman work as root without systemd, inside a container as
// well, where CI runs.
const podmanConfig = `[containers]
default_ulimits = ["nofile=16384:16384", "nproc=8192:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
stop_timeout = 1
[network]
network_backend = "netavark"
`

// errNoEngine says that no container can run here, and why.
var errNoEngine = errors.New("no container can run here")

// engine runs containers.
type engine struct {
	program string     // docker, or podman, which takes the same arguments
	env     []string   // what the engine's and the SAM CLI's processes need to find it
	host    netip.Addr // where a container reaches this machine
	session string     // marks what is this process's own
	stop    func()
}

// findEngine takes Docker where its daemon answers, and otherwise starts Podman
// behind Docker's API. Its files are in dir.
func findEngine(ctx context.Context, dir string, log io.Writer) (*engine, error) {
	docker := &engine{program: "docker", stop: func() {}}
	if _, err := docker.run(ctx, "info", "--format", "{{.ServerVersion}}"); err == nil {
		return docker, docker.findHost(ctx, "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
	}
	if _, err := exec.LookPath("podman"); err != nil {
		return nil, fmt.Errorf("%w: no Docker daemon answers, and Podman is not installed (Debian: apt-get install --no-install-recommends podman runc netavark aardvark-dns iptables)", errNoEngine)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: no Docker daemon answers, and Podman's network is reached from here by root alone", errNoEngine)
	}
	podman, err := startPodman(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	err = podman.findHost(ctx, "network", "inspect", "podman", "--format", "{{(index .Subnets 0).Gateway}}")
	if err != nil {
		podman.stop()
		return nil, err
	}
	return podman, nil
}

// startPodman starts the service that speaks Docker's API.
func startPodman(ctx context.Context, dir string, log io.Writer) (*engine, error) {
	settings, socket := filepath.Join(dir, "containers.conf"), filepath.Join(dir, "podman.sock")
	if err := os.WriteFile(settings, []byte(podmanConfig), 0o600); err != nil {
		return nil, err
	}
	env := []string{"CONTAINERS_CONF=" + settings, "DOCKER_HOST=unix://" + socket}
	service := exec.Command("podman", "system", "service", "--time=0", "unix://"+socket)
	service.Env, service.Stdout, service.Stderr = append(os.Environ(), env...), log, log
	stop, ended, err := launch(service)
	if err != nil {
		return nil, err
	}
	for range 200 {
		if _, err := os.Stat(socket); err == nil {
			return &engine{program: "podman", env: env, stop: stop}, nil
		}
		select {
		case <-ended:
			return nil, errors.New("podman ended before it was ready")
		case <-ctx.Done():
			stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	return nil, errors.New("podman made no socket")
}

// findHost asks for the address of this machine in the containers' network.
func (e *engine) findHost(ctx context.Context, question ...string) error {
	answer, err := e.run(ctx, question...)
	if err != nil {
		return err
	}
	e.host, err = netip.ParseAddr(answer)
	return err
}

// image is the name of what the functions run in; the SAM CLI makes its tag.
func (e *engine) image() string { return "localhost/parqueue-lambda-" + e.session }

// build makes the image of an emulator, and returns what removes it together
// with the containers that the SAM CLI leaves behind when it is stopped.
func (e *engine) build(ctx context.Context, dir, emulator, arch string) (remove func() error, err error) {
	content := filepath.Join(dir, "image")
	if err := os.Mkdir(content, 0o700); err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(emulator)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(content, "emulator"), binary, 0o755); err != nil { //nolint:gosec // it is run
		return nil, err
	}
	e.session = strings.ToLower(rand.Text())
	if err := os.WriteFile(filepath.Join(content, "Dockerfile"), fmt.Appendf(nil, dockerfile, e.session), 0o600); err != nil {
		return nil, err
	}
	tag := e.image() + ":rapid-" + arch
	if _, err := e.run(ctx, "build", "--quiet", "--tag", tag, content); err != nil {
		return nil, err
	}
	return func() error { return e.remove(context.WithoutCancel(ctx), tag) }, nil
}

func (e *engine) remove(ctx context.Context, tag string) error {
	ids, err := e.run(ctx, "ps", "--all", "--quiet", "--filter", "label=parqueue.session="+e.session)
	if err == nil && ids != "" {
		_, err = e.run(ctx, append([]string{"rm", "--force"}, strings.Fields(ids)...)...)
	}
	_, imageErr := e.run(ctx, "rmi", "--force", tag)
	return errors.Join(err, imageErr)
}

// run runs one command of the engine and returns what it printed.
func (e *engine) run(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, e.program, args...)
	command.Env = append(os.Environ(), e.env...)
	output, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("%s %s: %w", e.program, args[0], err)
	}
	return strings.TrimSpace(string(output)), nil
}
