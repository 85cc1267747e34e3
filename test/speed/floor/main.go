// Command floor moves bytes as fast as a plain Go client can: to and from
// presigned URLs, over a number of connections, without signing, hashing or
// asking anybody.
//
//	floor CONNECTIONS <PLAN
//
// A line of the plan is a JSON object with method, url, path, offset and size.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// piece is a stretch of a file and where it goes to or comes from.
type piece struct {
	Method, URL, Path string
	Offset, Size      int64
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("say how many connections")
	}
	connections, err := strconv.Atoi(os.Args[1])
	if err != nil || connections < 1 {
		return fmt.Errorf("%q is no number of connections", os.Args[1])
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, WriteBufferSize: 256 << 10, ReadBufferSize: 64 << 10, DisableCompression: true}}
	var group errgroup.Group
	group.SetLimit(connections)
	for plan := json.NewDecoder(os.Stdin); ; {
		var p piece
		if err := plan.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("reading the plan: %w", err)
		}
		group.Go(func() error { return p.move(client) })
	}
	return group.Wait() //nolint:wrapcheck // says which
}

func (p piece) move(client *http.Client) error {
	f, err := os.OpenFile(p.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	defer f.Close()
	var body io.Reader
	if p.Method == http.MethodPut {
		body = io.NewSectionReader(f, p.Offset, p.Size)
	}
	r, err := http.NewRequest(p.Method, p.URL, body) //nolint:noctx // ends with the process
	if err != nil {
		return fmt.Errorf("the plan: %w", err)
	}
	want := http.StatusOK
	if r.ContentLength = p.Size; body == nil {
		r.ContentLength, want = 0, http.StatusPartialContent
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", p.Offset, p.Offset+p.Size-1))
	}
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("%s was answered %s", p.Path, resp.Status)
	}
	if body != nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err //nolint:wrapcheck // of the network
	}
	n, err := io.CopyBuffer(io.NewOffsetWriter(f, p.Offset), struct{ io.Reader }{resp.Body}, make([]byte, 256<<10))
	if err == nil && n != p.Size {
		err = io.ErrUnexpectedEOF
	}
	return err //nolint:wrapcheck // of the network
}
