package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

func TestConnectionsAboveTheSizeAreClosedWhenHandedBack(t *testing.T) {
	db := open(t, dbtest.PostgreSQL(t), storage.Options{Policy: policy(2, 3, time.Minute)})
	conns := take(t, db, 5)
	if s := db.Pool(); s.InUse != 5 || s.Max != 5 || s.Opened != 5 {
		t.Errorf("with all in use: %+v", s)
	}
	for _, c := range conns {
		c.Release()
	}
	eventually(t, "two connections are kept", func() bool {
		s := db.Pool()
		return s.Idle == 2 && s.InUse == 0 && s.Closed[closedOverflow] == 3
	})
}

func TestAConnectionThatACallerWaitsForIsNotClosed(t *testing.T) {
	db := open(t, dbtest.PostgreSQL(t), storage.Options{Policy: policy(1, 1, time.Minute)})
	conns := take(t, db, 2)
	got := make(chan *pgxpool.Conn, 1)
	go func() {
		c, err := db.acquire(context.Background())
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	eventually(t, "a caller waits", func() bool { return db.tracer.waiting.Load() == 1 })
	conns[0].Release()
	(<-got).Release()
	conns[1].Release()
	if opened := db.Pool().Opened; opened != 2 {
		t.Errorf("%d connections were opened, want 2", opened)
	}
	eventually(t, "the wait is counted", func() bool { return db.Pool().EmptyAcquires >= 1 && db.Pool().EmptyWait > 0 })
}

func TestAnExhaustedPoolIsANamedError(t *testing.T) {
	o := &recorder{}
	db := open(t, dbtest.PostgreSQL(t), storage.Options{Policy: policy(1, 1, time.Minute), Observer: o})
	for _, c := range take(t, db, 2) {
		defer c.Release()
	}
	db.options.Policy.Timeout = 100 * time.Millisecond // from here on: opening connections may take longer
	err := db.exec(t.Context(), queries.Get("ping"))
	var timeout *storage.PoolTimeoutError
	if !errors.As(err, &timeout) || timeout.InUse != 2 || timeout.Max != 2 || timeout.Waited < 100*time.Millisecond {
		t.Errorf("got %v", err)
	}
	if db.Pool().Timeouts != 1 || o.timedOut() != 1 {
		t.Errorf("counted %d, observed %d", db.Pool().Timeouts, o.timedOut())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.exec(ctx, queries.Get("ping")); storage.ClassOf(err) != storage.Canceled {
		t.Errorf("a caller that has given up gets %v", err)
	}
}

func TestConnectionsAreReplacedAfterTheRecycleTime(t *testing.T) {
	db := open(t, dbtest.PostgreSQL(t), storage.Options{Policy: storage.Pool{Size: 1, Recycle: time.Millisecond, Timeout: time.Minute}})
	eventually(t, "a connection is replaced", func() bool {
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := db.Pool()
		return s.Closed[closedRecycle] >= 1 && s.Opened >= 2
	})
}

func TestClosingCutsOffATransactionThatIsStillOpen(t *testing.T) {
	url := dbtest.PostgreSQL(t)
	first := open(t, url, storage.Options{})
	run(t, first, `CREATE TABLE kept (n int)`)
	second := open(t, url, storage.Options{})
	c := take(t, second, 1)[0]
	if _, err := c.Exec(t.Context(), "BEGIN; INSERT INTO kept VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "COMMIT"); err == nil {
		t.Error("the transaction was committed after the handle was closed")
	}
	c.Release()
	var n int
	if err := first.queryRow(t.Context(), storage.Query{Name: "probe", SQL: "SELECT count(*) FROM kept"}, nil, &n); err != nil || n != 0 {
		t.Errorf("%d rows are there (%v)", n, err)
	}
	eventually(t, "the connections are counted as closed", func() bool { return second.Pool().Closed[closedShutdown] >= 1 })
}

func TestTheObserverHearsOfStatementsByName(t *testing.T) {
	o := &recorder{}
	db := open(t, dbtest.PostgreSQL(t), storage.Options{Observer: o})
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, db, "repeatable read")
	batch := &pgx.Batch{}
	batch.Queue(queries.Get("ping").SQL)
	batch.Queue("SELECT 1/0")
	if err := tx.SendBatch(t.Context(), batch).Close(); err == nil {
		t.Fatal("a division by zero succeeded")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]storage.Class{"begin": "", "ping": "", "other": storage.Other, "rollback": ""}
	for name, class := range want {
		if got, ok := o.statement(name); !ok || got != class {
			t.Errorf("%s: heard %q, %v", name, got, ok)
		}
	}
	known := map[string]bool{}
	for _, name := range statementNames() {
		known[name] = true
	}
	for _, name := range o.names() {
		if !known[name] {
			t.Errorf("%s is in no list of statements", name)
		}
	}
}

// A decision that was overtaken is contention, to the metric as to who tries again.
func TestADecisionThatWasOvertakenIsHeardOfAsSerialization(t *testing.T) {
	o := &recorder{}
	(&tracer{observer: o}).ended(t.Context(), qStoreJournal.Name, time.Now(), &pgconn.PgError{Code: "22012"})
	if class, _ := o.statement(qStoreJournal.Name); class != storage.Serialization {
		t.Errorf("heard %q, want %s", class, storage.Serialization)
	}
}

func take(t *testing.T, db *DB, n int) []*pgxpool.Conn {
	t.Helper()
	var conns []*pgxpool.Conn
	for range n {
		c, err := db.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	return conns
}

// recorder is an observer that remembers.
type recorder struct {
	mu       sync.Mutex
	classes  map[string]storage.Class
	timeouts int
}

func (r *recorder) Statement(_ context.Context, name string, _ time.Duration, class storage.Class) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.classes == nil {
		r.classes = map[string]storage.Class{}
	}
	r.classes[name] = class
}

func (r *recorder) Acquire(_ time.Duration, timedOut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if timedOut {
		r.timeouts++
	}
}

func (r *recorder) statement(name string) (storage.Class, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	class, ok := r.classes[name]
	return class, ok
}

func (r *recorder) names() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.classes {
		names = append(names, name)
	}
	return names
}

func (r *recorder) timedOut() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.timeouts
}
