//go:build !linux

package dbtest

import "syscall"

// dieWithParent does nothing here: the janitor ends the server.
func dieWithParent(*syscall.SysProcAttr) {}
