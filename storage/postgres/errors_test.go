package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

func TestErrorsOfTheServerHaveTheirClasses(t *testing.T) {
	db := open(t, dbtest.PostgreSQL(t), storage.Options{})
	ctx := t.Context()
	run(t, db, `CREATE TABLE parent (id int PRIMARY KEY)`,
		`CREATE TABLE child (id int PRIMARY KEY, handle text UNIQUE, n int NOT NULL CHECK (n > 0), parent int REFERENCES parent)`,
		`INSERT INTO child VALUES (1, 'hunter2', 1, NULL)`)
	for _, c := range []struct {
		name, sql string
		want      storage.Class
	}{
		{"a value that must be unique", `INSERT INTO child VALUES (2, 'hunter2', 1, NULL)`, storage.Unique},
		{"a check", `INSERT INTO child VALUES (2, 'hunter2x', -5, NULL)`, storage.Check},
		{"a missing value", `INSERT INTO child VALUES (2, 'hunter2x', NULL, NULL)`, storage.NotNull},
		{"a foreign key", `INSERT INTO child VALUES (2, 'hunter2x', 1, 77)`, storage.ForeignKey},
		{"a write in a transaction that only reads", `DO $$ BEGIN SET TRANSACTION READ ONLY; DELETE FROM child WHERE handle = 'hunter2'; END $$`, storage.ReadOnly},
		{"a value of the wrong kind", `SELECT 'hunter2'::int`, storage.Other},
		{"a mistake", `SELEC 1`, storage.Other},
		{"a table that is not there", `SELECT * FROM nowhere`, storage.Other},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := db.exec(ctx, storage.Query{Name: "probe", SQL: c.sql})
			if got := storage.ClassOf(err); got != c.want {
				t.Errorf("got class %q: %v", got, err)
			}
			if err != nil && strings.Contains(fmt.Sprintf("%v %+v %q", err, err, err), "hunter2") {
				t.Errorf("the error shows a value: %v", err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "statement probe failed (") {
				t.Errorf("the error does not name its statement: %v", err)
			}
		})
	}
}

func TestStatementsThatWaitInVainHaveTheirClasses(t *testing.T) {
	db := open(t, dbtest.PostgreSQL(t), storage.Options{})
	run(t, db, `CREATE TABLE busy (id int PRIMARY KEY, n int)`, `INSERT INTO busy VALUES (1, 0), (2, 0)`)
	holder := begin(t, db, "")
	if _, err := holder.Exec(t.Context(), `UPDATE busy SET n = 1 WHERE id = 1`); err != nil {
		t.Fatal(err)
	}

	t.Run("a lock that is not given in time", func(t *testing.T) {
		tx := begin(t, db, "")
		if _, err := tx.Exec(t.Context(), `SET LOCAL lock_timeout = '20ms'`); err != nil {
			t.Fatal(err)
		}
		_, err := db.execOn(t.Context(), tx, storage.Query{Name: "probe", SQL: `UPDATE busy SET n = 2 WHERE id = 1`})
		wantClass(t, err, storage.LockTimeout)
	})
	t.Run("a lock that is not waited for", func(t *testing.T) {
		wantClass(t, db.exec(t.Context(), storage.Query{Name: "probe", SQL: `SELECT FROM busy WHERE id = 1 FOR UPDATE NOWAIT`}), storage.LockTimeout)
	})
	t.Run("a caller that gives up", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		wantClass(t, db.exec(ctx, storage.Query{Name: "probe", SQL: `UPDATE busy SET n = 2 WHERE id = 1`}), storage.Canceled)
	})
	t.Run("two transactions that wait for one another", func(t *testing.T) {
		other := begin(t, db, "")
		if _, err := other.Exec(t.Context(), `SET LOCAL deadlock_timeout = '10ms'; UPDATE busy SET n = 3 WHERE id = 2`); err != nil {
			t.Fatal(err)
		}
		blocked := make(chan error, 1)
		go func() {
			_, err := db.execOn(t.Context(), other, storage.Query{Name: "probe", SQL: `UPDATE busy SET n = 3 WHERE id = 1`})
			blocked <- err
		}()
		_, mine := db.execOn(t.Context(), holder, storage.Query{Name: "probe", SQL: `UPDATE busy SET n = 3 WHERE id = 2`})
		if mine != nil {
			_ = holder.Rollback(t.Context())
		}
		theirs := <-blocked
		if storage.ClassOf(mine) != storage.Deadlock && storage.ClassOf(theirs) != storage.Deadlock {
			t.Errorf("neither was told of a deadlock: %v; %v", mine, theirs)
		}
	})
	t.Run("two transactions that cannot follow one another", func(t *testing.T) {
		run(t, db, `INSERT INTO busy VALUES (3, 0)`)
		late := begin(t, db, "repeatable read")
		if _, err := late.Exec(t.Context(), `SELECT count(*) FROM busy`); err != nil {
			t.Fatal(err)
		}
		run(t, db, `UPDATE busy SET n = 10 WHERE id = 3`)
		_, err := db.execOn(t.Context(), late, storage.Query{Name: "probe", SQL: `UPDATE busy SET n = 11 WHERE id = 3`})
		wantClass(t, err, storage.Serialization)
	})
}

func TestASessionThatTheServerEndsIsReplaced(t *testing.T) {
	db := open(t, dbtest.PostgreSQL(t), storage.Options{})
	c, err := db.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run(t, db, fmt.Sprintf("SELECT pg_terminate_backend(%d, 5000)", c.Conn().PgConn().PID()))
	_, err = db.execOn(t.Context(), c, queries.Get("ping"))
	c.Release()
	if class := storage.ClassOf(err); class != storage.AdminShutdown && class != storage.Connection {
		t.Errorf("got class %q: %v", class, err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("the pool did not replace it: %v", err)
	}
	eventually(t, "the connection is counted as broken", func() bool { return db.Pool().Closed[closedBroken] == 1 })
}

func TestErrorsWithoutAnAnswerOfTheServerHaveTheirClasses(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want storage.Class
	}{
		{"the end of the connection", io.ErrUnexpectedEOF, storage.Connection},
		{"a connection that died in a transaction", fmt.Errorf("wrapped: %w", driver.ErrBadConn), storage.Connection},
		{"a connection that is closed", fmt.Errorf("wrapped: %w", pgconn.ErrConnClosed), storage.Connection},
		{"a cancelled context", fmt.Errorf("wrapped: %w", context.Canceled), storage.Canceled},
		{"a server that is full", &pgconn.PgError{Code: "53300"}, storage.TooManyConnections},
		{"a disk that is full", &pgconn.PgError{Code: "53100"}, storage.DiskFull},
		{"a server that starts", &pgconn.PgError{Code: "57P03"}, storage.AdminShutdown},
		{"a broken protocol", &pgconn.PgError{Code: "08P01"}, storage.Connection},
		{"something else", errors.New("something else"), storage.Other},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantClass(t, wrap("probe", c.err), c.want)
			if again := wrap("outer", wrap("inner", c.err)); !strings.HasPrefix(again.Error(), "statement inner failed") {
				t.Errorf("wrapped twice: %v", again)
			}
		})
	}
	if wrap("probe", nil) != nil {
		t.Error("no error was wrapped into one")
	}
}

func TestAttemptsThatFailAlikeAreToldOnce(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
	}{
		{"twice the same", "h:1 (127.0.0.1): dial error\nh:1 (127.0.0.1): dial error", "h:1 (127.0.0.1): dial error"},
		{"the end of what was said", "cannot resolve: lookup h: no such host\nlookup h: no such host", "cannot resolve: lookup h: no such host"},
		{"two addresses", "h:1: refused\n\tg:1: timeout", "h:1: refused; g:1: timeout"},
		{"one line", "refused", "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := errors.New(c.text)
			if got := sanitize(err); got.Error() != c.want || !errors.Is(got, err) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("a server that is not there", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = pgconn.Connect(t.Context(), "postgres://somebody:pw@"+address+"/somewhere")
		if got := sanitize(err).Error(); strings.Count(got, "refused") != 1 || strings.Contains(got, "some") {
			t.Errorf("told as %q", got)
		}
	})
}

func wantClass(t *testing.T, err error, want storage.Class) {
	t.Helper()
	if got := storage.ClassOf(err); got != want {
		t.Errorf("got class %q, want %q: %v", got, want, err)
	}
}
