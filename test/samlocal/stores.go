package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/embeddeds3"
	"github.com/parqueue/parqueue/internal/freeport"
	"github.com/parqueue/parqueue/internal/keys"
)

const (
	region = "us-east-1"
	table  = "parqueue"
	bucket = "parqueue"
	inbox  = "parqueue-inbox" // as in events/ingest-object
	tenant = "local"
)

// stores are the table and the buckets. What is in them goes with the process.
type stores struct {
	dynamoDB, s3         string // addresses on loopback, host:port
	accessKey, secretKey string
	key                  string // the first admin key
	stop                 func()
}

func startStores(ctx context.Context, c config, dir string) (*stores, error) {
	s := &stores{accessKey: rand.Text(), secretKey: rand.Text()}
	objects, err := embeddeds3.Start(ctx, embeddeds3.Config{
		Dir: filepath.Join(dir, "objects"), Address: "127.0.0.1:0", AccessKey: s.accessKey, SecretKey: s.secretKey,
		Region: region, Buckets: []string{bucket, inbox}, Logger: slog.New(slog.NewTextHandler(c.output, nil)),
	})
	if err != nil {
		return nil, err
	}
	s.s3 = strings.TrimPrefix(objects.Endpoint(), "http://")
	stopEmulator, err := s.startDynamoDB(ctx, c)
	s.stop = func() {
		if stopEmulator != nil {
			stopEmulator()
		}
		if err := objects.Close(); err != nil {
			fmt.Fprintln(c.output, "stopping the object store:", err)
		}
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// startDynamoDB starts the emulator, with a table that has one key in it.
func (s *stores) startDynamoDB(ctx context.Context, c config) (stop func(), err error) {
	program := filepath.Join(c.root, ".cache/npm/node_modules/@dynoxide/linux-x64/dynoxide")
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w: run `make test-tools`", err)
	}
	if s.dynamoDB, err = freeport.Address(); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(s.dynamoDB)
	if err != nil {
		return nil, err
	}
	emulator := exec.Command(program, "serve", "--host", host, "--port", port) //nolint:gosec // the repository's own tool
	emulator.Stderr = c.output
	stop, ended, err := launch(emulator)
	if err != nil {
		return nil, err
	}
	if err := answers(ctx, "http://"+s.dynamoDB, ended); err != nil {
		return stop, fmt.Errorf("the DynamoDB emulator: %w", err)
	}
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String("http://" + s.dynamoDB), Region: region,
		Credentials: credentials.NewStaticCredentialsProvider(s.accessKey, s.secretKey, ""),
	})
	definition := dynamo.Definition(table)
	if _, err := client.CreateTable(ctx, definition); err != nil {
		return stop, err
	}
	key, text, err := keys.New(tenant, "first admin key", []keys.Scope{keys.ScopeAdmin}, nil, time.Time{}, time.Now())
	if err != nil {
		return stop, err
	}
	s.key = text
	return stop, dynamo.New(client, table).AddKey(ctx, key)
}

// startTime is how long a server has until it answers.
const startTime = time.Minute

// answers waits until a server answers, whatever it says.
func answers(ctx context.Context, url string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-ended:
			return errors.New("it ended before it answered")
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
