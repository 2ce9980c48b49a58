package sqlite

import (
	"context"
	"errors"
	"net/url"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/storage"
)

// backupPages is how many pages are copied between two looks at the context: 4 MB at SQLite's usual page size.
const backupPages = 1024

// stmtBackup names a failed copy, which is no statement's.
const stmtBackup = "backup"

// CheckBackup implements storage.DB.
func (db *DB) CheckBackup(_ context.Context, path string) error { return storage.CheckBackupFile(path) }

// Backup implements storage.DB with SQLite's online backup: the file as it is at one moment, while others go on writing.
func (db *DB) Backup(ctx context.Context, path string, progress func(activity string)) (storage.BackupInfo, error) {
	return storage.WriteBackup(path, storage.BackupDatabase, progress, func(temporary string) error {
		return wrap(stmtBackup, db.copyTo(ctx, temporary))
	})
}

func (db *DB) copyTo(ctx context.Context, file string) (err error) {
	pool, err := db.connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return conn.Raw(func(raw any) error { return copyPages(ctx, raw.(driver.Conn).Raw(), file) })
}

// copyPages copies what one transaction sees. Without that transaction the copy would begin anew at every commit of
// another connection.
func copyPages(ctx context.Context, from *sqlite3.Conn, file string) (err error) {
	if err := from.Exec("BEGIN; SELECT count(*) FROM sqlite_schema"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Exec("ROLLBACK")) }()
	b, err := from.BackupInit("main", "file:"+(&url.URL{Path: file}).EscapedPath())
	if err != nil {
		return err
	}
	defer func() { // it repeats the error of a step
		if closing := b.Close(); err == nil {
			err = closing
		}
	}()
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if done, err = b.Step(backupPages); err != nil {
			return err
		}
	}
	return nil
}
