package keychain

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// Without a session bus there is no keychain, and that is known at once.
func TestNoSessionBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	if present() {
		t.Skip("this user has a session bus at its usual place")
	}
	started := time.Now()
	if err := (System{}).Set("a", "b"); !errors.Is(err, ErrNone) {
		t.Errorf("Set: %v", err)
	}
	if _, err := (System{}).Get("a"); !errors.Is(err, ErrNone) {
		t.Errorf("Get: %v", err)
	}
	if took := time.Since(started); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// A bus that takes a connection and says nothing is not waited for.
func TestSilentBus(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+socket)
	started := time.Now()
	if _, err := (System{}).Get("a"); !errors.Is(err, ErrNone) {
		t.Errorf("Get: %v", err)
	}
	if took := time.Since(started); took < answerTime || took > answerTime+3*time.Second {
		t.Errorf("it took %v", took)
	}
}
