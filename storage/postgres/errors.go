package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/safebox/safebox/storage"
)

// ServerError is what the server answered, without the parts that carry values: its detail, its context, and what its
// messages about data quote. The whole *pgconn.PgError stands behind it for errors.As; do not print its fields.
type ServerError struct {
	Code       string // SQLSTATE
	Message    string
	Constraint string
	err        *pgconn.PgError
}

func (e *ServerError) Error() string { return e.Message + " (SQLSTATE " + e.Code + ")" }

// Unwrap returns the driver's own error.
func (e *ServerError) Unwrap() error { return e.err }

// SQLState returns the SQLSTATE.
func (e *ServerError) SQLState() string { return e.Code }

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
	if overtaken(name, err) {
		return &storage.Error{Statement: name, Class: storage.Serialization, Err: errOvertaken}
	}
	return &storage.Error{Statement: name, Class: classOf(err), Err: sanitize(err), OfInput: ofInput(err)}
}

var errOvertaken = errors.New("a wallet or a quote was changed since it was loaded, and what was decided holds no longer")

// overtaken tells whether a statement says errOvertaken, by a division by zero: SQL has no better way to fail one of its own
// accord.
func overtaken(name string, err error) bool {
	var pg *pgconn.PgError
	return (name == qStoreJournal.Name || name == qStoreSettledQuotes.Name) && errors.As(err, &pg) && pg.Code == "22012"
}

// ofInput tells whether the values of a statement are at fault: the driver could not send or read them, or the server
// found fault with data (class 22), a constraint (23) or a size (54).
func ofInput(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return !brokenConnection(err)
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "22", "23", "54":
		return true
	default:
		return false
	}
}

// sanitize takes values out of what the server said, and repetitions out of what the driver did.
func sanitize(err error) error {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &pg):
	case errors.As(err, &connect) && connect.Unwrap() != nil:
		return flatten(connect.Unwrap()) // without the user and the database, which the driver says before
	default:
		return flatten(err)
	}
	message := pg.Message
	if strings.HasPrefix(pg.Code, "22") { // data exceptions quote the data
		if first, last := strings.IndexByte(message, '"'), strings.LastIndexByte(message, '"'); last > first {
			message = message[:first] + "…" + message[last+1:]
		}
	}
	return &ServerError{Code: pg.Code, Message: message, Constraint: pg.ConstraintName, err: pg}
}

// flat is an error whose text stands on one line. The driver tells of each attempt to connect on a line of its own, and
// two attempts at one address, with TLS and without, say the same: what was said already is left out.
type flat struct{ err error }

func (e flat) Error() string {
	var said []string
	for line := range strings.Lines(e.err.Error()) {
		line = strings.TrimSpace(line)
		if !slices.ContainsFunc(said, func(before string) bool { return strings.Contains(before, line) }) {
			said = append(said, line)
		}
	}
	return strings.Join(said, "; ")
}
func (e flat) Unwrap() error { return e.err }

func flatten(err error) error {
	if strings.ContainsAny(err.Error(), "\n\t") {
		return flat{err}
	}
	return err
}

// classOf sorts an error by its SQLSTATE, or by what broke when the server said nothing.
func classOf(err error) storage.Class {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return classOfState(pg.Code)
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return storage.Canceled
	case brokenConnection(err):
		return storage.Connection
	}
	return storage.Other
}

// connectClass is classOf for failures to get a connection: what the server did not say is the connection's fault.
func connectClass(err error) storage.Class {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return classOfState(pg.Code)
	}
	return storage.Connection
}

// states are the SQLSTATEs with a class of their own. Source: PostgreSQL's documentation, appendix A.
var states = map[string]storage.Class{
	"40001": storage.Serialization,
	"40P01": storage.Deadlock,
	"55P03": storage.LockTimeout,
	"23505": storage.Unique,
	"23514": storage.Check,
	"23502": storage.NotNull,
	"23503": storage.ForeignKey,
	"57P01": storage.AdminShutdown,
	"57P02": storage.AdminShutdown,
	"57P03": storage.AdminShutdown,
	"57014": storage.Canceled,
	"53300": storage.TooManyConnections,
	"53100": storage.DiskFull,
	"25006": storage.ReadOnly,
	"25P03": storage.Connection, // idle_in_transaction_session_timeout: the server hung up
	"57P05": storage.Connection, // idle_session_timeout
}

func classOfState(code string) storage.Class {
	if class, ok := states[code]; ok {
		return class
	}
	if strings.HasPrefix(code, "08") {
		return storage.Connection
	}
	return storage.Other
}

// brokenConnection tells whether the connection, not the statement, failed.
func brokenConnection(err error) bool {
	var connect *pgconn.ConnectError
	return brokenNetwork(err) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, driver.ErrBadConn) || errors.As(err, &connect)
}

// brokenNetwork tells whether the network, or the system on the other end of it, let a connection down.
func brokenNetwork(err error) bool {
	var network net.Error
	var number syscall.Errno
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &network) || errors.As(err, &number)
}

// configError is an error of the configuration.
func configError(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", storage.ErrConfig, what, sanitize(err))
}
