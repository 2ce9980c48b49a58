package main

import (
	"context"
	"errors"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/event"
)

// The exit codes, as sysexits(3) names them.
const (
	exitUsage       = 64 // the command line cannot be understood
	exitData        = 65 // the data are bad: a guard, a refused event, a failed audit
	exitUnreachable = 69 // no database answered
	exitBug         = 70 // anything that should not happen
	exitAgain       = 75 // the same may succeed later
	exitConfig      = 78 // the configuration is wrong
)

// exitCode is the code that goes with an error, by its type.
func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	var leader *initlock.LeaderError
	var transient interface{ Transient() bool }
	var drain *worker.DrainError
	var closed *event.SealedError
	var backup *storage.BackupError
	var restore *storage.RestoreError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.As(err, &leader) && leader.Code != 0:
		return leader.Code
	case errors.Is(err, storage.ErrConfig), forbidden(err), errors.As(err, &closed) && !closed.Known:
		return exitConfig
	case errors.Is(err, storage.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, storage.ErrNotInitialised):
		return exitAgain
	case errors.Is(err, event.ErrNotFound):
		return exitData
	case lostDatabase(err):
		return exitUnreachable
	case errors.As(err, &drain), errors.As(err, &backup): // the disk may have room by then
		return exitAgain
	case errors.As(err, &restore):
		return exitData
	case errors.As(err, &transient) && transient.Transient(), errors.Is(err, context.DeadlineExceeded):
		return exitAgain
	default:
		return exitBug
	}
}

// forbidden tells whether the server refused a statement because the role lacks a right: SQLSTATE 42501.
func forbidden(err error) bool {
	var server interface{ SQLState() string }
	return errors.As(err, &server) && server.SQLState() == "42501"
}

// lostDatabase tells whether a statement failed because the database went away.
func lostDatabase(err error) bool {
	switch storage.ClassOf(err) {
	case storage.Connection, storage.AdminShutdown:
		return true
	default:
		return false
	}
}

// advice is what to do about an error, where its text does not say so itself.
func advice(err error) string {
	var own interface{ Advice() string }
	switch {
	case errors.As(err, &own):
		return own.Advice()
	case errors.Is(err, storage.ErrNotInitialised):
		return "start a worker or run `safebox init`"
	case forbidden(err):
		return "grant the user in DATABASE that right, or run `safebox init` as the user that has it: to prepare a database takes creating\n" +
			"  tables, and safebox demo a database; deploy/README.md has a role for each"
	case lostDatabase(err):
		return "check that the database runs, then try again"
	case exitCode(err) == exitAgain:
		return "try again"
	default:
		return ""
	}
}

// failure is an error of a command with what to do about it.
type failure struct {
	Code int
	Err  error
	Todo string
}

func (e *failure) Error() string  { return e.Err.Error() }
func (e *failure) Unwrap() error  { return e.Err }
func (e *failure) ExitCode() int  { return e.Code }
func (e *failure) Advice() string { return e.Todo }
