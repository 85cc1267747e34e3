package freeport_test

import (
	"net"
	"testing"

	"github.com/parqueue/parqueue/internal/freeport"
)

// TestAddress asks for addresses, and the system for ports, which must not meet.
func TestAddress(t *testing.T) {
	given := map[string]bool{}
	for range 500 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		given[l.Addr().String()] = true
	}
	for range 500 {
		address, err := freeport.Address()
		if err != nil {
			t.Fatal(err)
		}
		if given[address] {
			t.Errorf("%s is the system's to give", address)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("it is not free: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
