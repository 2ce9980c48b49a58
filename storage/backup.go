package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
	SHA256 string        `json:"sha256"` // of the file, in hexadecimal; ChecksumFile has it too
	Took   time.Duration `json:"-"`      // programs are told seconds, by who prints
}

// ChecksumFile is the file beside a backup that holds its checksum, as sha256sum writes and checks it.
func ChecksumFile(path string) string { return path + ".sha256" }

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
	for _, file := range []string{path, ChecksumFile(path)} {
		if _, err := os.Lstat(file); err == nil {
			return fmt.Errorf("%w: %s is there already, and a backup replaces nothing: name another file, or move that one away", ErrConfig, file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return unwritable(path, err)
		}
	}
	f, err := temporaryFor(path)
	if err != nil {
		return unwritable(path, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// WriteBackup lets write fill a temporary file beside path, which is there already, empty and for its owner only; syncs it,
// writes its checksum beside it, and gives it its name, which must be free. When anything fails no file of that name is left.
// progress is told how much is written, about once a second; nil: nobody is. What CheckBackupFile refuses is ErrConfig, and
// everything else a *BackupError.
func WriteBackup(path, format string, progress func(activity string), write func(temporary string) error) (BackupInfo, error) {
	began := time.Now()
	if err := CheckBackupFile(path); err != nil {
		return BackupInfo{}, err
	}
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	b := BackupInfo{Path: path, Format: format}
	if err := b.write(progress, write); err != nil {
		return BackupInfo{}, &BackupError{path, err}
	}
	b.Took = time.Since(began)
	return b, nil
}

func (b *BackupInfo) write(progress func(activity string), write func(temporary string) error) error {
	f, err := temporaryFor(b.Path)
	if err != nil {
		return err
	}
	temporary := f.Name()
	defer os.Remove(temporary) //nolint:errcheck // it may have its final name by now
	stop := watchGrowth(temporary, progress)
	err = errors.Join(f.Close(), write(temporary), flush(temporary))
	stop()
	if err != nil {
		return err
	}
	if b.SHA256, b.Bytes, err = checksum(temporary); err != nil {
		return err
	}
	// The checksum comes first: a backup that has its name has its checksum.
	sum := ChecksumFile(b.Path)
	if err := writeChecksum(sum, b.SHA256, filepath.Base(b.Path)); err != nil {
		return err
	}
	if err := publish(temporary, b.Path); err != nil {
		return errors.Join(err, os.Remove(sum))
	}
	if err := flush(filepath.Dir(b.Path)); err != nil {
		return errors.Join(err, os.Remove(b.Path), os.Remove(sum))
	}
	return nil
}

// watchGrowth tells how much a file has grown to, about once a second, until stop is called.
func watchGrowth(file string, progress func(activity string)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
				if info, err := os.Stat(file); err == nil {
					progress(fmt.Sprintf("backing up: %.1f MB written", float64(info.Size())/1e6))
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}

func checksum(path string) (sum string, bytes int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if bytes, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), bytes, nil
}

// writeChecksum writes a new file in the form of sha256sum.
func writeChecksum(path, sum, name string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s  %s\n", sum, name)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
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
