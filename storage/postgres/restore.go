package postgres

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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

// Restore implements storage.DB with pg_restore, in one transaction.
func (db *DB) Restore(ctx context.Context, b storage.BackupInfo, progress func(activity string)) (err error) {
	if err := b.Restorable(storage.PostgreSQL); err != nil {
		return err
	}
	program, err := db.client(ctx, "pg_restore")
	if err != nil {
		return err
	}
	held, err := locker{db}.TryLock(ctx, db.options.Instance)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Release(context.WithoutCancel(ctx))) }()
	tables, err := collect(ctx, db, qRestoreTables, func(rows pgx.Rows) (name string, err error) {
		err = rows.Scan(&name)
		return name, err
	})
	switch {
	case err != nil:
		return err
	case len(tables) > 0:
		return &storage.NotEmptyError{Database: db.options.URL, Tables: tables}
	}
	name := db.direct.Database
	if name == "" {
		name = db.direct.User
	}
	// Owners are left out: who restores owns what is restored.
	err = db.runClient(ctx, &listener{tell: progress}, program, "--exit-on-error", "--single-transaction", "--no-owner", "--verbose",
		"--no-password", "--dbname="+name, b.Path)
	if err != nil {
		return &storage.RestoreError{Path: b.Path, Err: err}
	}
	return nil
}

// listener hears what pg_restore says of its progress, and keeps what it says of its end.
type listener struct {
	heard bytes.Buffer
	tell  func(activity string)
}

func (l *listener) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if _, what, ok := strings.Cut(strings.TrimSpace(line), "pg_restore: "); ok && l.tell != nil {
			l.tell("restoring: " + what)
		}
	}
	return l.heard.Write(p)
}

func (l *listener) String() string { return l.heard.String() }

// NoteBackup implements storage.DB. It looks for the table before it makes it, which wants a right that not everyone has who
// may take a backup.
func (db *DB) NoteBackup(ctx context.Context, b storage.BackupInfo) error {
	var exists bool
	if err := db.queryRow(ctx, qBackupExists, nil, &exists); err != nil {
		return err
	}
	if !exists {
		if err := db.exec(ctx, qBackupCreate); err != nil {
			return err
		}
	}
	return db.exec(ctx, qBackupNote, b.SHA256, b.Bytes)
}

// NoteVerified implements storage.DB.
func (db *DB) NoteVerified(ctx context.Context, sha256 string) (bool, error) {
	var exists bool
	if err := db.queryRow(ctx, qBackupExists, nil, &exists); err != nil || !exists {
		return false, err
	}
	n, err := db.execOn(ctx, nil, qBackupVerified, sha256)
	return n > 0, err
}

// LastBackup implements storage.DB.
func (db *DB) LastBackup(ctx context.Context) (taken, verified time.Time, err error) {
	var exists bool
	if err := db.queryRow(ctx, qBackupExists, nil, &exists); err != nil || !exists {
		return taken, verified, err
	}
	var t, v *time.Time
	if err := db.queryRow(ctx, qBackupLast, nil, &t, &v); err != nil {
		return taken, verified, err
	}
	if t != nil {
		taken = *t
	}
	if v != nil {
		verified = *v
	}
	return taken, verified, nil
}
