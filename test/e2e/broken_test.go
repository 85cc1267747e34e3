package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestBodyStops sends uploads whose bodies stop halfway, in the ways that
// networks and clients have. Nothing is stored, and a caller that still listens
// is told.
func TestBodyStops(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	g := guard(t, srv.admin())
	kind, body := form(text("dataset_id", g.id), file("half.parquet", parquet(t, 1)))
	for _, test := range []struct {
		name    string
		length  string // the header that says how long the body is
		send    []byte
		listens bool // the client hears the answer
	}{
		{"half of the bytes", fmt.Sprintf("Content-Length: %d", len(body)), body[:len(body)/2], true},
		{"half, and gone", fmt.Sprintf("Content-Length: %d", len(body)), body[:len(body)/2], false},
		{"all but one", fmt.Sprintf("Content-Length: %d", len(body)), body[:len(body)-1], true},
		{"nothing", fmt.Sprintf("Content-Length: %d", len(body)), nil, true},
		{"a chunk of half", "Transfer-Encoding: chunked", fmt.Appendf(nil, "%x\r\n%s", len(body), body[:len(body)/2]), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := dial(t, srv).(*net.TCPConn)
			fmt.Fprintf(conn, "POST /upload-to-dataset HTTP/1.1\r\nHost: x\r\nAuthorization: Key %s\r\nContent-Type: %s\r\n%s\r\n\r\n", srv.key, kind, test.length)
			if _, err := conn.Write(test.send); err != nil {
				t.Fatal(err)
			}
			if test.listens {
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				readAnswer(t, conn).refused(t, http.StatusBadRequest, "incomplete_body", "again")
			} else if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // for a server that would store it late
			g.unchanged(t)
		})
	}
}

// readAnswer reads a response by hand.
func readAnswer(t testing.TB, conn net.Conn) answer {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}
}
