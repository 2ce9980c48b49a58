package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/safebox/safebox/storage"
)

// Waiting for a server to answer: the pauses double from firstPause to lastPause, each drawn between half and all of it,
// so that replicas which were started together do not knock together.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
	logPause   = 3 * time.Second
)

// oldestServer is the oldest major version of PostgreSQL that has what the sessions are set up with.
const oldestServer = 14

// await opens the pool's first connection. While no server answers it tries again, until the policy's timeout has
// passed: ErrUnreachable. What trying again cannot mend is ErrConfig at once.
func (db *DB) await(ctx context.Context, c *pgx.ConnConfig) error {
	began := time.Now()
	limit := db.options.Policy.Timeout
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var logged time.Time
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := db.firstConnection(bounded)
		if err == nil {
			return nil
		}
		if fatal := db.fatal(err, c); fatal != nil {
			return fatal
		}
		if ctx.Err() != nil {
			return fmt.Errorf("connecting to PostgreSQL at %s was given up: %w", addresses(c), ctx.Err())
		}
		wait := pause/2 + rand.N(pause/2)
		if time.Since(began)+wait >= limit {
			return fmt.Errorf("%w: no PostgreSQL server answered at %s within %s (%d attempts); is it running, and is DATABASE right? Last error: %w",
				storage.ErrUnreachable, addresses(c), limit, attempt, sanitize(err))
		}
		if time.Since(logged) >= logPause {
			logged = time.Now()
			db.log.Warn("PostgreSQL does not answer yet; trying again", "server", addresses(c), "attempt", attempt,
				"giving_up_in", (limit - time.Since(began)).Round(time.Second), "error", sanitize(err))
		}
		select {
		case <-bounded.Done():
		case <-time.After(wait):
		}
		pause = min(2*pause, lastPause)
	}
}

func (db *DB) firstConnection(ctx context.Context) error {
	c, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	if err := checkVersion(c.Conn().PgConn().ParameterStatus("server_version")); err != nil {
		return err
	}
	if pooled(db.options) { // it lets clients in while it has no server
		var one int
		if err := ask(ctx, c.Conn(), queries.Get("ping"), &one); err != nil {
			return err
		}
		return transacts(ctx, c.Conn())
	}
	return locker{db}.checkSession(ctx, c.Conn())
}

// noTransactionsError says that a pooler gives the server away after each statement: PgBouncer with pool_mode = statement.
type noTransactionsError struct{ error }

func (e *noTransactionsError) Unwrap() error { return e.error }

// isolationError says that transactions through a pooler do not have the isolation that appends rely on. A direct session is
// told at its start.
type isolationError struct{ level string }

func (e *isolationError) Error() string {
	return fmt.Sprintf("a transaction through the pooler is %s, where safebox needs read committed", e.level)
}

// transacts makes sure that a pooler which has a server lets a transaction through, and of which kind it is.
func transacts(ctx context.Context, c *pgx.Conn) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == stateProtocol {
			return &noTransactionsError{err}
		}
		return wrap(stmtBegin, err)
	}
	var level string
	if err := ask(ctx, c, queries.Get("isolation"), &level); err != nil {
		return err
	}
	if level != "read committed" {
		err = &isolationError{level}
	}
	return errors.Join(err, wrap(stmtRollback, tx.Rollback(ctx)))
}

// tooOldError says that the server lacks what the sessions need.
type tooOldError struct{ version string }

func (e *tooOldError) Error() string {
	return fmt.Sprintf("the server is PostgreSQL %s; safebox needs %d or newer", e.version, oldestServer)
}

// checkVersion refuses a server that is too old. A version that is no number, of a server that only speaks PostgreSQL's
// protocol, is let pass: such a server refuses the session's settings by itself.
func checkVersion(version string) error {
	digits := version
	if i := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = version[:i]
	}
	if major, err := strconv.Atoi(digits); err == nil && major < oldestServer {
		return &tooOldError{version}
	}
	return nil
}

// fatal turns an error that no second attempt can mend into one that says what to check; nil for the others.
func (db *DB) fatal(err error, c *pgx.ConnConfig) error {
	where := fmt.Sprintf("PostgreSQL at %s", addresses(c))
	because := func(advice string) error {
		return fmt.Errorf("%w: %s: %w; %s", storage.ErrConfig, where, sanitize(err), advice)
	}
	var old *tooOldError
	var pooler *PoolerError
	var none *noTransactionsError
	var isolation *isolationError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pooler):
		return pooler
	case errors.As(err, &old):
		return because("upgrade the server")
	case errors.As(err, &none):
		return because("set pool_mode to transaction or session in the pooler: it takes transactions to process events")
	case errors.As(err, &isolation):
		return because("take default_transaction_isolation back with ALTER ROLE or ALTER DATABASE … RESET")
	case errors.As(err, &pg) && pg.Code == stateProtocol && pooled(db.options):
		return nil // so a pooler says that it has no connection to the server yet, or no place for another client
	case errors.As(err, &pg):
		return fatalState(pg.Code, c, because)
	case disagrees(err):
		return because("check that a PostgreSQL server listens there, and sslmode and sslrootcert in DATABASE against what it offers")
	}
	return nil
}

// stateProtocol is the SQLSTATE of a violated protocol, which is also what PgBouncer answers with whatever is wrong: a
// startup parameter that it does not know, for one.
const stateProtocol = "08P01"

func fatalState(code string, c *pgx.ConnConfig, because func(string) error) error {
	switch {
	case code == "28P01":
		return because(fmt.Sprintf("check the user %q and its password in DATABASE", c.User))
	case strings.HasPrefix(code, "28"):
		return because(fmt.Sprintf("check the user %q in DATABASE, and that the server's pg_hba.conf lets it in from here", c.User))
	case code == "3D000":
		return because("create the database, or correct its name at the end of DATABASE")
	case code == "42501":
		return because(fmt.Sprintf("grant the user %q CONNECT on the database", c.User))
	case code == stateProtocol:
		return because("if this is a connection pooler such as PgBouncer, set SAFEBOX_DATABASE_DIRECT to the URL of the PostgreSQL server behind it")
	case code == "42704" || strings.HasPrefix(code, "22"):
		return because(fmt.Sprintf("it refuses a setting of the session: it may be older than PostgreSQL %d, or an option in DATABASE is wrong", oldestServer))
	}
	return nil
}

// disagrees tells whether a server answered and the two sides could not agree how to talk: on encryption, on a
// certificate, on the way to log in. The driver has no type for most of these, so it is what no other explanation fits:
// not the network's doing, and not a server that has another role at the moment.
func disagrees(err error) bool {
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		return true
	}
	for _, later := range []error{
		context.Canceled, context.DeadlineExceeded,
		pgconn.ErrReadOnlyConnection, pgconn.ErrReadWriteConnection, pgconn.ErrPrimaryConnection, pgconn.ErrStandbyConnection,
	} {
		if errors.Is(err, later) {
			return false
		}
	}
	return !brokenNetwork(err) && !pgconn.Timeout(err)
}

// addresses lists where a configuration leads to.
func addresses(c *pgx.ConnConfig) string {
	list := []string{storage.Host{Name: c.Host, Port: c.Port}.String()}
	for _, f := range c.Fallbacks {
		if a := (storage.Host{Name: f.Host, Port: f.Port}).String(); a != list[len(list)-1] {
			list = append(list, a)
		}
	}
	return strings.Join(list, ", ")
}
