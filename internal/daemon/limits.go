package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/parqueue/parqueue/internal/transfer"
)

func limitsFile(stateDir string) string { return filepath.Join(Folder(stateDir), "limits.json") }

// loadLimits returns the limits that were set last; none if they can't be read.
func loadLimits(stateDir string) Limits {
	var l Limits
	text, err := os.ReadFile(limitsFile(stateDir))
	if err != nil || json.Unmarshal(text, &l) != nil {
		return Limits{}
	}
	return l
}

// setLimits has limits hold from now on.
func (d *Daemon) setLimits(l Limits) error {
	most := l.Connections
	if most == 0 {
		most = connections
	}
	return d.limits.Set(most, l.BytesPerSecond)
}

// changeLimits sets limits and remembers them: a person who bounds what transfers
// take does not want that to end with a daemon.
func (d *Daemon) changeLimits(l Limits) error {
	if err := d.setLimits(l); err != nil {
		return err
	}
	d.asked.Store(&l)
	text, err := json.Marshal(l)
	if err == nil {
		err = writeFile(limitsFile(d.config.StateDir), text)
	}
	if err != nil {
		return errState(Folder(d.config.StateDir), err)
	}
	d.log.Info("limits", "connections", l.Connections, "bytes_per_second", l.BytesPerSecond)
	return nil
}

// checkLimits refuses limits of one transfer that can't be.
func checkLimits(l *Limits) error {
	if l == nil {
		return nil
	}
	_, err := transfer.NewLimits(l.Connections, l.BytesPerSecond)
	return err
}
