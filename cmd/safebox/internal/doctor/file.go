package doctor

import (
	"fmt"

	"github.com/safebox/safebox/storage"
)

const (
	// littleRoom and noRoom are what is free of a volume when a file may soon, and when it cannot, grow.
	littleRoom, noRoom = 1 << 30, 64 << 20
	// longLog is the size of a write-ahead log that somebody keeps from being taken over into the file.
	longLog = 256 << 20
)

// File judges a SQLite file and the volume that it is on.
func File(v storage.Vitals) []Line {
	f := v.SQLite
	return []Line{Fine("version", v.Server), fileSystem(f), room(v), walSize(f), mode(f)}
}

func fileSystem(f storage.FileVitals) Line {
	const check = "file system"
	switch {
	case f.FileSystem == "":
		return Fine(check, "what it is cannot be known on this system; it must not be one of the network")
	case f.Network:
		return Wrong(check, Failure, Config, f.FileSystem+": neither locks nor the write-ahead log can be relied on over a network", "put the file on a local disk, or use PostgreSQL")
	case f.Memory:
		return Wrong(check, Warning, Config, f.FileSystem+": the database is gone when this machine stops", "put the file on a disk")
	case f.Layer:
		return Wrong(check, Warning, Config, f.FileSystem+": the database is gone with the container", "put the file on a volume")
	}
	return Fine(check, f.FileSystem)
}

func room(v storage.Vitals) Line {
	f := v.SQLite
	if f.Free < 0 {
		return Fine("disk", fmt.Sprintf("the database takes %s; how much room is left cannot be known on this system", Size(v.Bytes)))
	}
	found := fmt.Sprintf("%s of %s are free for this user, and the database takes %s", Size(f.Free), Size(f.Total), Size(v.Bytes))
	const do = "make room on the volume, or move the file to a larger one"
	switch {
	case f.Free < noRoom:
		return Wrong("disk", Failure, Unavailable, found, do)
	case f.Free < littleRoom:
		return Wrong("disk", Warning, Unavailable, found, do)
	}
	return Fine("disk", found)
}

func walSize(f storage.FileVitals) Line {
	found := fmt.Sprintf("the write-ahead log has %s", Size(f.Log))
	if f.Log > longLog {
		return Wrong("log", Warning, Data, found+": a reader that does not end keeps it from being taken over into the file",
			"end the program that reads the file, such as a backup or a shell that was left open")
	}
	return Fine("log", found)
}

func mode(f storage.FileVitals) Line {
	if f.Others {
		return Wrong("access", Warning, Config, "users beside the owner may open the file, which holds wallets' access keys", "chmod 600 "+f.Path)
	}
	return Fine("access", "the file is its owner's alone")
}
