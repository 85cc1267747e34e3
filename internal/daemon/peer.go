//go:build linux || darwin

package daemon

import (
	"net"
	"syscall"
)

// control asks the system about a connection.
func control(conn net.Conn, ask func(fd int) bool) (own bool) {
	with, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := with.SyscallConn()
	if err != nil {
		return false
	}
	if err := raw.Control(func(fd uintptr) { own = ask(int(fd)) }); err != nil {
		return false
	}
	return own
}
