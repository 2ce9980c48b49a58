package sqlite

import (
	"fmt"
	"math"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/safebox/safebox/storage"
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

// The magic numbers of local file systems that do not last, and of some that do, by their names.
const (
	magicTmpfs   = 0x01021994
	magicRamfs   = 0x858458F6
	magicOverlay = 0x794C7630
)

var localFileSystems = map[uint32]string{
	magicTmpfs: "tmpfs", magicRamfs: "ramfs", magicOverlay: "overlay",
	0xEF53: "ext", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x2FC12FC1: "zfs", 0xF2F52010: "f2fs", 0x65735546: "FUSE",
}

// lookAtVolume notes what the volume of a file is and how much of it is free.
func lookAtVolume(path string, v *storage.FileVitals) {
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &fs); err != nil {
		v.Free = -1
		return
	}
	magic := uint32(fs.Type)
	kind, network := networkFileSystems[magic]
	if !network {
		kind = localFileSystems[magic]
	}
	if kind == "" {
		kind = fmt.Sprintf("of type 0x%X", magic)
	}
	bytes := func(blocks uint64) int64 { return int64(min(blocks, math.MaxInt64/uint64(fs.Bsize))) * fs.Bsize }
	v.FileSystem, v.Network, v.Memory, v.Layer = kind, network, magic == magicTmpfs || magic == magicRamfs, magic == magicOverlay
	v.Free, v.Total = bytes(fs.Bavail), bytes(fs.Blocks)
}
