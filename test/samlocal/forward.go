package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
)

// forward has an address of the containers' network lead to a server on this
// machine's loopback address, which containers do not reach. It returns the
// address to use, in a container or here, until ctx ends.
func forward(ctx context.Context, host netip.Addr, server string) (string, error) {
	// The network's interface comes with the first container, later than this.
	freeBind := func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_FREEBIND, 1)
		})
		if err != nil {
			return err
		}
		return failed
	}
	listen := net.ListenConfig{Control: freeBind}
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort(host.String(), "0"))
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go join(client, server)
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	return "http://" + net.JoinHostPort(host.String(), strconv.Itoa(port)), nil
}

// join copies both ways until both ends are done.
func join(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{
		{client.(*net.TCPConn), server.(*net.TCPConn)},
		{server.(*net.TCPConn), client.(*net.TCPConn)},
	} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].CloseWrite()
		})
	}
	both.Wait()
}
