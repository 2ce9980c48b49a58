package dbtest

import "syscall"

// roomInMemory is what has to be free there before it is used: the databases of two test processes need a tenth of it.
const roomInMemory = 4 << 30

// memory is a folder that is kept in memory, "" where there is none with room enough. On a disk, a file system that has
// deleted many files a moment ago takes long to make new ones, and a database of PostgreSQL's has three hundred.
func memory() string {
	const dir = "/dev/shm"
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Type != 0x01021994 { // tmpfs, in linux/magic.h
		return ""
	}
	if fs.Bavail*uint64(fs.Bsize) < roomInMemory {
		return ""
	}
	return dir
}
