package sqlite

import (
	"fmt"

	"github.com/safebox/safebox/storage"
)

// NetworkFileSystemError says that the database is on a file system which other machines may mount too. Locks do not
// keep those apart, and SQLite's write-ahead log needs memory shared by all who use the file.
type NetworkFileSystemError struct {
	Path, Kind string
}

func (e *NetworkFileSystemError) Error() string {
	return fmt.Sprintf("%v: the SQLite file %s is on a network file system (%s), where neither its locks nor its write-ahead log "+
		"can be relied on: put it on a local disk, or use PostgreSQL", storage.ErrConfig, e.Path, e.Kind)
}

// Unwrap is storage.ErrConfig.
func (e *NetworkFileSystemError) Unwrap() error { return storage.ErrConfig }

// networkFileSystems are the magic numbers of statfs(2) that belong to file systems on other machines. Those mounted
// through FUSE, such as sshfs, cannot be told from local ones.
var networkFileSystems = map[uint32]string{
	0x6969:     "NFS",
	0x517B:     "SMB",
	0xFF534D42: "CIFS",
	0xFE534D42: "SMB2",
	0x5346414F: "AFS",
	0x6B414653: "AFS",
	0x73757245: "Coda",
	0x564C:     "NCP",
}
