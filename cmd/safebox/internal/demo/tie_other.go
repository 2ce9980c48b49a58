//go:build unix && !linux

package demo

import (
	"os/exec"
	"syscall"
)

// tie puts the child in a process group of its own, so that a Ctrl-C on the terminal reaches the demo alone.
func tie(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
