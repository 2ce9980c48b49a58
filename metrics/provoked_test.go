package metrics_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/metrics"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	_ "github.com/safebox/safebox/storage/postgres"
	_ "github.com/safebox/safebox/storage/sqlite"
	"github.com/safebox/safebox/storage/storagetest"
)

// watched is a database that is ready, and the registry that its statements are told to.
type watched struct {
	t        *testing.T
	url      string
	db       storage.DB
	registry *metrics.Registry
}

// watch prepares a database and opens it with a registry.
func watch(t *testing.T, url string) watched {
	t.Helper()
	storagetest.Ready(t, url)
	return reopen(t, url)
}

// reopen opens a database as it is.
func reopen(t *testing.T, url string) watched {
	t.Helper()
	return reopenFor(t, url, time.Minute)
}

// reopenFor is reopen for a handle that waits so long for what another has.
func reopenFor(t *testing.T, url string, timeout time.Duration) watched {
	t.Helper()
	u, err := storage.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	r := metrics.New(metrics.Options{Statements: storage.Statements(u.Dialect)})
	db, err := storage.Open(t.Context(), storage.Options{
		URL: u, Observer: r, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Policy: storage.Pool{Size: 2, MaxOverflow: 2, Recycle: -1, Timeout: timeout},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return watched{t, url, db, r}
}

// sql opens the database behind the back of what is watched.
func (w watched) sql() *sql.DB {
	w.t.Helper()
	driver, dsn := "pgx", w.url
	if w.db.Dialect() == storage.SQLite {
		driver, dsn = "sqlite3", "file:"+w.file()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	return db
}

func (w watched) file() string { return strings.TrimPrefix(w.url, "sqlite:///") }

func (w watched) exec(statements ...string) {
	w.t.Helper()
	db := w.sql()
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(w.t.Context(), s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
}

// beat writes a heartbeat, the simplest statement that writes.
func (w watched) beat(ctx context.Context) error {
	return w.db.Beat(ctx, storage.Replica{Instance: "provoked", State: "ready"})
}

// session lets a test send its own statements on a connection whose statements are told of; they have no name.
func (w watched) session(work func(c *sql.Conn) error) error {
	return w.db.Inspect(w.t.Context(), func(ctx context.Context, db *sql.DB) error {
		c, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		return work(c)
	})
}

// counted holds the registry to one more error, or a few, of one statement and class, and to none of another class.
func (w watched) counted(statement string, class storage.Class, err error) {
	w.t.Helper()
	if err == nil {
		w.t.Fatalf("nothing failed: no error of class %s was provoked", class)
	}
	found := false
	for key, n := range series(w.t, w.registry) {
		if !strings.HasPrefix(key, metrics.StatementErrors+"{") || n == 0 {
			continue
		}
		if key == fmt.Sprintf("%s{class=%q,statement=%q}", metrics.StatementErrors, class, statement) {
			found = true
		} else {
			w.t.Errorf("%s is %v", key, n)
		}
	}
	if !found {
		w.t.Errorf("no error of class %s was counted for %s: %v", class, statement, err)
	}
}

// refuses makes every new heartbeat row do something as well, by a trigger.
func (w watched) refuses(does string) {
	w.t.Helper()
	if w.db.Dialect() == storage.SQLite {
		w.exec("DROP TRIGGER IF EXISTS provoked", "CREATE TRIGGER provoked AFTER INSERT ON safebox_replica BEGIN "+does+"; END")
		return
	}
	w.exec("CREATE OR REPLACE FUNCTION provoked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "+does+"; RETURN NULL; END $$",
		"CREATE OR REPLACE TRIGGER provoked AFTER INSERT ON safebox_replica FOR EACH ROW EXECUTE FUNCTION provoked()")
}

func TestBrokenConstraintsAreCountedByTheirClasses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		storagetest.Ready(t, url)
		reopen(t, url).exec("CREATE TABLE parent (id integer PRIMARY KEY)",
			"CREATE TABLE child (id integer PRIMARY KEY, n integer NOT NULL CHECK (n > 0), parent integer REFERENCES parent)",
			"INSERT INTO child VALUES (1, 1, NULL)")
		for class, does := range map[storage.Class]string{
			storage.Unique:     "INSERT INTO child VALUES (1, 1, NULL)",
			storage.Check:      "INSERT INTO child VALUES (2, -1, NULL)",
			storage.NotNull:    "INSERT INTO child VALUES (2, NULL, NULL)",
			storage.ForeignKey: "INSERT INTO child VALUES (2, 1, 77)",
		} {
			t.Run(string(class), func(t *testing.T) {
				w := reopen(t, url)
				w.refuses(does)
				w.counted("beat", class, w.beat(t.Context()))
			})
		}
	})
}

func TestACallerThatGivesUpIsCounted(t *testing.T) {
	w := watch(t, dbtest.PostgreSQL(t))
	w.refuses("PERFORM pg_sleep(60)")
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- w.beat(ctx) }()
	w.sleeps()
	cancel()
	w.counted("beat", storage.Canceled, <-failed)
}

func TestADatabaseThatOnlyReadsIsCounted(t *testing.T) {
	url := dbtest.PostgreSQL(t)
	storagetest.Ready(t, url)
	name := url[strings.LastIndexByte(url, '/')+1:]
	reopen(t, url).exec("ALTER DATABASE " + name + " SET default_transaction_read_only = on")
	w := reopen(t, url)
	w.counted("beat", storage.ReadOnly, w.beat(t.Context()))
}

func TestAFileThatAnotherProgramWritesIntoIsCountedAsBusy(t *testing.T) {
	url := dbtest.SQLite(t)
	storagetest.Ready(t, url)
	w := reopenFor(t, url, time.Second)
	other, err := w.sql().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	w.counted("begin", storage.Busy, w.beat(t.Context()))
}

func TestALockThatIsNotGivenInTimeIsCounted(t *testing.T) {
	w := reopen(t, dbtest.PostgreSQL(t))
	w.exec("CREATE TABLE taken (n integer)")
	holder := begin(t, w.sql(), "LOCK TABLE taken IN ACCESS EXCLUSIVE MODE")
	defer holder.Rollback()
	w.counted("other", storage.LockTimeout, w.session(func(c *sql.Conn) error {
		_, err := c.ExecContext(t.Context(), "SET lock_timeout = '20ms'; SELECT count(*) FROM taken")
		return err
	}))
}

// begin starts a transaction with a statement.
func begin(t *testing.T, db *sql.DB, statement string) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestADeadlockIsCounted(t *testing.T) {
	w := reopen(t, dbtest.PostgreSQL(t))
	w.exec("CREATE TABLE knot (id integer PRIMARY KEY, n integer)", "INSERT INTO knot VALUES (1, 0), (2, 0)")
	// Ours looks for a deadlock at once and the other one does not: it is ours that the server ends.
	other := begin(t, w.sql(), "SET LOCAL deadlock_timeout = '1min'; UPDATE knot SET n = 1 WHERE id = 1")
	defer other.Rollback()
	done := make(chan error, 1)
	err := w.session(func(c *sql.Conn) error {
		if _, err := c.ExecContext(t.Context(), "BEGIN READ WRITE"); err != nil {
			return err
		}
		if _, err := c.ExecContext(t.Context(), "SET LOCAL deadlock_timeout = '20ms'; UPDATE knot SET n = 2 WHERE id = 2"); err != nil {
			return err
		}
		go func() {
			_, err := other.ExecContext(t.Context(), "UPDATE knot SET n = 1 WHERE id = 2")
			done <- err
		}()
		w.waits("UPDATE knot SET n = 1 WHERE id = 2")
		_, err := c.ExecContext(t.Context(), "UPDATE knot SET n = 2 WHERE id = 1")
		return err
	})
	if err := <-done; err != nil {
		t.Errorf("the other one was to go on: %v", err)
	}
	w.counted("other", storage.Deadlock, err)
}

// sleeps returns when a session of this database sleeps, with its process id.
func (w watched) sleeps() (pid int) {
	w.t.Helper()
	return w.activity("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")
}

// waits returns when a statement waits for a lock.
func (w watched) waits(statement string) {
	w.t.Helper()
	w.activity("SELECT pid FROM pg_stat_activity WHERE query = '" + statement + "' AND wait_event_type = 'Lock'")
}

// activity returns the first answer of a query that has none at first.
func (w watched) activity(query string) (pid int) {
	w.t.Helper()
	db := w.sql()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for ctx := storagetest.Context(w.t); ; <-ticker.C {
		switch err := db.QueryRowContext(ctx, query).Scan(&pid); {
		case err == nil:
			return pid
		case !errors.Is(err, sql.ErrNoRows):
			w.t.Fatal(err)
		}
	}
}

func TestATransactionThatCannotBePutInOrderIsCounted(t *testing.T) {
	w := reopen(t, dbtest.PostgreSQL(t))
	w.exec("CREATE TABLE late (n integer)", "INSERT INTO late VALUES (0)")
	w.counted("other", storage.Serialization, w.session(func(c *sql.Conn) error {
		if _, err := c.ExecContext(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE; SELECT count(*) FROM late"); err != nil {
			return err
		}
		w.exec("UPDATE late SET n = 1")
		_, err := c.ExecContext(t.Context(), "UPDATE late SET n = 2")
		return err
	}))
}

func TestASessionThatAnAdministratorEndsIsCounted(t *testing.T) {
	w := reopen(t, dbtest.PostgreSQL(t))
	err := w.session(func(c *sql.Conn) error {
		failed := make(chan error, 1)
		go func() {
			_, err := c.ExecContext(t.Context(), "SELECT pg_sleep(60)")
			failed <- err
		}()
		w.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", w.sleeps()))
		return <-failed
	})
	w.counted("other", storage.AdminShutdown, err)
}

func TestWhatBecomesOfAServerIsCounted(t *testing.T) {
	server := dbtest.Server(t, dbtest.Options{MaxConnections: 8})
	url := server.Database(t)
	t.Run("it is made ready", func(t *testing.T) { storagetest.Ready(t, url) })
	// /dev/full is a disk without room: whatever writes there is told so by the kernel. Here it is a table's file.
	t.Run("its disk is full", func(t *testing.T) {
		w := reopen(t, url)
		w.exec("CREATE TABLE onto_full_disk (n integer)")
		var path string
		if err := w.sql().QueryRowContext(t.Context(), "SELECT pg_relation_filepath('onto_full_disk')").Scan(&path); err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(server.SocketDir(), "data", path)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/dev/full", path); err != nil {
			t.Fatal(err)
		}
		w.refuses("INSERT INTO onto_full_disk VALUES (1)")
		w.counted("beat", storage.DiskFull, w.beat(t.Context()))
	})
	t.Run("it has no connection left to give", func(t *testing.T) {
		w := reopen(t, url)
		greedy := w.sql()
		for {
			c, err := greedy.Conn(t.Context())
			if err != nil {
				break // it has none left
			}
			defer c.Close()
		}
		w.counted("connect", storage.TooManyConnections, w.session(func(*sql.Conn) error { return nil }))
	})
	t.Run("its connections are cut", func(t *testing.T) {
		w := reopen(t, url)
		err := w.session(func(c *sql.Conn) error {
			failed := make(chan error, 1)
			go func() {
				_, err := c.ExecContext(t.Context(), "SELECT pg_sleep(60)")
				failed <- err
			}()
			w.sleeps()
			server.Kill()
			return <-failed
		})
		w.counted("other", storage.Connection, err)
	})
}

// SQLite says the same of a table without a row number to give as of a disk without room, and that needs no small disk.
func TestAFullDiskIsCountedOnSQLite(t *testing.T) {
	w := watch(t, dbtest.SQLite(t))
	w.exec("CREATE TABLE onto_full_disk (id integer PRIMARY KEY AUTOINCREMENT, n integer)",
		"INSERT INTO onto_full_disk VALUES (9223372036854775807, 0)")
	w.refuses("INSERT INTO onto_full_disk (n) VALUES (1)")
	w.counted("beat", storage.DiskFull, w.beat(t.Context()))
}

// Each statement is another one, and each fails: no text of theirs may become a series.
func TestFailingStatementsAddNoSeries(t *testing.T) {
	n := 1000
	if os.Getenv("SAFEBOX_TEST_LONG") != "" {
		n = 50_000
	}
	w := reopen(t, dbtest.PostgreSQL(t))
	before := len(series(t, w.registry))
	err := w.session(func(c *sql.Conn) error {
		for i := range n {
			if _, err := c.ExecContext(t.Context(), fmt.Sprintf("SELECT %d / 0 AS npub_%d", i, i)); err == nil {
				return errors.New("a division by zero went well")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, w.registry, map[string]float64{`safebox_db_statement_errors_total{class="other",statement="other"}`: float64(n)})
	if after := len(series(t, w.registry)); after != before {
		t.Errorf("%d failing statements made %d series of %d", n, after, before)
	}
}
