package sqlite

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// refuseNetwork refuses a database on a network file system; where that cannot be found out it is let pass.
func refuseNetwork(path string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &fs); err != nil {
		return nil //nolint:nilerr // what is wrong with the folder comes up when it is used
	}
	// The type is signed on some machines, and its magic numbers have 32 bits.
	if kind, network := networkFileSystems[uint32(fs.Type)]; network { // as said
		return &NetworkFileSystemError{Path: path, Kind: kind}
	}
	return nil
}
