package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"strings"
	"syscall"

	"github.com/ncruces/go-sqlite3"

	"github.com/safebox/safebox/storage"
)

// wrap names a failed statement and sorts its error into a class; nil stays nil, and what is wrapped already stays so.
func wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	var done *storage.Error
	var timeout *storage.PoolTimeoutError
	if errors.As(err, &done) || errors.As(err, &timeout) {
		return err
	}
	return &storage.Error{Statement: name, Class: classOf(err), Err: sanitize(err), OfInput: ofInput(err)}
}

// ofInput tells whether the values of a statement are at fault: the driver could not bind or read them, or SQLite found
// fault with a size, a type or a constraint.
func ofInput(err error) bool {
	var code *sqlite3.Error
	if !errors.As(err, &code) {
		return true
	}
	return errors.Is(err, sqlite3.CONSTRAINT) || errors.Is(err, sqlite3.TOOBIG) || errors.Is(err, sqlite3.MISMATCH) || errors.Is(err, sqlite3.RANGE)
}

// wrapFor is wrap for a statement under a context: a wait for another process that the context ended looks like a busy
// file to SQLite, and is none.
func wrapFor(ctx context.Context, name string, err error) error {
	if err != nil && ctx.Err() != nil && (errors.Is(err, sqlite3.BUSY) || errors.Is(err, sqlite3.INTERRUPT)) {
		return &storage.Error{Statement: name, Class: storage.Canceled, Err: ctx.Err()}
	}
	return wrap(name, err)
}

// scanError hides the value that database/sql quotes when it does not fit.
type scanError struct {
	text string
	err  error
}

func (e *scanError) Error() string { return e.text }

// sanitize takes values out of an error's text. SQLite's own texts name tables and columns only.
func sanitize(err error) error {
	var code *sqlite3.Error
	if errors.As(err, &code) {
		return err
	}
	text := err.Error()
	if first, last := strings.Index(text, `("`), strings.LastIndex(text, `")`); first >= 0 && last > first {
		return &scanError{text: text[:first] + "(…)" + text[last+2:], err: err}
	}
	return err
}

// classOf sorts an error by SQLite's result code. Source: https://sqlite.org/rescode.html
func classOf(err error) storage.Class {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, sqlite3.INTERRUPT):
		return storage.Canceled
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, sqlite3.FULL):
		return storage.DiskFull
	case errors.Is(err, sqlite3.BUSY), errors.Is(err, sqlite3.LOCKED), errors.Is(err, sqlite3.PROTOCOL):
		return storage.Busy
	case errors.Is(err, sqlite3.CONSTRAINT_UNIQUE), errors.Is(err, sqlite3.CONSTRAINT_PRIMARYKEY), errors.Is(err, sqlite3.CONSTRAINT_ROWID):
		return storage.Unique
	case errors.Is(err, sqlite3.CONSTRAINT_CHECK):
		return storage.Check
	case errors.Is(err, sqlite3.CONSTRAINT_NOTNULL):
		return storage.NotNull
	case errors.Is(err, sqlite3.CONSTRAINT_FOREIGNKEY):
		return storage.ForeignKey
	case errors.Is(err, sqlite3.READONLY), errors.Is(err, syscall.EROFS):
		return storage.ReadOnly
	case errors.Is(err, sqlite3.IOERR), errors.Is(err, sqlite3.CANTOPEN), errors.Is(err, sql.ErrConnDone), errors.Is(err, sqldriver.ErrBadConn):
		return storage.Connection // the file could not be reached
	}
	return storage.Other
}
