// Package keychain keeps secrets where the system keeps a person's passwords: the
// Secret Service on Linux (GNOME Keyring, KWallet), the Keychain on macOS, the
// Credential Manager on Windows. Not every machine has one, and none of them may
// keep a program waiting: a server has no screen to ask for a password on.
//
// The package needs no IAM actions.
package keychain

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"
)

// service is what the secrets are found under.
const service = "parqueue"

// How long the system may take. Where there is a screen it may ask its user to
// unlock the keychain.
const (
	answerTime = 5 * time.Second
	unlockTime = time.Minute
)

// ErrNone is a machine without a keychain, or one that doesn't answer.
var ErrNone = errors.New("this machine has no keychain that answers")

// System is the machine's keychain.
type System struct{}

// Set keeps a secret under an account, in the place of an older one.
// Errors: ErrNone, or what the system says.
func (System) Set(account, secret string) error {
	_, err := within(func() (string, error) { return "", keyring.Set(service, account, secret) })
	return err
}

// Get returns a secret.
// Errors: ErrNone, or what the system says.
func (System) Get(account string) (string, error) {
	return within(func() (string, error) { return keyring.Get(service, account) })
}

// Delete removes a secret; that there is none is no error.
// Errors: ErrNone, or what the system says.
func (System) Delete(account string) error {
	_, err := within(func() (string, error) { return "", keyring.Delete(service, account) })
	if errors.Is(err, keyring.ErrNotFound) {
		return nil
	}
	return err
}

// within asks the system, and waits no longer than it may take.
func within(ask func() (string, error)) (string, error) {
	if !present() {
		return "", ErrNone
	}
	type answer struct {
		secret string
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		secret, err := ask()
		answered <- answer{secret, err}
	}()
	wait := answerTime
	if hasScreen() {
		wait = unlockTime
	}
	select {
	case a := <-answered:
		return a.secret, a.err
	case <-time.After(wait):
		return "", fmt.Errorf("%w within %v", ErrNone, wait)
	}
}

// present reports that there may be a keychain. Without a session bus there is no
// Secret Service, and looking for one would start a bus.
func present() bool {
	switch runtime.GOOS {
	case "darwin", "windows":
		return true
	}
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	_, err := os.Stat(fmt.Sprintf("/run/user/%d/bus", os.Getuid()))
	return err == nil
}

// hasScreen reports that the system can ask its user something.
func hasScreen() bool {
	switch runtime.GOOS {
	case "darwin", "windows":
		return true
	}
	return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}
