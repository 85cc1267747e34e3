package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

const testStall = 150 * time.Millisecond

// dial starts a server with a handler behind watchProgress and sends a request's
// beginning.
func dial(t *testing.T, handler http.HandlerFunc, begin string) net.Conn {
	t.Helper()
	srv := httptest.NewServer(watchProgress(handler, testStall))
	t.Cleanup(srv.Close)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, begin); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestBodyThatStandsStillEnds(t *testing.T) {
	got := make(chan error, 1)
	dial(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
	}, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	select {
	case err := <-got:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("reading ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a body that stands still is read for ever")
	}
}

func TestBodyThatMovesMayTakeLong(t *testing.T) {
	const pieces = 8 // more than two stalls in all
	got := make(chan error, 1)
	conn := dial(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		got <- err
	}, fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", pieces*stallBytes))
	for range pieces {
		time.Sleep(testStall / 3)
		if _, err := conn.Write(make([]byte, stallBytes)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-got; err != nil {
		t.Fatalf("reading ended with %v", err)
	}
}

// A byte now and then is no movement: it would hold a turn for ever.
func TestBodyThatDripsEnds(t *testing.T) {
	got := make(chan error, 1)
	conn := dial(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		got <- err
	}, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
	for range 100 {
		select {
		case err := <-got:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("reading ended with %v", err)
			}
			return
		case <-time.After(testStall / 3):
			conn.Write([]byte("x"))
		}
	}
	t.Fatal("a body that drips is read for ever")
}

// Work that goes on after the body's end, or without a body, is not cut off: the
// deadline of the last read must not end the request's context.
func TestWorkAfterTheBodyMayTakeLong(t *testing.T) {
	for name, begin := range map[string]string{
		"a body":         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"a chunked body": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		"an empty body":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"no body":        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				select {
				case <-r.Context().Done():
					http.Error(w, context.Cause(r.Context()).Error(), http.StatusTeapot)
				case <-time.After(3 * testStall):
					io.WriteString(w, "done")
				}
			}, begin)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if body, _ := io.ReadAll(answer.Body); string(body) != "done" {
				t.Fatalf("%d %s", answer.StatusCode, body)
			}
		})
	}
}

func TestReaderThatStandsStillEnds(t *testing.T) {
	got := make(chan error, 1)
	dial(t, func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, strings.NewReader(strings.Repeat("x", 64<<20))) // more than the connection buffers
		got <- err
	}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-got:
		if err == nil {
			t.Fatal("all of it was sent to a client that reads nothing")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a client that reads nothing is served for ever")
	}
}
