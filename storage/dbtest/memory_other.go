//go:build !linux

package dbtest

// memory is a folder that is kept in memory: none is known here.
func memory() string { return "" }
