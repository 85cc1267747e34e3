package daemon

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/parqueue/parqueue/internal/fault"
)

// addressFile tells clients where the daemon is. A daemon that was killed leaves
// it behind: whether anybody answers there is what counts.
func addressFile(stateDir string) string { return filepath.Join(Folder(stateDir), "daemon.json") }

// socketLimit is what a socket's path may have of bytes: 104 on macOS and 108 on
// Linux, with the zero behind it.
const socketLimit = 100

// listen opens the socket and says where it is.
func (d *Daemon) listen(ctx context.Context) (net.Listener, Address, error) {
	address := Address{PID: os.Getpid(), Version: d.config.Version, Protocol: Protocol}
	var listener net.Listener
	var err error
	if d.config.Loopback {
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err == nil {
			address.URL, address.Token = "http://"+listener.Addr().String(), rand.Text()
		}
	} else {
		listener, address.Socket, err = listenSocket(ctx, d.config.StateDir)
	}
	if err != nil {
		return nil, address, fault.New(fault.CodeInvalidRequest, "The transfer daemon finds no place to listen at.",
			"Name another folder with PARQUEUE_STATE_DIR, or do without the daemon with --no-daemon.").Because(err)
	}
	text, err := json.Marshal(address)
	if err == nil {
		err = writeFile(addressFile(d.config.StateDir), text)
	}
	if err != nil {
		return nil, address, errors.Join(errState(Folder(d.config.StateDir), err), listener.Close())
	}
	return listener, address, nil
}

// listenSocket makes the socket in the daemon's folder. Where its path would be too
// long, or the file system has no sockets, it is in a folder of the user's own for
// short-lived things.
func listenSocket(ctx context.Context, stateDir string) (net.Listener, string, error) {
	path := filepath.Join(Folder(stateDir), "daemon.sock")
	var failed error
	if len(path) <= socketLimit {
		listener, err := bind(ctx, path)
		if err == nil {
			return listener, path, nil
		}
		failed = err
	}
	dir, err := shortFolder(stateDir)
	if err != nil {
		return nil, "", errors.Join(failed, err)
	}
	path = filepath.Join(dir, "daemon.sock")
	listener, err := bind(ctx, path)
	return listener, path, errors.Join(err, whenBoth(failed, err))
}

// whenBoth is the first error if there is a second.
func whenBoth(first, second error) error {
	if second == nil {
		return nil
	}
	return first
}

// bind listens on a socket that the user alone may connect to. One that a daemon
// left behind is removed: the caller has the lock.
func bind(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil { // the folder is 0700 before that
		return nil, errors.Join(err, listener.Close())
	}
	return &ownListener{listener}, nil
}

// shortFolder makes a folder whose path is short, under a name that nobody else's
// state has.
func shortFolder(stateDir string) (string, error) {
	sum := sha256.Sum256([]byte(stateDir))
	return ShortLived(hex.EncodeToString(sum[:6]))
}

// ShortLived makes a private folder for one use, whose path is short: in the
// session's runtime folder, or in the one for temporary files. One that somebody
// else has made there is not used.
func ShortLived(use string) (string, error) {
	name := fmt.Sprintf("parqueue-%d-%s", os.Getuid(), use)
	var failed error
	for _, base := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} {
		dir := filepath.Join(base, name)
		if !filepath.IsAbs(base) || len(dir)+len("/daemon.sock") > socketLimit {
			continue
		}
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			err = nil
		}
		if err == nil {
			err = checkPrivate(dir)
		}
		if err == nil {
			return dir, nil
		}
		failed = errors.Join(failed, err)
	}
	return "", errors.Join(errors.New("no folder with a short path can be made"), failed)
}

// ownListener takes connections of the user's own processes only.
type ownListener struct{ net.Listener }

// Accept implements net.Listener.
func (l *ownListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || ownPeer(conn) {
			return conn, err
		}
		_ = conn.Close()
	}
}
