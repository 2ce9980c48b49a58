package demo

import (
	"os/exec"
	"syscall"
)

// tie puts the child in a process group of its own, so that a Ctrl-C on the terminal reaches the demo alone, and has
// the kernel kill it when the demo dies.
func tie(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
