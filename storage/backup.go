package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// BackupInfo is a backup that was taken.
type BackupInfo struct {
	Path   string        `json:"path"`   // absolute
	Format string        `json:"format"` // BackupArchive or BackupDatabase
	Bytes  int64         `json:"bytes"`
	Took   time.Duration `json:"-"` // programs are told seconds, by who prints
}

// The formats of a backup.
const (
	BackupArchive  = "pg_dump custom" // pg_restore reads it
	BackupDatabase = "sqlite"         // a database file, to be put in the place of the other
)

// BackupError is a backup that could not be taken. There is no file of that name.
type BackupError struct {
	Path string
	Err  error
}

func (e *BackupError) Error() string {
	return fmt.Sprintf("the backup to %s failed: %v", e.Path, e.Err)
}

func (e *BackupError) Unwrap() error { return e.Err }

// CheckBackupFile refuses a path at which no backup can be written: something is there already, or its folder is missing
// or not writable. It leaves nothing behind. The error is ErrConfig.
func CheckBackupFile(path string) error {
	if path == "" {
		return fmt.Errorf("%w: the backup needs the name of a file", ErrConfig)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: %s is there already, and a backup replaces nothing: name another file, or move that one away", ErrConfig, path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return unwritable(path, err)
	}
	f, err := temporaryFor(path)
	if err != nil {
		return unwritable(path, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// WriteBackup lets write fill a temporary file beside path, which is there already, empty and for its owner only; syncs it,
// and gives it its name, which must be free. When anything fails no file of that name is left. What CheckBackupFile
// refuses is ErrConfig, and everything else a *BackupError.
func WriteBackup(path, format string, write func(temporary string) error) (BackupInfo, error) {
	began := time.Now()
	if err := CheckBackupFile(path); err != nil {
		return BackupInfo{}, err
	}
	bytes, err := writeBackup(path, write)
	if err != nil {
		return BackupInfo{}, &BackupError{path, err}
	}
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return BackupInfo{Path: path, Format: format, Bytes: bytes, Took: time.Since(began)}, nil
}

func writeBackup(path string, write func(temporary string) error) (bytes int64, err error) {
	f, err := temporaryFor(path)
	if err != nil {
		return 0, err
	}
	temporary := f.Name()
	defer os.Remove(temporary) //nolint:errcheck // it may have its final name by now
	if err := errors.Join(f.Close(), write(temporary), flush(temporary)); err != nil {
		return 0, err
	}
	info, err := os.Stat(temporary)
	if err != nil {
		return 0, err
	}
	if err := publish(temporary, path); err != nil {
		return 0, err
	}
	if err := flush(filepath.Dir(path)); err != nil {
		return 0, errors.Join(err, os.Remove(path))
	}
	return info.Size(), nil
}

// temporaryFor makes the file that is to become path. A death leaves it there, under a name that says what it is.
func temporaryFor(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".partial-*")
}

// publish gives a file its final name. A link refuses a name that somebody took meanwhile; not every file system has links.
func publish(temporary, path string) error {
	err := os.Link(temporary, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "rename", Path: path, Err: fs.ErrExist}
	}
	return os.Rename(temporary, path)
}

func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// unwritable says why there can be no file of that name, whichever file in its folder was tried.
func unwritable(path string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("%w: the backup %s cannot be written: %w (in the folder %s)", ErrConfig, path, err, filepath.Dir(path))
}
