// Command s3model is an S3 with known rates on this machine, for benchmarks that
// compare clients: TLS, a time until the first byte of an answer, and a bandwidth
// of each connection. Behind it is the embedded store.
//
//	s3model --data DIR [--api http://127.0.0.1:8080]
//	s3model --data DIR --plain
//
// It writes DIR/s3model.env, with which S3 clients find it (and trust its
// certificate). With --api it stands before a Parqueue server too: at the address that it prints
// the API answers after the same time, and the presigned URLs in its answers lead
// through the model, to the server's own store. With --plain clients get the embedded
// store as it is, the one that `parqueue serve` has: no TLS, no times, no rates.
//
// What it doesn't model: the network between (one time and one rate stand for it), S3's limits
// of requests, and its slow or failing answers. Clients, model and stores share
// the processors, so figures are for comparing clients and not for forecasts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	var c config
	flag.StringVar(&c.dir, "data", "", "the `folder` that holds everything")
	flag.StringVar(&c.listen, "listen", "127.0.0.1:0", "where the model answers")
	flag.StringVar(&c.api, "api", "", "the `URL` of a Parqueue server to stand before")
	flag.BoolVar(&c.plain, "plain", false, "the embedded store as it is, and nothing before it")
	flag.DurationVar(&c.firstByte, "first-byte", 30*time.Millisecond, "from the end of a request to the first byte of its answer")
	flag.Int64Var(&c.bytesPerSecond, "rate", 90_000_000, "`bytes` per second of each connection, each way")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m, err := start(ctx, c)
	if err != nil {
		return err
	}
	fmt.Println("store:", m.url)
	if m.apiURL != "" {
		fmt.Println("api:", m.apiURL)
	}
	fmt.Println("ready:", m.env)
	<-ctx.Done()
	return m.close()
}
