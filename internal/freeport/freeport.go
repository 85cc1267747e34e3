// Package freeport finds an address for a server that can't choose one itself.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
)

// Ports below those that systems give out by themselves (Linux: from 32768, see
// ip(7), ip_local_port_range; the IANA's range begins at 49152), and above those
// that well-known servers and the SAM CLI's containers take.
const (
	first = 10_240
	end   = 32_768
	tries = 100
)

// Address is a loopback address that nobody listens on, host:port. A system
// gives a free port to whoever asks for any, so one that it gave and got back
// can be somebody else's a moment later, while the server that is to have it
// still starts. This is a port that no system gives out.
func Address() (string, error) {
	var last error
	for range tries {
		//nolint:gosec // it is no secret
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(end-first)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		if last = err; errors.Is(err, os.ErrPermission) {
			break
		}
	}
	return "", fmt.Errorf("no port of the loopback address is free: %w", last)
}
