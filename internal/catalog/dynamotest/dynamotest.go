// Package dynamotest gives tests a DynamoDB: an emulator of their own, or the
// one that PARQUEUE_TEST_DYNAMODB_ENDPOINT names.
package dynamotest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/freeport"
	"github.com/parqueue/parqueue/internal/testtool"
)

// EndpointVariable names an endpoint to test against instead of an emulator
// that the test starts.
const EndpointVariable = "PARQUEUE_TEST_DYNAMODB_ENDPOINT"

// Start returns a client and the name of a new table. The emulator that it
// starts is stopped with the test.
func Start(t testing.TB) (client *dynamodb.Client, table string) {
	t.Helper()
	endpoint := Endpoint(t)
	client = Client(endpoint)
	return client, CreateTable(t, client)
}

// Endpoint is the address of the emulator, which runs until the end of the
// test.
func Endpoint(t testing.TB) string {
	t.Helper()
	if endpoint := os.Getenv(EndpointVariable); endpoint != "" {
		return endpoint
	}
	for try := 1; ; try++ { // somebody else may take the port before the emulator does
		endpoint, err := start(t, testtool.Dynoxide(t))
		if err == nil {
			return endpoint
		}
		if try == 3 {
			t.Fatalf("starting the DynamoDB emulator: %v", err)
		}
	}
}

// Client returns a client of an emulator, with the retries of production.
func Client(endpoint string, options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String(endpoint),
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, options...)
}

// CreateTable makes a table with a name that is free and returns the name.
func CreateTable(t testing.TB, client *dynamodb.Client) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	table := "parqueue-" + strings.ToLower(rand.Text())
	if _, err := client.CreateTable(ctx, dynamo.Definition(table)); err != nil {
		t.Fatalf("creating a table: %v", err)
	}
	describe := &dynamodb.DescribeTableInput{TableName: &table}
	err := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, 200*time.Millisecond
	}).Wait(ctx, describe, startTime)
	if err != nil {
		t.Fatalf("waiting for a table: %v", err)
	}
	return table
}

const startTime = 15 * time.Second

// start runs the emulator, in memory, on a free port of the loopback address.
func start(t testing.TB, program string) (endpoint string, err error) {
	address, err := freeport.Address()
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	var output strings.Builder
	cmd := exec.Command(program, "serve", "--host", host, "--port", port) //nolint:gosec // the test's own tool
	cmd.Stdout, cmd.Stderr = &output, &output
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed, so this fails
		close(ended)
	}()
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	endpoint = "http://" + address
	if err := answers(endpoint, ended); err != nil {
		stop()
		return "", fmt.Errorf("%w; it printed %q", err, output.String())
	}
	t.Cleanup(stop)
	return endpoint, nil
}

// answers waits until a server answers, whatever it says.
func answers(endpoint string, ended <-chan struct{}) error {
	deadline := time.Now().Add(startTime)
	for {
		response, err := http.Get(endpoint) //nolint:gosec,noctx // a loopback address
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer: %w", err)
		}
	}
}
