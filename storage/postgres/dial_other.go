//go:build !linux

package postgres

import "syscall"

// setUserTimeout does nothing where the system has no such setting; the keepalives still hold.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
