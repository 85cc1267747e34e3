package daemon

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ownPeer reports that a process of the same user is at the other end.
func ownPeer(conn net.Conn) bool {
	return control(conn, func(fd int) bool {
		peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err == nil && int(peer.Uid) == os.Geteuid()
	})
}
