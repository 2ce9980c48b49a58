package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// ignoring has PgBouncer take the startup parameters of a direct session and drop them.
const ignoring = "ignore_startup_parameters = client_connection_check_interval,idle_in_transaction_session_timeout," +
	"tcp_keepalives_idle,tcp_keepalives_interval,tcp_keepalives_count,tcp_user_timeout"

// throughPgBouncer opens a database through a PgBouncer, with the server's own address beside it.
func throughPgBouncer(t *testing.T, server, mode string, settings ...string) *DB {
	t.Helper()
	direct, err := storage.ParseURL(server)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, dbtest.PgBouncer(t, server, mode, settings...), storage.Options{Direct: direct, Role: "worker", Instance: "pooled"})
}

// prepare makes a database ready as a worker does.
func prepare(t *testing.T, db *DB) initlock.Result {
	t.Helper()
	o := initlock.Options{Digest: "d", Revision: migrations.Latest(), OldestCompatible: migrations.OldestCompatible}
	res, err := db.Initialise(initContext(t), o, func(ctx context.Context, session *sql.DB) error {
		_, err := migrations.Prepare(ctx, session, migrations.Options{Dialect: storage.PostgreSQL, Logger: db.log})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// unlocked fails the test if any session of the database still holds an advisory lock.
func unlocked(t *testing.T, admin *DB) {
	t.Helper()
	if n := ask1[int](t, admin, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); n != 0 {
		t.Errorf("%d advisory locks were left behind", n)
	}
}

func TestAPgBouncerIsRefusedAtOnceWithWhatToSet(t *testing.T) {
	for _, c := range []struct {
		name, mode string
		settings   []string
	}{
		{"one that refuses our startup parameters", dbtest.TransactionMode, nil},
		{"one that ignores them, in transaction mode", dbtest.TransactionMode, []string{ignoring}},
		{"one that ignores them, in session mode", dbtest.SessionMode, []string{ignoring}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := dbtest.PostgreSQL(t)
			began := time.Now()
			_, err := openURL(t, dbtest.PgBouncer(t, server, c.mode, c.settings...), storage.Options{})
			if !errors.Is(err, storage.ErrConfig) || !strings.Contains(err.Error(), "SAFEBOX_DATABASE_DIRECT") {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s to say so", took)
			}
			unlocked(t, open(t, server, storage.Options{}))
		})
	}
}

func TestADatabaseBehindPgBouncerIsPreparedThroughTheServer(t *testing.T) {
	for _, mode := range []string{dbtest.TransactionMode, dbtest.SessionMode} {
		t.Run(mode, func(t *testing.T) {
			server := dbtest.PostgreSQL(t)
			db := throughPgBouncer(t, server, mode)
			if res := prepare(t, db); res.Outcome != initlock.OutcomeLed {
				t.Errorf("%+v", res)
			}
			if res := prepare(t, db); res.Outcome != initlock.OutcomeAlreadyReady {
				t.Errorf("%+v", res)
			}
			unlocked(t, open(t, server, storage.Options{}))
		})
	}
}

// Every statement runs on many clients at once, each of which is on another session from transaction to transaction.
func TestTheEventLogWorksThroughATransactionPooler(t *testing.T) {
	server := dbtest.PostgreSQL(t)
	db := throughPgBouncer(t, server, dbtest.TransactionMode)
	prepare(t, db)
	ctx := initContext(t)
	const group, clients, each = "pooled", 12, 20
	if err := db.Join(ctx, event.Topic, group); err != nil {
		t.Fatal(err)
	}
	announced := db.Changes(ctx, event.Topic)
	var all sync.WaitGroup
	failed := make(chan error, clients)
	for client := range clients {
		all.Go(func() {
			for n := range each {
				if err := appendAndClaim(ctx, db, group, client, n); err != nil {
					failed <- fmt.Errorf("client %d, round %d: %w", client, n, err)
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	heads, err := db.Heads(ctx, event.Topic)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, head := range heads {
		total += head
	}
	if total != clients*each {
		t.Errorf("%d events are in the log; want %d", total, clients*each)
	}
	if db.Pool().Opened < 2 {
		t.Error("all of it ran on one connection: the test proves nothing")
	}
	eventually(t, "an announcement through the pooler reaches who listens at the server", func() bool {
		if err := db.Announce(ctx, event.Topic, heads); err != nil {
			t.Fatal(err)
		}
		select {
		case told := <-announced:
			return told == heads
		default:
			return false
		}
	})
	admin := open(t, server, storage.Options{})
	unlocked(t, admin)
	if n := ask1[int](t, admin, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`); n != 0 {
		t.Errorf("%d transactions were left open in the pooler", n)
	}
}

// appendAndClaim appends an event, and moves the cursor of its partition over what is there.
func appendAndClaim(ctx context.Context, db *DB, group string, client, n int) error {
	e := event.Event{
		ID: fmt.Sprintf("%d-%d", client, n), Source: "test", Type: event.TypeFundsCredited, Subject: fmt.Sprint("npub", client),
		Time: time.Unix(0, 0), Data: []byte(`{"amount":1}`),
	}
	receipts, err := db.Append(ctx, event.Topic, []event.Event{e})
	if err != nil {
		return err
	}
	if receipts[0].Result != event.Appended {
		return fmt.Errorf("the event was answered %s", receipts[0].Result)
	}
	b, err := db.Claim(ctx, event.Topic, group, []int{event.Partition(e.Subject)}, 100)
	if errors.Is(err, event.ErrClaimed) { // another client has its partition
		return nil
	}
	if err != nil {
		return err
	}
	if rs := b.Records(); len(rs) > 0 {
		return b.Commit(ctx, event.UpTo(rs...))
	}
	b.Rollback()
	return nil
}

// What a session holds in prepared statements or settings is gone with the next transaction.
func TestNothingIsLeftOnASessionOfThePooler(t *testing.T) {
	server := dbtest.PostgreSQL(t)
	db := throughPgBouncer(t, server, dbtest.TransactionMode)
	prepare(t, db)
	for range 3 {
		if _, err := db.Marker().Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Audit(t.Context(), event.Topic, "pooled"); err != nil {
			t.Fatal(err)
		}
	}
	var prepared int
	if err := db.queryRow(t.Context(), storage.Query{Name: "probe", SQL: "SELECT count(*) FROM pg_prepared_statements"}, nil, &prepared); err != nil || prepared != 0 {
		t.Errorf("%d prepared statements are on the pooler's session (%v)", prepared, err)
	}
}

// A batch of a replica that freezes ends with its transaction, which no setting of the pooler's session would end.
func TestABatchThroughThePoolerIsIdleForNoLongerThanADirectOne(t *testing.T) {
	db := throughPgBouncer(t, dbtest.PostgreSQL(t), dbtest.TransactionMode)
	prepare(t, db)
	if err := db.Join(t.Context(), event.Topic, "pooled"); err != nil {
		t.Fatal(err)
	}
	b, err := db.Claim(t.Context(), event.Topic, "pooled", []int{1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Rollback()
	var limit string
	err = b.(*Batch).conn.QueryRow(t.Context(), "SHOW idle_in_transaction_session_timeout").Scan(&limit)
	if err != nil || limit != idleInTransaction {
		t.Errorf("it may be idle for %s (%v), want %s", limit, err, idleInTransaction)
	}
}

func TestAPgBouncerWhoseTransactionsAreOfAnotherKindIsRefused(t *testing.T) {
	server := dbtest.PostgreSQL(t)
	direct, err := storage.ParseURL(server)
	if err != nil {
		t.Fatal(err)
	}
	admin := open(t, server, storage.Options{})
	_, err = admin.pool.Exec(t.Context(), `DO $$ BEGIN
		EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(), 'repeatable read');
	END $$`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openURL(t, dbtest.PgBouncer(t, server, dbtest.TransactionMode), storage.Options{Direct: direct})
	if !errors.Is(err, storage.ErrConfig) || !strings.Contains(err.Error(), "repeatable read") || !strings.Contains(err.Error(), "RESET") {
		t.Errorf("got %v; want a configuration error that names the isolation", err)
	}
}

func TestAPoolerWhoseServerIsNotThereYetIsTriedAgain(t *testing.T) {
	s := dbtest.Server(t, dbtest.Options{})
	url := s.Database(t)
	direct, err := storage.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	through := dbtest.PgBouncer(t, url, dbtest.TransactionMode, "server_login_retry = 1", "query_wait_timeout = 1")
	s.Stop(dbtest.Fast)
	retried := make(chan struct{})
	var once sync.Once
	started := make(chan error, 1)
	go func() {
		<-retried
		started <- s.Start()
	}()
	log := slog.New(signalHandler{slog.DiscardHandler, func() { once.Do(func() { close(retried) }) }})
	db := open(t, through, storage.Options{Direct: direct, Policy: policy(2, 0, time.Minute), Logger: log})
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAPgBouncerThatRefusesTransactionsIsRefusedAtOnce(t *testing.T) {
	server := dbtest.PostgreSQL(t)
	direct, err := storage.ParseURL(server)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openURL(t, dbtest.PgBouncer(t, server, dbtest.StatementMode), storage.Options{Direct: direct})
	if !errors.Is(err, storage.ErrConfig) || !strings.Contains(err.Error(), "pool_mode") {
		t.Errorf("got %v; want a configuration error that names pool_mode", err)
	}
}
