package proof

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end a program when the test that started it is
// killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
