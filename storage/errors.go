package storage

import (
	"errors"
	"fmt"
)

// Class sorts failed statements by what a program or an operator does about them; it is a metric label.
type Class string

// The classes of failed statements.
const (
	Serialization      Class = "serialization"
	Deadlock           Class = "deadlock"
	LockTimeout        Class = "lock_timeout"
	Unique             Class = "unique"
	Check              Class = "check"
	NotNull            Class = "not_null"
	ForeignKey         Class = "foreign_key"
	Connection         Class = "connection"
	AdminShutdown      Class = "admin_shutdown"
	Canceled           Class = "canceled"
	TooManyConnections Class = "too_many_connections"
	Busy               Class = "busy"
	ReadOnly           Class = "read_only"
	DiskFull           Class = "disk_full"
	Other              Class = "other"
)

// Classes lists every class.
func Classes() []Class {
	return []Class{
		Serialization, Deadlock, LockTimeout, Unique, Check, NotNull, ForeignKey, Connection, AdminShutdown, Canceled,
		TooManyConnections, Busy, ReadOnly, DiskFull, Other,
	}
}

// Transient tells whether the same work may succeed later without anyone changing the work.
func (c Class) Transient() bool {
	switch c {
	case Serialization, Deadlock, LockTimeout, Connection, AdminShutdown, Canceled, TooManyConnections, Busy, ReadOnly, DiskFull:
		return true
	default:
		return false
	}
}

// Error is a failed statement. It never holds parameter values.
type Error struct {
	Statement string
	Class     Class
	Err       error
	// OfInput says of class Other that the values given to the statement are at fault, and not the database or the build.
	OfInput bool
}

func (e *Error) Error() string {
	return fmt.Sprintf("statement %s failed (%s): %v", e.Statement, e.Class, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Transient tells whether trying again may help.
func (e *Error) Transient() bool { return e.Class.Transient() }

// Blameless tells whether the failure says nothing against the values that were to be written: the same values may go
// through later, or when someone has mended the database. Only such an event may be parked that is to blame.
func (e *Error) Blameless() bool { return e.Transient() || e.Class == Other && !e.OfInput }

// Reason is the class, for what counts retries by reason.
func (e *Error) Reason() string { return string(e.Class) }

// ClassOf is the class of an error: that of the *Error in its chain, else Other; "" for nil.
func ClassOf(err error) Class {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Other
}

var (
	// ErrUnreachable says that no server answered in time, or that a database file is not there.
	ErrUnreachable = errors.New("database unreachable")
	// ErrConfig says that the configuration is wrong: an URL, a password, a folder that cannot be written.
	ErrConfig = errors.New("configuration")
	// ErrNotInitialised says that the database has no tables of ours yet.
	ErrNotInitialised = errors.New("database is not initialised")
)
