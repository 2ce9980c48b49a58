package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/initlock/locktest"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// replica opens the database as a process of its own does.
func replica(ctx context.Context, tb testing.TB, url string) *DB {
	tb.Helper()
	u, err := storage.ParseURL(url)
	if err != nil {
		tb.Fatal(err)
	}
	db, err := Open(ctx, storage.Options{
		URL: u, Direct: u, Policy: storage.DefaultPool, Role: "test", Instance: tb.Name(), Logger: slog.New(slog.DiscardHandler), Observer: unobserved{},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func initContext(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

type unobserved struct{}

func (unobserved) Statement(context.Context, string, time.Duration, storage.Class) {}
func (unobserved) Acquire(time.Duration, bool)                                     {}

// terminate ends the server's process of a session and waits until it is gone.
func terminate(ctx context.Context, tb testing.TB, db *DB, session *sql.DB) {
	tb.Helper()
	var pid int
	if err := session.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		tb.Fatal(err)
	}
	var gone bool
	if err := db.pool.QueryRow(ctx, "SELECT pg_terminate_backend($1, 10000)", pid).Scan(&gone); err != nil || !gone {
		tb.Fatalf("terminating session %d: %t, %v", pid, gone, err)
	}
}

func TestTheLockPassesTheSuite(t *testing.T) {
	locktest.Run(t, func(tb testing.TB) locktest.Backend {
		url := dbtest.PostgreSQL(tb)
		admin := replica(initContext(tb), tb, url)
		return locktest.Backend{
			Open: func(tb testing.TB) (initlock.Locker, initlock.Marker) {
				db := replica(initContext(tb), tb, url)
				return locker{db}, db.Marker()
			},
			Kill: func(tb testing.TB, l initlock.Lease) { terminate(initContext(tb), tb, admin, l.(*lease).session) },
		}
	})
}

var initOptions = initlock.Options{Digest: "d", Revision: "r1", OldestCompatible: "r1"}

func TestWorkDiesWithTheSessionThatHoldsTheLock(t *testing.T) {
	url := dbtest.PostgreSQL(t)
	one, two := replica(initContext(t), t, url), replica(initContext(t), t, url)
	ctx := initContext(t)
	var after []error
	_, err := one.Initialise(ctx, initOptions, func(ctx context.Context, session *sql.DB) error {
		if _, err := session.ExecContext(ctx, "CREATE TABLE half (n int)"); err != nil {
			t.Error(err)
		}
		terminate(ctx, t, two, session)
		for range 3 {
			_, err := session.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS unguarded (n int)")
			after = append(after, err)
		}
		return after[2]
	})
	if !errors.Is(err, ErrLockLost) || storage.ClassOf(err) != storage.Connection {
		t.Errorf("the leader ended with %v; want ErrLockLost", err)
	}
	for i, err := range after {
		if err == nil {
			t.Errorf("statement %d after the session's death ran without the lock", i)
		}
	}
	if rec, err := two.Marker().Read(ctx); err != nil || rec.State != initlock.Running || rec.Epoch != 1 {
		t.Errorf("the dead leader left %+v, %v", rec, err)
	}
	res, err := two.Initialise(ctx, initOptions, func(ctx context.Context, session *sql.DB) error {
		var n int
		return session.QueryRowContext(ctx, "SELECT count(*) FROM half").Scan(&n)
	})
	if err != nil || res.Outcome != initlock.OutcomeLed || res.Record.Epoch != 2 {
		t.Errorf("the next leader: %+v, %v", res, err)
	}
	if exists := ask1[bool](t, two, "SELECT to_regclass('unguarded') IS NOT NULL"); exists {
		t.Error("work went on without the lock")
	}
}

func ask1[T any](tb testing.TB, db *DB, query string) (v T) {
	tb.Helper()
	if err := db.pool.QueryRow(initContext(tb), query).Scan(&v); err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestAReadyDatabaseCostsNoSessionOfItsOwn(t *testing.T) {
	url := dbtest.PostgreSQL(t)
	db := replica(initContext(t), t, url)
	if _, err := db.Initialise(initContext(t), initOptions, func(context.Context, *sql.DB) error { return nil }); err != nil {
		t.Fatal(err)
	}
	nowhere(db)
	res, err := db.Initialise(initContext(t), initOptions, func(context.Context, *sql.DB) error {
		t.Error("worked on a ready database")
		return nil
	})
	if err != nil || res.Outcome != initlock.OutcomeAlreadyReady {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestWaitersBlockNobodyWhoBuildsAnIndexConcurrently(t *testing.T) {
	url := dbtest.PostgreSQL(t)
	leader := replica(initContext(t), t, url)
	ctx := initContext(t)
	const waiters = 5
	ready := make(chan error, waiters)
	res, err := leader.Initialise(ctx, initOptions, func(_ context.Context, session *sql.DB) error {
		for range waiters {
			w := locktest.NewWatcher()
			o := initOptions
			o.Observer = w
			db := replica(ctx, t, url)
			go func() {
				_, err := db.Initialise(ctx, o, func(context.Context, *sql.DB) error { return errors.New("a waiter led") })
				ready <- err
			}()
			<-w.Waiting
		}
		for _, statement := range []string{
			"CREATE TABLE wide (n int)", "INSERT INTO wide SELECT generate_series(1, 1000)",
			"CREATE UNIQUE INDEX CONCURRENTLY wide_n ON wide (n)",
		} {
			if _, err := session.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		var busy int
		return errors.Join(session.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE application_name LIKE 'safebox/%' AND datname = current_database() AND state LIKE 'idle in transaction%'`).Scan(&busy),
			map[bool]error{true: errors.New("a waiter sits in a transaction")}[busy > 0])
	})
	if err != nil || res.Outcome != initlock.OutcomeLed {
		t.Fatalf("%+v, %v", res, err)
	}
	for range waiters {
		if err := <-ready; err != nil {
			t.Error(err)
		}
	}
}

func TestTheHolderIsToldWithoutWhatItsStatementHolds(t *testing.T) {
	url := dbtest.PostgreSQL(t)
	db := replica(initContext(t), t, url)
	ctx := initContext(t)
	python, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := python.Exec(ctx, "SELECT pg_advisory_lock(841337001), 'nsec1secret'"); err != nil {
		t.Fatal(err)
	}
	if _, err := (locker{db}).TryLock(ctx, "me"); !errors.Is(err, initlock.ErrLocked) {
		t.Errorf("the Python program's lock does not count: %v", err)
	}
	h, held, err := locker{db}.Holder(ctx)
	if err != nil || !held || h.Activity != "idle, last SELECT" || h.Since.IsZero() {
		t.Errorf("holder %+v, %t, %v", h, held, err)
	}
	if err := python.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestActivityShowsWordsOnly(t *testing.T) {
	for _, c := range []struct{ state, query, want string }{
		{"active", "CREATE INDEX CONCURRENTLY i ON t (c)", "CREATE INDEX CONCURRENTLY"},
		{"active", "  insert into t values ('secret')", "INSERT INTO T"},
		{"active", "SELECT 'secret'", "SELECT"},
		{"active", "'secret'", "active"},
		{"active", "<insufficient privilege>", "active"},
		{"idle in transaction", "UPDATE t SET c = 'x'", "idle in transaction, last UPDATE T SET"},
		{"", "", ""},
	} {
		if got := activity(c.state, c.query); got != c.want {
			t.Errorf("activity(%q, %q) = %q; want %q", c.state, c.query, got, c.want)
		}
	}
}

func TestInspectRefusesToWrite(t *testing.T) {
	db := replica(initContext(t), t, dbtest.PostgreSQL(t))
	err := db.Inspect(initContext(t), func(ctx context.Context, session *sql.DB) error {
		var n int
		if err := session.QueryRowContext(ctx, "SELECT count(*) FROM pg_class").Scan(&n); err != nil || n == 0 {
			t.Errorf("reading the catalogue: %d, %v", n, err)
		}
		_, err := session.ExecContext(ctx, "CREATE TABLE written (n int)")
		return err
	})
	if err == nil || !strings.Contains(wrap("inspect", err).Error(), string(storage.ReadOnly)) {
		t.Errorf("writing: %v", err)
	}
}

func TestReadingTheMarkerAgainAndAgainTakesOneConnection(t *testing.T) {
	db := replica(initContext(t), t, dbtest.PostgreSQL(t))
	for range 20 {
		if _, err := db.Marker().Read(initContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := db.Pool().Opened; n != 1 {
		t.Errorf("%d connections were opened one after another; want 1", n)
	}
}

// nowhere leads the replica's sessions for the lock to where nobody answers, so that opening one cannot go well.
func nowhere(db *DB) {
	db.direct.Host, db.direct.Port = "127.0.0.1", 1
	db.direct.Fallbacks = nil
}

func TestOnlyOneAtATimeOpensASessionForTheLock(t *testing.T) {
	url := dbtest.PostgreSQL(t)
	first, second := replica(initContext(t), t, url), replica(initContext(t), t, url)
	withdraw, err := locker{first}.stand(initContext(t))
	if err != nil {
		t.Fatal(err)
	}
	nowhere(second)
	if err := try(t, second); !errors.Is(err, initlock.ErrLocked) {
		t.Errorf("while another opens one: %v; want ErrLocked", err)
	}
	second.passedOver.Add(-int64(courtesy)) // it was passed over that long ago
	if err := try(t, second); errors.Is(err, initlock.ErrLocked) {
		t.Errorf("after %s of that: %v; want the error of an attempt of its own", courtesy, err)
	}
	withdraw()
	if err := try(t, second); errors.Is(err, initlock.ErrLocked) {
		t.Errorf("after the other withdrew: %v; want the error of an attempt of its own", err)
	}
	if n := second.passedOver.Load(); n != 0 {
		t.Errorf("passed over since %d, after it was not; want 0", n)
	}
	lease, err := locker{first}.TryLock(initContext(t), "first")
	if err != nil {
		t.Fatalf("after everybody withdrew: %v", err)
	}
	if err := lease.Release(initContext(t)); err != nil {
		t.Error(err)
	}
}

// try is the error of an attempt at the lock that cannot go well.
func try(tb testing.TB, db *DB) error {
	tb.Helper()
	lease, err := locker{db}.TryLock(initContext(tb), "me")
	if err == nil {
		tb.Fatal("it has the lock: ", lease.Release(initContext(tb)))
	}
	return err
}

// Each of them has one connection, the server has none left, and to lead takes two.
func TestReplicasOnAFullServerMakeRoomForALeader(t *testing.T) {
	const places = 8
	server := dbtest.Server(t, dbtest.Options{MaxConnections: places})
	url := server.Database(t)
	var dbs []*DB
	for range places {
		dbs = append(dbs, replica(initContext(t), t, url))
	}
	var led atomic.Int64
	var group sync.WaitGroup
	for _, db := range dbs {
		group.Go(func() {
			_, err := db.Initialise(initContext(t), initOptions, func(context.Context, *sql.DB) error {
				led.Add(1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := led.Load(); n != 1 {
		t.Errorf("%d led; want 1", n)
	}
}
