package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CorruptError says that a file is not the backup that was taken.
type CorruptError struct {
	Path    string
	Problem string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the backup %s cannot be used: %s", e.Path, e.Problem)
}

// ExitCode is 65: bad data.
func (*CorruptError) ExitCode() int { return 65 }

// RestoreError is a backup that could not be restored. The database is empty, as it was before.
type RestoreError struct {
	Path string
	Err  error
}

func (e *RestoreError) Error() string {
	return fmt.Sprintf("the backup %s could not be restored, and the database is empty as it was: %v", e.Path, e.Err)
}

func (e *RestoreError) Unwrap() error { return e.Err }

// NotEmptyError says that a database has tables where a backup was to be restored. It unwraps to ErrConfig.
type NotEmptyError struct {
	Database URL
	Tables   []string // some of them
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("%v: %s has tables (%s), and a backup is restored into an empty database only: nothing was changed; name an empty "+
		"database in DATABASE", ErrConfig, e.Database, strings.Join(e.Tables, ", "))
}

// Unwrap is ErrConfig.
func (*NotEmptyError) Unwrap() error { return ErrConfig }

// The first bytes of the formats.
var (
	archiveMagic  = []byte("PGDMP")
	databaseMagic = []byte("SQLite format 3\x00")
)

// ReadBackup finds out what a file is, and holds it against the checksum beside it; unchecked does without one. It is a
// *CorruptError when the file is no backup or not the one that was taken, and ErrConfig where it cannot be read.
func ReadBackup(path string, unchecked bool) (BackupInfo, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return BackupInfo{}, err
	}
	b := BackupInfo{Path: absolute}
	if b.Format, err = formatOf(absolute); err != nil {
		return b, err
	}
	if b.SHA256, b.Bytes, err = checksum(absolute); err != nil {
		return b, unreadable(absolute, err)
	}
	if unchecked {
		return b, nil
	}
	told, err := os.ReadFile(ChecksumFile(absolute))
	switch want, _, _ := strings.Cut(string(told), " "); {
	case errors.Is(err, fs.ErrNotExist):
		return b, &CorruptError{absolute, fmt.Sprintf("its checksum %s is not there, so nothing tells whether it is whole; --unchecked does without",
			ChecksumFile(absolute))}
	case err != nil:
		return b, unreadable(ChecksumFile(absolute), err)
	case want != b.SHA256:
		return b, &CorruptError{absolute, fmt.Sprintf("its SHA-256 is %s, and %s says %s: it was changed or damaged since it was taken",
			b.SHA256, ChecksumFile(absolute), strings.TrimSpace(want))}
	}
	return b, nil
}

func formatOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", unreadable(path, err)
	}
	defer f.Close()
	first := make([]byte, len(databaseMagic))
	n, err := io.ReadFull(f, first)
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		return "", unreadable(path, err)
	case bytes.HasPrefix(first[:n], archiveMagic):
		return BackupArchive, nil
	case bytes.Equal(first[:n], databaseMagic):
		return BackupDatabase, nil
	}
	return "", &CorruptError{path, "it is neither an archive of pg_dump in its custom format nor a SQLite database"}
}

func unreadable(path string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("%w: %s cannot be read: %w", ErrConfig, path, err)
}

// Restorable refuses a backup of another dialect.
func (b BackupInfo) Restorable(d Dialect) error {
	if want := map[Dialect]string{PostgreSQL: BackupArchive, SQLite: BackupDatabase}[d]; b.Format != want {
		return fmt.Errorf("%w: the backup %s is of the format %q, and DATABASE is of the dialect %s, which restores the format %q",
			ErrConfig, b.Path, b.Format, d, want)
	}
	return nil
}
