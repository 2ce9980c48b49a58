package initlock

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked says that another process holds the lock.
	ErrLocked = errors.New("initialisation lock is held by another process")
	// ErrFenced says that another leader has begun since: what this one did is no longer its to declare ready. It has a
	// method Transient() bool, which is true: a new start waits for that leader.
	ErrFenced error = fencedError{}
)

type fencedError struct{}

func (fencedError) Error() string   { return "another leader has begun a newer epoch" }
func (fencedError) Transient() bool { return true }

// LeaderError is the error that the leader of the epoch we waited on ended with.
type LeaderError struct {
	Holder string
	Epoch  int64
	Text   string
	Code   int // its exit code
}

func (e *LeaderError) Error() string { return "the leader " + e.Holder + " failed: " + e.Text }

// ExitCode is the leader's own: whoever waited for it ends as it did.
func (e *LeaderError) ExitCode() int {
	if e.Code == 0 {
		return codeBug
	}
	return e.Code
}

// IncompatibleError says that the schema is newer than this build and no longer fit for it.
type IncompatibleError struct {
	Known            string // the newest revision this build knows
	Schema           string // the revision the schema has
	OldestCompatible string // the oldest revision whose programs work with that schema
}

func (e *IncompatibleError) Error() string {
	return fmt.Sprintf("the database has schema revision %s, which programs older than revision %s cannot use, and this build knows "+
		"revisions up to %s only: run a build that knows %s or newer", e.Schema, e.OldestCompatible, e.Known, e.OldestCompatible)
}

// ExitCode is 78: a matter of what was deployed, which trying again does not change.
func (e *IncompatibleError) ExitCode() int { return codeConfig }

// PanicError is a panic of the work, made an error.
type PanicError struct {
	Value any
	Stack []byte // of the goroutine that panicked; not part of the text
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("the initialisation panicked, which is a bug: %v", e.Value)
}

// Unwrap is the value of the panic if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// ExitCode is 70: a bug.
func (e *PanicError) ExitCode() int { return codeBug }
