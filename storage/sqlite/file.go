package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/safebox/safebox/storage"
)

// prepareFile finds the file and sees to it that SQLite can work there, before anything starts.
func prepareFile(o storage.Options) (path string, err error) {
	if o.URL.InMemory() {
		return "", fmt.Errorf("%w: a SQLite database in memory is seen by one connection only: name a file in DATABASE, like sqlite:///data/database.db", storage.ErrConfig)
	}
	if path, err = filepath.Abs(o.URL.Path); err != nil {
		return "", fmt.Errorf("%w: the SQLite file %s: %w", storage.ErrConfig, o.URL.Path, err)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("%w: %s is not a file but %s: name the database's file in DATABASE", storage.ErrConfig, path, kind(info.Mode()))
	case err == nil:
		return path, writable(path)
	case !errors.Is(err, fs.ErrNotExist):
		return "", unwritable(path, err)
	case o.MustExist:
		return "", fmt.Errorf("%w: there is no SQLite file %s, and nothing was created: check DATABASE, or let safebox init or safebox worker make it", storage.ErrUnreachable, path)
	}
	// For the owner only: the file will hold wallets' access keys. An operator who wants it otherwise makes the folder.
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", unwritable(path, err)
	}
	return path, probe(path)
}

// writable refuses a file that cannot be written, and one in a folder where SQLite cannot keep its log beside it.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return unwritable(path, err)
	}
	if err := f.Close(); err != nil {
		return unwritable(path, err)
	}
	return probe(path)
}

// probe makes and removes a file in the folder of the database: SQLite keeps its write-ahead log there.
func probe(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".safebox-probe-*")
	if err != nil {
		return unwritable(path, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// unwritable drops the path of the inner error, which may be that of a probe.
func unwritable(path string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("%w: the SQLite file %s cannot be written: %w (in the folder %s); check the path in DATABASE, and that the user of this process may write there", storage.ErrConfig, path, err, filepath.Dir(path))
}

func kind(m fs.FileMode) string {
	if m.IsDir() {
		return "a folder"
	}
	return "a special file"
}
