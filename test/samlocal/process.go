package main

import (
	"os/exec"
	"syscall"
	"time"
)

// stopTime is how long a process has to end when it is asked to.
const stopTime = 20 * time.Second

// launch starts a process that is stopped by stop, or dies with this one. It is
// in a group of its own: Ctrl-C in a terminal ends this process, which then stops
// the others in order.
func launch(command *exec.Cmd) (stop func(), ended <-chan struct{}, err error) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() {
		_ = command.Wait() // how it ends when it is stopped says nothing
		close(done)
	}()
	stop = func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(stopTime):
			_ = command.Process.Kill()
			<-done
		}
	}
	return stop, done, nil
}
