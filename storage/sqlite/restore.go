package sqlite

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/storage"
)

var (
	qBackupExists   = queries.Get("backup_exists")
	qBackupCreate   = queries.Get("backup_create")
	qBackupNote     = queries.Get("backup_note")
	qBackupVerified = queries.Get("backup_verified")
	qBackupLast     = queries.Get("backup_last")
	qRestoreTables  = queries.Get("restore_tables")
)

// stmtRestore names a failed copy into the database, which is no statement's.
const stmtRestore = "restore"

// Restore implements storage.DB with SQLite's online backup, the other way: one transaction of this file.
func (db *DB) Restore(ctx context.Context, b storage.BackupInfo, progress func(activity string)) (err error) {
	if err := b.Restorable(storage.SQLite); err != nil {
		return err
	}
	held, err := locker{db}.TryLock(ctx, db.options.Instance)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Release(context.WithoutCancel(ctx))) }()
	tables, err := collect(ctx, db, qRestoreTables, func(scan func(...any) error) (name string, err error) {
		err = scan(&name)
		return name, err
	})
	switch {
	case err != nil:
		return err
	case len(tables) > 0:
		return &storage.NotEmptyError{Database: db.options.URL, Tables: tables}
	}
	if progress != nil {
		progress("restoring " + b.Path)
	}
	if err := wrap(stmtRestore, db.copyFrom(ctx, b.Path)); err != nil {
		return &storage.RestoreError{Path: b.Path, Err: err}
	}
	return nil
}

// copyFrom reads a file that nobody changes, which may lie where nothing can be written beside it.
func (db *DB) copyFrom(ctx context.Context, file string) (err error) {
	pool, err := driver.Open("file:" + (&url.URL{Path: file}).EscapedPath() + "?mode=ro&immutable=1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return conn.Raw(func(raw any) error { return copyPages(ctx, raw.(driver.Conn).Raw(), db.path) })
}

// NoteBackup implements storage.DB.
func (db *DB) NoteBackup(ctx context.Context, b storage.BackupInfo) error {
	tx, err := db.write(ctx)
	if err != nil {
		return err
	}
	defer tx.rollback()
	if _, err := tx.exec(ctx, qBackupCreate); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, qBackupNote, b.SHA256, b.Bytes); err != nil {
		return err
	}
	return tx.commit(ctx)
}

// NoteVerified implements storage.DB.
func (db *DB) NoteVerified(ctx context.Context, sha256 string) (bool, error) {
	if exists, err := db.keepsBackups(ctx); err != nil || !exists {
		return false, err
	}
	tx, err := db.write(ctx)
	if err != nil {
		return false, err
	}
	defer tx.rollback()
	n, err := tx.exec(ctx, qBackupVerified, sha256)
	if err != nil {
		return false, err
	}
	return n > 0, tx.commit(ctx)
}

// LastBackup implements storage.DB.
func (db *DB) LastBackup(ctx context.Context) (taken, verified time.Time, err error) {
	if exists, err := db.keepsBackups(ctx); err != nil || !exists {
		return taken, verified, err
	}
	var t, v moment
	err = db.queryRow(ctx, qBackupLast, nil, &t, &v)
	return t.Time, v.Time, err
}

func (db *DB) keepsBackups(ctx context.Context) (bool, error) {
	var tables int
	err := db.queryRow(ctx, qBackupExists, nil, &tables)
	return tables > 0, err
}
