package daemon

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
)

// LogFile is where a daemon that was started in the background writes its log.
// The part before it is in a file with .1 behind its name.
func LogFile(stateDir string) string { return filepath.Join(Folder(stateDir), "daemon.log") }

// logLimit bounds each of the two files.
const logLimit = 1 << 20

// Log is a log file that is bounded: when it is full it becomes the part before.
type Log struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenLog opens the log of a state folder. What a crash of the process says goes
// there as well.
// Errors: CodeInvalidRequest when it can't be written.
func OpenLog(stateDir string) (*Log, error) {
	l := &Log{path: LogFile(stateDir)}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return nil, errState(filepath.Dir(l.path), err)
	}
	if err := l.open(); err != nil {
		return nil, errState(filepath.Dir(l.path), err)
	}
	return l, nil
}

func (l *Log) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file, l.size = file, info.Size()
	return debug.SetCrashOutput(file, debug.CrashOptions{})
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(p)) > logLimit {
		if err := os.Rename(l.path, l.path+".1"); err == nil {
			_ = l.open() // or the old file goes on
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// Close implements io.Closer.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
