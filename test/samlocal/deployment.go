package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// config says what to run, and where.
type config struct {
	root   string    // the repository
	built  string    // what `sam build` wrote, relative to it
	listen string    // host:port of the API
	output io.Writer // what all the programs say
}

// deployment is the API under `sam local`.
type deployment struct {
	config
	url     string
	key     string // an admin key
	keyFile string // has it

	dir    string // for temporary files
	stores *stores
	arch   string
	engine *engine
	ended  <-chan struct{}
	undo   []func() // what stops what was started, last first
	once   sync.Once
}

// start starts everything and returns when the API answers. The caller closes
// the deployment.
func start(ctx context.Context, c config) (*deployment, error) {
	d := &deployment{config: c}
	if err := d.start(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *deployment) start(ctx context.Context) (err error) {
	if d.root, err = filepath.Abs(d.root); err != nil {
		return err
	}
	if d.arch, err = architecture(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "parqueue-sam-local-"); err != nil {
		return err
	}
	d.undo = append(d.undo, func() { _ = os.RemoveAll(d.dir) })
	if err := d.startEngine(ctx); err != nil {
		return err
	}
	s, err := startStores(ctx, d.config, d.dir)
	if err != nil {
		return err
	}
	d.undo = append(d.undo, s.stop)
	d.stores = s
	d.key, d.keyFile = s.key, filepath.Join(d.dir, "admin.key")
	if err := os.WriteFile(d.keyFile, []byte(s.key+"\n"), 0o600); err != nil {
		return err
	}
	if err := d.connect(s); err != nil {
		return err
	}
	return d.startAPI(ctx)
}

func (d *deployment) startEngine(ctx context.Context) (err error) {
	if d.engine, err = findEngine(ctx, d.dir, d.output); err != nil {
		return err
	}
	d.undo = append(d.undo, d.engine.stop)
	emulator, err := d.emulator(d.arch)
	if err != nil {
		return err
	}
	remove, err := d.engine.build(ctx, d.dir, emulator, d.arch)
	if err != nil {
		return err
	}
	d.undo = append(d.undo, func() {
		if err := remove(); err != nil {
			fmt.Fprintln(d.output, "removing the containers:", err)
		}
	})
	return nil
}

// connect lets the containers reach the stores, and tells the functions where
// they are.
func (d *deployment) connect(s *stores) error {
	forwarding, stop := context.WithCancel(context.Background())
	d.undo = append(d.undo, stop)
	dynamoDB, err := forward(forwarding, d.engine.host, s.dynamoDB)
	if err != nil {
		return err
	}
	s3, err := forward(forwarding, d.engine.host, s.s3)
	if err != nil {
		return err
	}
	variables, err := json.Marshal(map[string]any{"Parameters": map[string]string{
		"TABLE_NAME": table, "BUCKET_NAME": bucket, "INBOX_NAME": inbox, "INBOX_TENANT": tenant,
		"AWS_ENDPOINT_URL_DYNAMODB": dynamoDB, "AWS_ENDPOINT_URL_S3": s3,
	}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.variables(), variables, 0o600); err != nil {
		return err
	}
	return d.writeScript(append(d.engine.env,
		"SAM_CLI_TELEMETRY=0", "AWS_EC2_METADATA_DISABLED=true", "AWS_DEFAULT_REGION="+region,
		"AWS_ACCESS_KEY_ID="+s.accessKey, "AWS_SECRET_ACCESS_KEY="+s.secretKey, "AWS_SESSION_TOKEN="))
}

// variables is the file with the functions' environment.
func (d *deployment) variables() string { return filepath.Join(d.dir, "variables.json") }

// script is `sam local` with everything that it has to be told here, for a
// person who wants to invoke a function, and for this program.
func (d *deployment) script() string { return filepath.Join(d.dir, "sam-local") }

func (d *deployment) writeScript(env []string) error {
	text := "#!/bin/sh\nset -eu\ncd " + quoted(d.root) + "\n"
	for _, variable := range env {
		text += "export " + quoted(variable) + "\n"
	}
	text += "exec " + quoted(filepath.Join(d.root, ".cache/venv/sam/bin/sam")) + ` local "$@"`
	for _, arg := range []string{
		"--template", filepath.Join(d.root, d.built, "template.yaml"), "--env-vars", d.variables(),
		"--skip-pull-image", "--invoke-image", d.engine.image(), "--parameter-overrides", "Arch=" + d.arch,
	} {
		text += " " + quoted(arg)
	}
	return os.WriteFile(d.script(), []byte(text+"\n"), 0o700) //nolint:gosec // it is run
}

// quoted is a text as a shell reads it as one word.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// startAPI starts `sam local start-api`. Each function's container starts with
// its first request and stays.
func (d *deployment) startAPI(ctx context.Context) error {
	host, port, err := net.SplitHostPort(d.listen)
	if err != nil {
		return err
	}
	command := exec.Command(d.script(), "start-api", "--host", host, "--port", port, "--warm-containers", "LAZY")
	command.Stdout, command.Stderr = d.output, d.output
	stop, ended, err := launch(command)
	if err != nil {
		return err
	}
	d.undo = append(d.undo, stop)
	d.url, d.ended = "http://"+d.listen, ended
	if err := answers(ctx, d.url, ended); err != nil {
		return fmt.Errorf("sam local start-api: %w", err)
	}
	return nil
}

// invoke runs one function on one event, with `sam local invoke`, and returns
// its answer.
func (d *deployment) invoke(ctx context.Context, function, eventFile string) ([]byte, error) {
	command := exec.CommandContext(ctx, d.script(), "invoke", function, "--event", eventFile)
	var answer bytes.Buffer
	command.Stdout, command.Stderr = &answer, d.output
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("sam local invoke %s: %w", function, err)
	}
	return bytes.TrimSpace(answer.Bytes()), nil
}

// wait returns when ctx ends, or with an error when the API does.
func (d *deployment) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.ended:
		return errors.New("sam local start-api ended")
	}
}

// close stops everything and removes what it made.
func (d *deployment) close() {
	d.once.Do(func() {
		for i := len(d.undo) - 1; i >= 0; i-- {
			d.undo[i]()
		}
	})
}
