// Package storage is a process's one handle on its database: Open, whatever the dialect.
//
// It declares what a backend must do (DB, Reader, Membership, and event.Log beside them), and holds what the backends
// share: the grammar of DATABASE, the pool's policy, named statements and the classes of errors. A backend makes itself
// known by Register, so a program imports the ones it wants.
//
// What holds:
//
//  1. A URL is read as SQLAlchemy reads it, or refused with its password masked and what was expected. However a URL is
//     printed, logged or marshalled, its password is masked; only Password and Reveal give it.
//  2. A pool always has a limit. SQLAlchemy's two ways of having none are refused with that explanation.
//  3. Every statement has a name, from a line "-- name: its_name" in a backend's queries/*.sql. The name is its label in
//     metrics, logs and errors.
//  4. A failed statement is an *Error with one of the Classes, and shows no parameter. What to do about an error is told
//     by its class or its type, never by its text.
//  5. A backup has its name only when it is whole and on disk; it replaces nothing, and is for its owner only. Taking one
//     writes nothing to the database. No argument of another program holds a secret.
//  6. An error about the configuration wraps ErrConfig and says what to change; one about a database that is not there
//     wraps ErrUnreachable and says where it was looked for.
package storage
