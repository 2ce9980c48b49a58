package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
)

// lockSuffix makes the lock file's name from the database's.
const lockSuffix = ".init.lock"

// lockFile is the file beside the database that the initialisation lock is on. It is never removed: a process that
// locked a file just before another one removed it would hold a lock on nothing. What is written in it is for people;
// the lock is the operating system's, and ends with its process.
//
// Somebody may remove it all the same. So the lock is on the database itself as well, which nobody can remove and go on
// with; there it is out of the way of SQLite, whose own locks on Linux are of another kind (fcntl), blind to this one.
type lockFile struct {
	path     string
	lock     *flock.Flock
	database *flock.Flock // nil: not locked
	text     holderText
}

// lockAttempts bounds how often a lock file that somebody replaces is opened again.
const lockAttempts = 10

// tryLockFile locks the file without waiting: initlock.ErrLocked when another process has it.
func tryLockFile(database, name string) (*lockFile, error) {
	path := database + lockSuffix
	for range lockAttempts {
		lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY), flock.SetPermissions(0o644))
		taken, err := lock.TryLock()
		if err != nil {
			return nil, lockFileError(path, err)
		}
		if !taken {
			return nil, initlock.ErrLocked
		}
		f := &lockFile{path: path, lock: lock, text: holderText{Name: name, PID: os.Getpid(), Since: time.Now()}}
		same, err := f.inPlace()
		if err != nil {
			return nil, errors.Join(lockFileError(path, err), lock.Unlock())
		}
		if same {
			return f, nil
		}
		if err := lock.Unlock(); err != nil {
			return nil, lockFileError(path, err)
		}
	}
	return nil, fmt.Errorf("%w: %s was replaced again and again while it was being locked: find out what removes it, nothing should",
		storage.ErrConfig, path)
}

// inPlace tells whether the path still leads to the file that is locked.
func (f *lockFile) inPlace() (bool, error) {
	locked, err := f.lock.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(locked, named), err
}

// alsoOn locks the database itself: initlock.ErrLocked when another process has it, whatever became of its lock file.
func (f *lockFile) alsoOn(database string) error {
	if runtime.GOOS != "linux" {
		return nil // SQLite's locks may be of the same kind there
	}
	lock := flock.New(database, flock.SetFlag(os.O_RDONLY))
	taken, err := lock.TryLock()
	switch {
	case err != nil:
		return fmt.Errorf("%w: locking the SQLite file %s: %w", storage.ErrConfig, database, err)
	case !taken:
		return initlock.ErrLocked
	}
	f.database = lock
	return nil
}

// tell writes who holds the lock and what it does into the file.
func (f *lockFile) tell(activity string) error {
	f.text.Activity = activity
	return f.write(f.text.String())
}

// write replaces what is in the locked file, and leaves a file alone that took its place. A file that may be read only
// stays as it is: it is locked all the same, and who leads stands in the marker too.
func (f *lockFile) write(text string) error {
	if same, err := f.inPlace(); err != nil || !same {
		return err
	}
	err := os.WriteFile(f.path, []byte(text), 0o644) // for people to read, and there already
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// errLockGone says that a lock was lost before it was given back.
var errLockGone = errors.New("the initialisation lock was no longer held")

// unlock empties the file and gives the lock back.
func (f *lockFile) unlock() error {
	if !f.lock.Locked() {
		return errLockGone
	}
	return errors.Join(f.write(""), f.free())
}

// free gives the locks back and leaves the text, as a death does.
func (f *lockFile) free() error {
	var err error
	if f.database != nil {
		err = f.database.Unlock()
	}
	return errors.Join(err, f.lock.Unlock())
}

// readHolder tells who holds the lock of a database; it creates nothing. To find out it asks for a shared lock for a
// moment, which may make another process believe that the lock is taken until it looks again.
func readHolder(database string) (h initlock.Holder, held bool, err error) {
	path := database + lockSuffix
	probe := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := probe.TryRLock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h, false, nil
	case err != nil:
		return h, false, lockFileError(path, err)
	case free:
		return h, false, probe.Unlock()
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return h, false, lockFileError(path, err)
	}
	t := parseHolder(string(text))
	return initlock.Holder{Name: fmt.Sprintf("%s (process %d)", t.Name, t.PID), Since: t.Since, Activity: t.Activity}, true, nil
}

func lockFileError(path string, err error) error {
	return fmt.Errorf("%w: the lock file %s: %w; it must be a file that this process may make and read", storage.ErrConfig, path, err)
}

// holderText is what the lock file says while it is locked.
type holderText struct {
	Name     string
	PID      int
	Since    time.Time
	Activity string
}

func (t holderText) String() string {
	return fmt.Sprintf("The database beside this file is being initialised.\nholder: %s\npid: %d\nsince: %s\nactivity: %s\n",
		oneLine(t.Name), t.PID, t.Since.UTC().Format(time.RFC3339Nano), oneLine(t.Activity))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// parseHolder reads what String wrote; what is missing or wrong stays zero, since nothing depends on it.
func parseHolder(text string) (t holderText) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "holder":
			t.Name = value
		case "pid":
			t.PID, _ = strconv.Atoi(value)
		case "since":
			t.Since, _ = time.Parse(time.RFC3339Nano, value)
		case "activity":
			t.Activity = value
		}
	}
	return t
}
